"""Run down in noise: denoise, take a proximal data step, return to the next noise level."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser
from invdiff.rng import Streams
from invdiff.samplers.base import Generators, denoised
from invdiff.samplers.descent import Descent, kept_noise

__all__ = ["DDS", "DiffPIR", "DiffusionInfo", "DiffusionState", "ddim_noise", "renewed"]


class DiffusionState(NamedTuple):
    """The noisy image x0 + sigma n, and the squared norm of W^(1/2) A."""

    x: Tensor
    streams: Streams
    squared_norm: Tensor


class DiffusionInfo(NamedTuple):
    """The denoised image of a step, and the same corrected by the data."""

    denoised: Tensor
    corrected: Tensor


@dataclass(frozen=True)
class _ProximalDiffusion(Descent):
    """The loop of both methods, in the scaling x0 + sigma n; only two formulas differ."""

    num_steps: int = 100
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    rho: float = 7.0
    num_cg: int = 8
    clip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_cg < 1:
            raise ValueError(f"{type(self).__name__}: num_cg must be positive, got {self.num_cg}")

    @abc.abstractmethod
    def _step_size(self, state: DiffusionState, sigma: Tensor) -> Tensor:
        """Return tau of the proximal step, in squared units of the image."""

    @abc.abstractmethod
    def _noise(
        self, x: Tensor, info: DiffusionInfo, fresh: Tensor, sigma: Tensor, sigma_next: Tensor
    ) -> Tensor:
        """Return the noise that is added to the corrected image."""

    def init(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> DiffusionState:
        """Return a coarse image under noise of the highest level."""
        x, streams = self._start(likelihood, denoiser, num_samples, generator)
        return DiffusionState(x, streams, likelihood.norm() ** 2)

    def step(
        self,
        state: DiffusionState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[DiffusionState, DiffusionInfo]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""
        mean = denoised(denoiser, state.x, sigma, clip=self.clip)
        tau = self._step_size(state, sigma)
        info = DiffusionInfo(
            mean, likelihood.proximal(mean, tau, num_steps=self.num_cg, tolerance=0)
        )
        fresh = state.streams.normal(likelihood.image_shape, state.x)
        noise = self._noise(state.x, info, fresh, sigma.to(tau), sigma_next.to(tau))
        return state._replace(x=info.corrected + noise), info


@dataclass(frozen=True)
class DiffPIR(_ProximalDiffusion):
    r"""Plug-and-play restoration along a diffusion :cite:p:`zhu2023`.

    .. math:: \hat x_0 = \arg\min_z \tfrac12 \|t - A z\|_W^2 + \frac{\lambda}{2 \sigma_i^2}
        \|z - D(x_i, \sigma_i)\|^2, \qquad x_{i+1} = \hat x_0 + \sigma_{i+1}
        \Bigl(\sqrt{1 - \zeta}\, \frac{x_i - \hat x_0}{\sigma_i} + \sqrt{\zeta}\, n\Bigr)

    Targets a restoration, not the posterior. lambda = 1 would make the data step the mean of
    x0 given x and y if D had a spread of :math:`\sigma_i`; more than that, as by default, leans to
    the prior and away from the data. zeta is the share of fresh noise of every step, however
    small, so that more of it narrows what isn't observed. With a prior N(0.5, 0.2^2), 50 % of the
    pixels and sigma_y = 0.1 the defaults give 1.59 (observed) and 0.94 (unobserved) of the
    posterior's standard deviation, lambda = 1 gives 0.90 and 0.94.

    Args:
        num_steps: Network calls.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        num_cg: Conjugate gradient steps of each data step, started at D.
        clip: Whether D is clamped to the data range.
        regularization: lambda.
        noise_fraction: zeta, the share of fresh noise.

    Raises:
        ValueError: A number out of its range.
    """

    regularization: float = 7.0
    noise_fraction: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.regularization > 0 and 0 <= self.noise_fraction <= 1):
            raise ValueError(
                "DiffPIR: expected regularization > 0 and 0 <= noise_fraction <= 1, got "
                f"{self.regularization} and {self.noise_fraction}"
            )

    def _step_size(self, state: DiffusionState, sigma: Tensor) -> Tensor:
        return (sigma**2 / self.regularization).to(state.squared_norm)

    def _noise(
        self, x: Tensor, info: DiffusionInfo, fresh: Tensor, sigma: Tensor, sigma_next: Tensor
    ) -> Tensor:
        kept = (x - info.corrected) / sigma
        return sigma_next * renewed(kept, fresh, self.noise_fraction)


@dataclass(frozen=True)
class DDS(_ProximalDiffusion):
    r"""Decomposed diffusion sampling :cite:p:`chung2024`: few conjugate gradient steps, then DDIM.

    .. math:: \hat x_0 = \arg\min_z \tfrac12 \|z - D(x_i, \sigma_i)\|^2 + \frac{\gamma}{2 L}
        \|t - A z\|_W^2, \qquad x_{i+1} = \hat x_0 + \sqrt{\sigma_{i+1}^2 - c^2}\,
        \frac{x_i - D}{\sigma_i} + c\, n, \qquad c^2 = \eta^2 \sigma_{i+1}^2
        \Bigl(1 - \frac{\sigma_{i+1}^2}{\sigma_i^2}\Bigr)

    L is the squared norm of :math:`W^{1/2} A`, so that gamma means the same for all operators.
    The few steps from D are part of the method: more of them fit more noise.

    Targets a restoration, not the posterior: gamma takes no notice of how precise the data are,
    and at low levels D hardly pulls, so that what is observed settles on the data, noise and all.
    Where nothing is observed the steps are DDIM's, and the spread converges to the prior's. With a
    prior N(0.5, 0.2^2), 50 % of the pixels and sigma_y = 0.1 the defaults give 0.03 (observed) and
    0.94 (unobserved) of the posterior's standard deviation.

    Args:
        num_steps: Network calls.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        num_cg: Conjugate gradient steps of each data step.
        clip: Whether D is clamped to the data range.
        data_weight: gamma.
        eta: Share of fresh noise, from 0 (deterministic) to 1.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 50
    num_cg: int = 5
    data_weight: float = 1.0
    eta: float = 0.85

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.data_weight > 0 and 0 <= self.eta <= 1):
            raise ValueError(
                f"DDS: expected data_weight > 0 and 0 <= eta <= 1, got {self.data_weight} and "
                f"{self.eta}"
            )

    def _step_size(self, state: DiffusionState, sigma: Tensor) -> Tensor:
        return self.data_weight / state.squared_norm

    def _noise(
        self, x: Tensor, info: DiffusionInfo, fresh: Tensor, sigma: Tensor, sigma_next: Tensor
    ) -> Tensor:
        return ddim_noise(x - info.denoised, fresh, sigma, sigma_next, self.eta)


def renewed(noise: Tensor, fresh: Tensor, fraction: float) -> Tensor:
    r"""Return :math:`\sqrt{1 - \zeta}\, n + \sqrt{\zeta}\, n'`, noise with a share of new one.

    Args:
        noise: n, of variance 1.
        fresh: n', standard normals of the same shape.
        fraction: :math:`\zeta`, from 0 to 1.
    """
    return (1 - fraction) ** 0.5 * noise + fraction**0.5 * fresh


def ddim_noise(
    removed: Tensor, fresh: Tensor, sigma: Tensor, sigma_next: Tensor, eta: float
) -> Tensor:
    r"""Return the noise of the next level: a part of what was removed, and new one.

    .. math:: \sqrt{\sigma'^2 - c^2}\, \frac{x - D}{\sigma} + c\, n, \qquad
        c^2 = \eta^2 \sigma'^2 \Bigl(1 - \frac{\sigma'^2}{\sigma^2}\Bigr)

    Args:
        removed: x - D.
        fresh: n, standard normals of the same shape.
        sigma: Noise level of x.
        sigma_next: The next one, lower.
        eta: Share of fresh noise, from 0 (deterministic) to 1.
    """
    kept, added = kept_noise(sigma, sigma_next, eta)
    return kept * removed + added * fresh
