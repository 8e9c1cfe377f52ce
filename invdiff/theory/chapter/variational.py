"""The variational view: bounds, losses and kernels of chains of latent images."""

from __future__ import annotations

from invdiff.theory.chapter import (
    variational_bounds,
    variational_end,
    variational_information,
    variational_kernels,
    variational_objectives,
    variational_pfgm,
    variational_posteriors,
    variational_shifted,
    variational_variance,
)
from invdiff.theory.chapter.fact import Section

__all__ = ["SECTION"]

SECTION = Section(
    "variational",
    "The variational view",
    "A diffusion model is a chain of latent images, each a little less noisy than the last. Its "
    "bound on the evidence is a sum of divergences between Gaussians, and what is left to learn "
    "is a mean: that of the clean image. Bound, losses and kernels have closed forms.",
    (
        *variational_bounds.FACTS,
        *variational_end.FACTS,
        *variational_variance.FACTS,
        *variational_objectives.FACTS,
        *variational_information.FACTS,
        *variational_posteriors.FACTS,
        *variational_kernels.FACTS,
        *variational_shifted.FACTS,
        *variational_pfgm.FACTS,
    ),
)
