"""The problems on which samplers are timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from invdiff.bench.setups import random_images
from invdiff.likelihood import Likelihood
from operators import (
    GaussianNoise,
    ImageGrid,
    LinearOperator,
    Mask,
    ParallelBeam2D,
    ParallelGeometry,
)

__all__ = ["SAMPLER_CASES", "SamplerCase"]

_SIGMA = 0.05


@dataclass(frozen=True, eq=False)
class SamplerCase:
    """A batch of problems with values in [-1, 1].

    Args:
        title: What is measured, in words.
        likelihood: The problems, one measurement each.
        size: Rows and columns.
        mask: Of an inpainting problem.
        num_views: Of a CT problem; parallel rays over half a turn.
    """

    title: str
    likelihood: Likelihood
    size: int
    mask: Tensor | None = None
    num_views: int | None = None

    @property
    def batch(self) -> int:
        """Number of problems."""
        return self.likelihood.batch_shape[0]


def inpainting(size: int, batch: int, device: str) -> SamplerCase:
    """Half of the pixels missing."""
    mask = random_images(size, size, device=device) > 0
    title = f"Inpainting {size}^2, batch {batch}"
    return SamplerCase(title, _measured(Mask(mask), size, batch, device), size, mask=mask)


def sparse_view(size: int, batch: int, device: str, num_views: int = 30) -> SamplerCase:
    """CT from few views, in units in which a ray through the whole image measures about 1."""
    grid = ImageGrid((size, size), (1.0 / size, 1.0 / size))
    geometry = ParallelGeometry.covering(grid, num_views)
    operator = ParallelBeam2D(grid, geometry).to(device)
    title = f"CT of {num_views} views, {size}^2, batch {batch}"
    return SamplerCase(title, _measured(operator, size, batch, device), size, num_views=num_views)


def _measured(operator: LinearOperator, size: int, batch: int, device: str) -> Likelihood:
    x = random_images(batch, size, size, device=device).clamp(-1, 1)
    noise = GaussianNoise(_SIGMA)
    generator = torch.Generator(device).manual_seed(1)
    return Likelihood(operator, noise, noise.sample(operator(x), generator=generator))


_CPU: dict[str, Callable[[str], SamplerCase]] = {
    "inpainting-8": partial(inpainting, 64, 8),
    "inpainting-32": partial(inpainting, 64, 32),
    "ct-8": partial(sparse_view, 64, 8),
}
_CUDA: dict[str, Callable[[str], SamplerCase]] = {
    "inpainting-8": partial(inpainting, 256, 8),
    "inpainting-32": partial(inpainting, 256, 32),
    "ct-8": partial(sparse_view, 256, 8),
    "ct-32": partial(sparse_view, 256, 32),
}
SAMPLER_CASES = {"cpu": _CPU, "cuda": _CUDA}
