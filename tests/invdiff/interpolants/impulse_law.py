"""The law of what an affine sampler returns, without drawing: its answer to each unit of noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Impulses:
    """Noise that is zero in row 0 and one unit of one coordinate of one call in each other row."""

    def __init__(self, calls: int, dim: int) -> None:
        self.rows, self._dim, self._calls, self._made = 1 + calls * dim, dim, calls, 0

    def __call__(self) -> Tensor:
        assert self._made < self._calls, "more calls for noise than were planned"
        n = torch.zeros(self.rows, self._dim, dtype=torch.float64)
        first = 1 + self._made * self._dim
        n[first : first + self._dim] = torch.eye(self._dim, dtype=torch.float64)
        self._made += 1
        return n


def impulse_law(
    run: Callable[[Tensor, Impulses], Tensor], start: Tensor, calls: int
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of run(start, noise) for a start (dim,) and an affine run."""
    noise = Impulses(calls, len(start))
    end = run(start.expand(noise.rows, -1), noise)
    answers = end[1:] - end[0]
    return end[0], answers.T @ answers


class GaussianPair:
    """Joint Gaussian ends of two numbers each: a clean x1 and x0 = A x1 + noise."""

    def __init__(self) -> None:
        kwargs = {"dtype": torch.float64}
        self.mean1 = torch.tensor([0.3, -0.8], **kwargs)
        self.cov1 = torch.tensor([[1.0, 0.4], [0.4, 0.6]], **kwargs)
        self.matrix = torch.tensor([[0.8, 0.3], [-0.2, 0.5]], **kwargs)
        self.mean0 = self.matrix @ self.mean1
        self.cross = self.matrix @ self.cov1  # Cov(x0, x1)
        self.cov0 = self.cross @ self.matrix.T + 0.09 * torch.eye(2, **kwargs)

    def given(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and covariance of x1 given x0."""
        gain = self.cross.T @ torch.linalg.inv(self.cov0)
        return self.mean1 + (x0 - self.mean0) @ gain.T, self.cov1 - gain @ self.cross
