"""The checkerboard, and the process from normal noise to it, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from invdiff.interpolants.interpolant import OneSided

__all__ = ["Checkerboard", "CheckerboardProcess"]

_LINEAR = OneSided()


@dataclass(frozen=True)
class Checkerboard:
    """The uniform law on every other square of a board about the origin.

    Args:
        columns: Squares along each side, even.
        side: Of a square.

    Raises:
        ValueError: An odd number of columns, none, or no side.
    """

    columns: int = 4
    side: float = 2.0

    def __post_init__(self) -> None:
        if self.columns < 2 or self.columns % 2 or not 0 < self.side < math.inf:
            raise ValueError(
                f"Checkerboard: expected columns 2, 4, ... and side > 0, got {self.columns} and "
                f"{self.side}"
            )

    @property
    def half_width(self) -> float:
        """Where the board ends."""
        return self.columns * self.side / 2

    @property
    def area(self) -> float:
        """Of the support."""
        return self.columns**2 * self.side**2 / 2

    @property
    def entropy(self) -> float:
        """In nats; minus the log density on the support."""
        return math.log(self.area)

    @property
    def std(self) -> float:
        """Of each coordinate, which is uniform over the board."""
        return self.columns * self.side / math.sqrt(12)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw points ``(count, 2)``, float32."""
        device = generator.device
        column, half = (
            torch.randint(n, (count,), generator=generator, device=device)
            for n in (self.columns, self.columns // 2)
        )
        corner = torch.stack([column, 2 * half + column % 2], -1)
        within = torch.rand(count, 2, generator=generator, device=device)
        return self.side * (corner + within) - self.half_width

    def contains(self, x: Tensor) -> Tensor:
        """Return whether points ``(*batch, 2)`` are on the support."""
        square = ((x + self.half_width) / self.side).floor()
        inside = ((square >= 0) & (square < self.columns)).all(-1)
        return inside & (square.sum(-1) % 2 == 0)

    def smoothed_log_prob(self, x: Tensor, std: float) -> Tensor:
        """Return the log density of a point of the law plus normal noise, in float64.

        Args:
            x: ``(*batch, 2)``.
            std: Of the noise.
        """
        edges = self._edges(x.double())
        # log of the normal's mass between two edges, over the side
        mass = _log_mass((edges[..., :-1] - x.double().unsqueeze(-1)) / std, self.side / std)
        log_density = mass - math.log(self.side)
        both = log_density[..., 0, :, None] + log_density[..., 1, None, :]
        on = self._squares(x.device)
        count = self.columns**2 // 2
        return both[..., on].logsumexp(-1) - math.log(count)

    def mean_smoothed_log_prob(self, std: float, nodes: int = 100) -> float:
        """Return the mean of ``smoothed_log_prob`` over the law itself, without that noise.

        Args:
            std: Of the noise.
            nodes: Of a Gauss-Legendre rule for each side of a square.
        """
        points, weights = (torch.from_numpy(part) for part in leggauss(nodes))
        starts = self._edges(points)[:-1, None]
        axis = starts + self.side * (points + 1) / 2
        # squares of one color, by row and column, and the points in them
        first, second = self._squares(points.device).nonzero(as_tuple=True)
        shape = (len(first), nodes, nodes)
        rows, columns = axis[first, :, None].expand(shape), axis[second, None].expand(shape)
        grid = torch.stack([rows, columns], -1)
        values = self.smoothed_log_prob(grid, std)
        return float((values * weights[:, None] * weights).sum() / 4 / len(first))

    def _edges(self, like: Tensor) -> Tensor:
        return torch.linspace(
            -self.half_width,
            self.half_width,
            self.columns + 1,
            dtype=like.dtype,
            device=like.device,
        )

    def _squares(self, device: torch.device) -> Tensor:
        """Return the mask ``(columns, columns)`` of the squares of the support."""
        number = torch.arange(self.columns, device=device)
        return (number[:, None] + number) % 2 == 0


@dataclass(frozen=True)
class CheckerboardProcess:
    r"""The linear one-sided interpolant to a checkerboard, with its exact fields.

    Given :math:`x_t = (1 - t) z + t x_1 = x`, a coordinate of :math:`x_1` in a square is normal of
    mean :math:`x / t` and standard deviation :math:`(1 - t) / t`, cut off at the square's edges.

    Args:
        law: Of x_1.
    """

    law: Checkerboard
    interpolant: OneSided = _LINEAR

    def draw(self, t: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw points ``(count, 2)`` of the law of x_t, for one time; float32."""
        x1 = self.law.draw(count, generator)
        z = torch.randn(x1.shape, generator=generator, device=generator.device)
        return self.interpolant.point(t, None, x1, z)

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the log density of x_t at points ``(*batch, 2)``, in float64; t in (0, 1)."""
        # x_t / t is x_1 with noise
        smoothed = self.law.smoothed_log_prob(x.double() / t, float((1 - t) / t))
        return smoothed - 2 * float(t.log())

    def target(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the mean of x_1 given x_t = x ``(batch, 2)``; t inside of (0, 1)."""
        point, t = x.double(), t.double()
        t = t.unsqueeze(-1) if t.ndim else t
        scaled = t / (1 - t)
        edges = self.law._edges(point)
        low = (scaled[..., None] * edges[:-1]) - (point / (1 - t)).unsqueeze(-1)
        width = (scaled * self.law.side)[..., None].expand_as(low)
        mass = _log_mass(low, width)
        # of the normal cut off at both edges
        excess = (_log_normal(low) - mass).exp() - (_log_normal(low + width) - mass).exp()
        means = (point / t).unsqueeze(-1) + excess / scaled[..., None]
        both = mass[..., 0, :, None] + mass[..., 1, None, :]
        both = both.masked_fill(~self.law._squares(x.device), -math.inf)
        weights = both.flatten(-2).softmax(-1).reshape(both.shape)
        first = (weights.sum(-1) * means[..., 0, :]).sum(-1)
        second = (weights.sum(-2) * means[..., 1, :]).sum(-1)
        return torch.stack([first, second], -1).to(x.dtype)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b."""
        return (self.target(x, t) - x) / (1 - _like(t, x))

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        time = _like(t, x)
        return (time * self.target(x, t) - x) / (1 - time) ** 2


def _like(t: Tensor, x: Tensor) -> Tensor:
    time = t.to(x)
    return time.unsqueeze(-1) if time.ndim else time


def _log_normal(x: Tensor) -> Tensor:
    return -(x**2) / 2 - math.log(2 * math.pi) / 2


def _log_mass(low: Tensor, width: Tensor | float) -> Tensor:
    """Return the log of the standard normal's mass in [low, low + width], also far out."""
    high = low + width
    # the tail on the side where there is less
    right = low > 0
    near, far = torch.where(right, -low, high), torch.where(right, -high, low)
    big, small = torch.special.log_ndtr(near), torch.special.log_ndtr(far)
    return big + torch.log(-torch.expm1(small - big))
