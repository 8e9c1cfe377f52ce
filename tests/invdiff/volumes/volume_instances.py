"""One list of samplers of volumes, and the small problem that every law runs on."""

from __future__ import annotations

import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.volumes import (
    DDS3D,
    DiffPIR3D,
    DiffusionMBIR,
    PerpendicularPrior,
    QuadraticZ,
    RedDiff3D,
    SlicePrior,
    Together,
    TotalVariationZ,
    VolumeSampler,
)
from operators import FiniteDifferences, GaussianNoise, SliceStack

SLICES, SHAPE = 6, (4, 3)


class Shrinking:
    """The prior of white planes of any size, of variance 1 about 0."""

    data_range = (-3.0, 3.0)

    def __init__(self, size: tuple[int, int]) -> None:
        self.image_shape = size

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x / (1 + sigma**2)


VOLUME_SAMPLERS: dict[str, VolumeSampler] = {
    "red-diff": RedDiff3D(num_steps=6),
    "red-diff-quadratic": RedDiff3D(num_steps=6, coupling=QuadraticZ(0.3)),
    "red-diff-tv": RedDiff3D(num_steps=6, coupling=TotalVariationZ(0.3)),
    "red-diff-tv-absolute": RedDiff3D(
        num_steps=6, coupling=TotalVariationZ(0.02, scaling="absolute")
    ),
    "red-diff-together": RedDiff3D(
        num_steps=6, coupling=Together((TotalVariationZ(0.3), QuadraticZ(0.1)))
    ),
    "dds": DDS3D(num_steps=6),
    "dds-tv": DDS3D(num_steps=6, coupling=TotalVariationZ(0.01, scaling="absolute")),
    "dds-deterministic": DDS3D(num_steps=6, eta=0.0, coupling=QuadraticZ(0.1)),
    "diffpir": DiffPIR3D(num_steps=6),
    "diffpir-tv": DiffPIR3D(num_steps=6, coupling=TotalVariationZ(0.1)),
    "mbir": DiffusionMBIR(num_steps=6, sigma_max=10.0),
    "mbir-ring": DiffusionMBIR(num_steps=6, sigma_max=10.0, ends="periodic", data_on="noisy"),
    "red-diff-perpendicular": RedDiff3D(
        num_steps=6,
        coupling=PerpendicularPrior(Shrinking, (1.0, 1.0, 1.0), planes="all", multiple=1),
    ),
}

# methods that need all slices in one place
WHOLE_ONLY: set[str] = set()


def slice_prior() -> GaussianMixturePrior:
    """Two kinds of slices, so that the denoiser is not linear."""
    generator = derive_generator(0, "prior")
    n = SHAPE[0] * SHAPE[1]
    factors = torch.randn(2, n, n, generator=generator, dtype=torch.float64)
    means = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    return GaussianMixturePrior(weights, means, factors @ factors.mT / n)


def problem(first: int = 0, count: int = SLICES) -> tuple[Likelihood, SlicePrior]:
    """The slices of a volume from ``first`` on, seen through an operator with a null space."""
    generator = derive_generator(0, "problem")
    prior = slice_prior()
    x = prior.sample(SLICES, generator=generator)
    noise, operator = GaussianNoise(0.2), FiniteDifferences(SHAPE)
    y = noise.sample(operator(x), generator=generator)[first : first + count]
    return Likelihood(SliceStack(operator, count), noise, y), SlicePrior(prior, count)
