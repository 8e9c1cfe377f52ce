"""Ends that are jointly Gaussian, such as an image and its corruption: every field is linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from invdiff.interpolants.closed_form import ClosedFormProcess
from invdiff.interpolants.components import DenseComponents, variance_terms
from invdiff.interpolants.couplings import Draw
from invdiff.interpolants.interpolant import Interpolant
from invdiff.priors.gaussian import GaussianPrior

__all__ = ["GaussianCoupling", "JointGaussianProcess"]


@dataclass(frozen=True, eq=False)
class GaussianCoupling:
    """A joint Gaussian law of both ends, flattened to n numbers.

    Args:
        mean0: Of x0, ``(*batch, *shape)``; several means make one law for each.
        mean1: Of x1, the same shape.
        covariance0: Cov(x0), ``(n, n)``.
        covariance1: Cov(x1), ``(n, n)``.
        cross: Cov(x0, x1), ``(n, n)``.
        num_batch_dims: Length of ``batch``.

    Raises:
        ValueError: Shapes that don't fit, or a joint covariance with a negative eigenvalue.
    """

    mean0: Tensor
    mean1: Tensor
    covariance0: Tensor
    covariance1: Tensor
    cross: Tensor
    num_batch_dims: int = 0

    def __post_init__(self) -> None:
        n = torch.Size(self.shape).numel()
        parts = (self.covariance0, self.covariance1, self.cross)
        if self.mean0.shape != self.mean1.shape or any(part.shape != (n, n) for part in parts):
            raise ValueError(
                f"GaussianCoupling: expected two means of one shape and ({n}, {n}) covariances, "
                f"got {tuple(self.mean0.shape)}, {tuple(self.mean1.shape)} and "
                f"{[tuple(part.shape) for part in parts]}"
            )
        values = torch.linalg.eigvalsh(self._joint())
        if not values[0] >= -1e-9 * values[-1]:
            raise ValueError(
                f"GaussianCoupling: the joint covariance has a negative eigenvalue {values[0]}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an end."""
        return tuple(self.mean0.shape[self.num_batch_dims :])

    @classmethod
    def corrupted(cls, target: GaussianPrior, matrix: Tensor, sigma: float) -> Self:
        r"""Return the law of :math:`x_0 = M x_1 + \sigma \zeta` and x1, an image.

        The data-dependent coupling of :cite:t:`albergo2024`; M may put a measurement back into
        the space of the image.

        Args:
            target: Law of x1.
            matrix: M, ``(n, n)``.
            sigma: Noise of x0, positive: a base without noise in some direction gives a velocity
                that cannot fill it.

        Raises:
            ValueError: A sigma that is not positive, or a matrix of another shape.
        """
        if not sigma > 0:
            raise ValueError(f"GaussianCoupling: expected sigma > 0, got {sigma}")
        mean1, covariance = target.mean(), target.covariances[0]
        if matrix.shape != covariance.shape:
            raise ValueError(
                f"GaussianCoupling: expected a matrix of {tuple(covariance.shape)}, got "
                f"{tuple(matrix.shape)}"
            )
        mean0 = (matrix @ mean1.flatten()).reshape(mean1.shape)
        cross = matrix @ covariance
        noise = sigma**2 * torch.eye(len(matrix)).to(matrix)
        return cls(mean0, mean1, cross @ matrix.mT + noise, covariance, cross)

    def given_base(self, x0: Tensor) -> GaussianCoupling:
        """Return the law of both ends given x0 ``(*batch, *shape)``: x0 itself and a Gaussian x1.

        Raises:
            ValueError: Cov(x0) is singular, or x0 has another shape.
        """
        if x0.shape[-len(self.shape) :] != self.shape:
            raise ValueError(
                f"GaussianCoupling: expected x0 (*batch, *{self.shape}), got {tuple(x0.shape)}"
            )
        num_batch_dims = x0.ndim - len(self.shape)
        factor, failed = torch.linalg.cholesky_ex(self.covariance0)
        if failed:
            raise ValueError("GaussianCoupling: x0 of singular covariance cannot be a condition")
        gain = torch.cholesky_solve(self.cross, factor).mT
        offset = (x0.to(self.mean0) - self.mean0).flatten(num_batch_dims)
        mean1 = self.mean1 + (offset @ gain.mT).reshape(x0.shape)
        rest = self.covariance1 - gain @ self.cross
        nothing = torch.zeros_like(rest)
        return GaussianCoupling(
            x0.to(self.mean0), mean1, nothing, (rest + rest.mT) / 2, nothing, num_batch_dims
        )

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs, ``(count, *batch, *shape)``."""
        values, vectors = torch.linalg.eigh(self._joint())
        n, device = len(self.cross), generator.device
        size = (count, *self.mean0.shape[: self.num_batch_dims], 2 * n)
        z = torch.randn(size, generator=generator, device=device, dtype=self.mean0.dtype)
        noise = z.to(values) @ (vectors * values.clamp(min=0).sqrt()).mT
        x0, x1 = (part.reshape(count, *self.mean0.shape) for part in noise.split(n, -1))
        return Draw(self.mean0 + x0, self.mean1 + x1)

    def _joint(self) -> Tensor:
        top = torch.cat([self.covariance0, self.cross], 1)
        return torch.cat([top, torch.cat([self.cross.mT, self.covariance1], 1)])


class JointGaussianProcess(ClosedFormProcess):
    r"""An interpolant between jointly Gaussian ends.

    With S the covariances and :math:`K = \mathrm{Cov}(x_0, x_1)`,

    .. math:: C = \alpha^2 S_0 + \beta^2 S_1 + \alpha\beta (K + K^T) + \gamma^2, \quad
        b = m' + [\alpha'\alpha S_0 + \beta'\beta S_1 + \alpha'\beta K + \beta'\alpha K^T
        + \gamma'\gamma]\, C^{-1} (x - m)

    Args:
        interpolant: A kind with x0.
        coupling: Law of the ends.

    Raises:
        ValueError: An interpolant without x0.
    """

    def __init__(self, interpolant: Interpolant, coupling: GaussianCoupling) -> None:
        if not interpolant.has_x0:
            raise ValueError("JointGaussianProcess: expected an interpolant with x0")
        self.coupling = coupling
        mean0, mean1 = (
            mean.flatten(coupling.num_batch_dims).unsqueeze(-2)
            for mean in (coupling.mean0, coupling.mean1)
        )
        parts = (coupling.covariance0, coupling.covariance1, coupling.cross)
        self._dense = DenseComponents(mean0.new_zeros(1), mean0, mean1, *(p[None] for p in parts))
        super().__init__(interpolant, coupling.shape, self._dense)

    def conditioned(self, x0: Tensor) -> JointGaussianProcess:
        """Return the process given x0, one for each of ``(*batch, *shape)``.

        Its law is that of the bridges from x0 to p(x1 | x0): a point at time 0, where the fields
        are singular; start from a ``sample`` a little later.
        """
        return JointGaussianProcess(self.interpolant, self.coupling.given_base(x0))

    def sample(self, num_samples: int, t: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw x_t for a 0-dimensional t, ``(num_samples, *batch, *shape)``."""
        x0, x1, _ = self.coupling.draw(num_samples, generator)
        z = torch.randn(x1.shape, dtype=x1.dtype, generator=generator, device=generator.device)
        return self.interpolant.point(t, x0, x1, z.to(x1))

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean ``(*batch, *shape)`` and the covariance ``(n, n)`` of x_t at one t."""
        c, dense = self._at(t), self._dense
        mean = dense.mean(c.alpha, c.beta).reshape(self.coupling.mean0.shape)
        return mean, dense.combined(variance_terms(c))[0]
