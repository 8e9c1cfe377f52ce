"""The twisted diffusion sampler, with a choice of twists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser
from invdiff.samplers.base import Callback, Generators, Samples
from invdiff.samplers.dps import DPS
from invdiff.samplers.guided import GuidedSampler
from invdiff.samplers.moment_matching import MomentMatching
from invdiff.samplers.pigdm import PiGDM
from invdiff.samplers.resampling import Scheme
from invdiff.samplers.twisted import Twisted

__all__ = ["TDS"]


@dataclass(frozen=True)
class TDS:
    """Twisted diffusion sampling :cite:p:`wu2023`: guided particles, weighted to be consistent.

    The steps, weights and evidence are those of ``Twisted`` about the guide that ``twist``
    names; use that class for a guide with other settings.

    Targets the posterior under the chain of the denoiser: exact in the limit of many particles
    and steps, whatever the twist. With few particles it is as good as the twist: moment matching
    keeps nearly all of them effective where the prior is nearly Gaussian about a particle, the
    annealed twist of DPS loses them with the number of data.

    Args:
        num_steps: Network calls for each particle.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        twist: The approximation of the likelihood of a noisy image.
        ess_threshold: Share of effective particles that asks for resampling; None: every step.
        scheme: How ancestors are drawn.
        prior_std: For the twist of PiGDM, in half data ranges.
        num_cg: Conjugate gradient steps of the twists of moment matching and PiGDM.
        clip: Whether D is clamped to the data range; no gradient passes where it is.
        chunk_size: Particles whose graph is in memory at once; None: all.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 100
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    rho: float = 7.0
    twist: Literal["dps", "pigdm", "moment-matching"] = "moment-matching"
    ess_threshold: float | None = 0.5
    scheme: Scheme = "systematic"
    prior_std: float = 1.0
    num_cg: int = 5
    clip: bool = False
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        self.twisted()

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw weighted particles; see ``Twisted.sample`` for the rest and for ``info``."""
        return self.twisted().sample(
            likelihood, denoiser, num_samples, generator=generator, callback=callback
        )

    def twisted(self) -> Twisted:
        """Return the particle sampler, whose ``init``, ``step`` and ``finish`` are public.

        Raises:
            ValueError: A number out of its range, or an unknown twist.
        """
        return Twisted(self._guide(), ess_threshold=self.ess_threshold, scheme=self.scheme)

    def _guide(self) -> GuidedSampler:
        num_steps, sigmas = self.num_steps, (self.sigma_max, self.sigma_min, self.rho)
        if self.twist == "dps":
            return DPS(
                num_steps, *sigmas, clip=self.clip, chunk_size=self.chunk_size,
                guidance_kind="annealed",
            )  # fmt: skip
        if self.twist == "pigdm":
            return PiGDM(
                num_steps, *sigmas, clip=self.clip, chunk_size=self.chunk_size,
                prior_std=self.prior_std, num_cg=self.num_cg,
            )  # fmt: skip
        if self.twist == "moment-matching":
            return MomentMatching(
                num_steps, *sigmas, clip=self.clip, chunk_size=self.chunk_size, num_cg=self.num_cg
            )
        raise ValueError(
            f"TDS: expected the twist dps, pigdm or moment-matching, got {self.twist!r}"
        )
