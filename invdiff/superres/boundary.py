"""Boundary conditions x_T: drawn, zero, at the posterior mean, or found once and shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.rng import derive_generator, draw_seeds
from invdiff.superres.conditional import ConditionalDenoiser, calls_of
from invdiff.superres.ode import SuperResolutionOde, WideStart
from invdiff.superres.pairs import Boundary

__all__ = [
    "BoundaryCost",
    "FoundBoundary",
    "PosteriorMeanBoundary",
    "RandomBoundary",
    "SharedBoundary",
    "ZeroBoundary",
    "cost_of",
    "drawn_boundary",
    "tiled",
]


class BoundaryCost(NamedTuple):
    """Network calls of a boundary beside those of the ODE: per image, and once for all images."""

    per_image: int = 0
    once: int = 0


def cost_of(boundary: Boundary) -> BoundaryCost:
    """Return the attribute ``cost`` of a boundary; one that has none costs nothing."""
    cost: BoundaryCost = getattr(boundary, "cost", BoundaryCost())
    return cost


def drawn_boundary(
    seed: int, *labels: str | int, shape: Sequence[int], like: Tensor, device: torch.device
) -> Tensor:
    """Draw x_T ~ N(0, I) from the stream of that seed and those labels, as ``like`` in type.

    Args:
        seed: See ``derive_generator``.
        labels: See ``derive_generator``.
        shape: Of x_T.
        like: Gives dtype and device of x_T.
        device: Where it is drawn.
    """
    stream = derive_generator(seed, *labels, device=device)
    return torch.randn(tuple(shape), generator=stream, device=device, dtype=like.dtype).to(like)


def tiled(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Continue x periodically to that shape, from its first corner; cut it where it is larger."""
    repeats = [-(-wanted // n) for wanted, n in zip(shape, x.shape, strict=True)]
    return x.repeat(repeats)[tuple(slice(n) for n in shape)]


@dataclass(frozen=True)
class ZeroBoundary:
    r"""x_T = 0, the point of highest density: the ODE starts at the rough image c(y).

    Args:
        denoiser: Says how large the image of a measurement is.
    """

    denoiser: ConditionalDenoiser

    def __call__(self, y: Tensor) -> Tensor:
        """Return zeros ``(*batch, *image)``."""
        return torch.zeros_like(self.denoiser.center(y))


class RandomBoundary:
    r"""x_T ~ N(0, I), the usual start, which makes h(x_T, y) a sample of the posterior.

    Calls with as many measurements give the same x_T: all randomness is in the construction.
    Image i of a batch gets a stream of its own, which doesn't depend on how many there are.

    Args:
        denoiser: Says how large the image of a measurement is.
        image_shape: Of x_T.
        generator: Gives one seed.
        shared: Whether all measurements get the same x_T, or each its own.
    """

    def __init__(
        self,
        denoiser: ConditionalDenoiser,
        image_shape: Sequence[int],
        *,
        generator: torch.Generator,
        shared: bool,
    ) -> None:
        self.denoiser, self.image_shape, self.shared = denoiser, tuple(image_shape), shared
        (self._seed,), self._device = draw_seeds(generator, 1), generator.device

    def __call__(self, y: Tensor) -> Tensor:
        """Return ``(*image)`` if shared, else ``(*batch, *image)``.

        Raises:
            ValueError: The images of these measurements have another shape.
        """
        center = self.denoiser.center(y)
        batch = center.shape[: center.ndim - len(self.image_shape)]
        if center.shape != (*batch, *self.image_shape):
            raise ValueError(
                f"RandomBoundary: expected images of {self.image_shape}, got {tuple(center.shape)}"
            )
        if self.shared:
            return self._draw(0, center)
        draws = [self._draw(i, center) for i in range(batch.numel())]
        return torch.stack(draws).reshape(center.shape) if draws else center

    def _draw(self, i: int, like: Tensor) -> Tensor:
        labels, shape = ("boundary", i), self.image_shape
        return drawn_boundary(self._seed, *labels, shape=shape, like=like, device=self._device)


class PosteriorMeanBoundary:
    r"""Start at the posterior mean seen from the highest noise level, at one more call.

    .. math:: x_T = \frac{D(c(y), \sigma_{max}, y) - c(y)}{\sigma_{max}}

    For a Gaussian posterior and a high noise level, the ODE leads from there to the posterior
    mean itself.

    Args:
        ode: h, started as usual (``WideStart``).

    Raises:
        ValueError: An ODE with another start.
    """

    def __init__(self, ode: SuperResolutionOde) -> None:
        if not isinstance(ode.start, WideStart):
            raise ValueError(
                f"PosteriorMeanBoundary: expected an ODE with a WideStart, got {ode.start!r}"
            )
        self.ode, self.cost = ode, BoundaryCost(per_image=calls_of(ode.denoiser))

    def __call__(self, y: Tensor) -> Tensor:
        """Return ``(*batch, *image)``; not of unit variance."""
        center, sigma = self.ode.denoiser.center(y), self.ode.sigmas[0]
        return (self.ode.denoiser(center, sigma, y) - center) / sigma.to(center)


class SharedBoundary:
    r"""One x_T for all measurements, continued periodically for larger images.

    .. math:: x_T[i, j] = x_T[i \bmod h,\ j \bmod w]

    Smaller images get its first corner.

    Args:
        x_T: ``(*image)``, as ``search_boundary`` finds it.
        denoiser: Says how large the image of a measurement is.
        calls_spent: Network calls of the search.

    Raises:
        ValueError: x_T that is empty or not finite.
    """

    def __init__(
        self,
        x_T: Tensor,
        denoiser: ConditionalDenoiser,
        *,
        calls_spent: int = 0,
    ) -> None:
        if x_T.numel() == 0 or not x_T.isfinite().all():
            raise ValueError(f"SharedBoundary: expected finite values, got {tuple(x_T.shape)}")
        self.x_T, self.denoiser = x_T, denoiser
        self.cost = BoundaryCost(once=calls_spent)

    def __call__(self, y: Tensor) -> Tensor:
        """Return ``(*image)``.

        Raises:
            ValueError: Images with fewer axes than x_T.
        """
        center = self.denoiser.center(y)
        if center.ndim < self.x_T.ndim:
            raise ValueError(
                f"SharedBoundary: x_T has shape {tuple(self.x_T.shape)}, the image of y "
                f"{tuple(center.shape)}"
            )
        return tiled(self.x_T.to(center), center.shape[center.ndim - self.x_T.ndim :])


@dataclass(frozen=True, kw_only=True)
class FoundBoundary:
    """One x_T that was found on references, and what that cost.

    Args:
        x_T: ``(*image)``.
        num_calls: Network calls spent, one per image; a backward pass as two.
    """

    x_T: Tensor
    num_calls: int

    def boundary(self, denoiser: ConditionalDenoiser) -> SharedBoundary:
        """Return x_T as the boundary of all measurements, of any size."""
        return SharedBoundary(self.x_T, denoiser, calls_spent=self.num_calls)
