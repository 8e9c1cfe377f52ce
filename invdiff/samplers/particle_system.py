"""The published system of weighted particles of the posterior's evolution, as a reference."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import NumericalWarning
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Population, population
from invdiff.samplers.base import (
    Callback,
    Generators,
    Progress,
    Samples,
    check_problem,
    karras_sigmas,
)
from invdiff.samplers.particle_data import (
    DataTerm,
    GeneralLikelihood,
    LinearData,
    data_term,
    draw_probes,
)
from invdiff.samplers.particle_moves import (
    Levels,
    corrected,
    euler_step,
    prior_score,
    split_step,
    tilted_start,
)
from invdiff.samplers.resampling import Scheme, ancestors, effective_sample_size, take

__all__ = ["ParticleSystem", "ParticleSystemInfo", "ParticleSystemState"]

AnyLikelihood = Likelihood | GeneralLikelihood

# smaller ensembles are for trying things out: that their weights collapse is no news
_JUDGED = 10


class ParticleSystemState(NamedTuple):
    """Particles of a noise level with their weights.

    Args:
        x: Particles, ``(num_samples, *problems, *image_shape)``; on the host with ``chunk_size``.
        log_weights: Not normalised, float64, ``(num_samples, *problems)``.
        log_evidence: What was taken out of the weights so far, float64, ``problems``.
        probes: For Laplacians that have to be estimated, None otherwise.
        source: The streams of the problems.
    """

    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    probes: Tensor | None
    source: Population


class ParticleSystemInfo(NamedTuple):
    """What a step did, each of shape ``problems``.

    Args:
        effective_sample_size: Of the weights before resampling, from 1/N to 1.
        resampled: Whether the particles were resampled.
    """

    effective_sample_size: Tensor
    resampled: Tensor


@dataclass(frozen=True)
class ParticleSystem:
    r"""The published AFDPS particle system: guided particles whose weights correct the guidance.

    With :math:`\mu(x) = \tfrac12 \|t - A x\|_W^2`, noise levels t from high to low,
    :math:`du = -d(t^2)`, the score s of the prior under noise and :math:`g = \alpha_t \nabla \mu`,
    the particles of :math:`Q_t = p_t e^{-\alpha_t \mu}` obey :cite:p:`chen2025`

    .. math:: dx = \bigl(\tfrac{1 + c}{2}\, s - \kappa c\, g\bigr) du + \sqrt{c\, du}\, n, \qquad
        d \log w = \bigl[(\kappa - \tfrac12)\, c\, (|g|^2 - \alpha_t \Delta \mu - s \cdot g)
        - \tfrac12\, s \cdot g\bigr] du - \mu\, d\alpha_t

    for any :math:`\kappa`. The published split is :math:`\kappa = 1`. Its particles are drawn in
    more tightly than the posterior is wide, and the weights that should correct this have nearly
    infinite variance: **its variance stays 10 % low on the simplest problem, whatever the number
    of steps and particles**. :math:`\kappa = \tfrac12` makes the stochastic part Langevin dynamics
    of :math:`Q_t`, and the same equation converges.

    Targets p(x | y), with weights for the exact noise model: a last weight goes from the quadratic
    to it. The known bias is that of the split above, of steps of first order in du, and of a
    Gaussian at the start. Use it to compare with; ``Ensemble`` is the method for work.

    Args:
        num_steps: Noise levels, the last step goes to 0.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level above 0, in half data ranges.
        rho: Exponent of the grid of noise levels; 1 is a linear one.
        variant: "sde", or "ode+corrector": the transport without noise (c = 0), and after it a
            step of Langevin dynamics of :math:`Q_t` over the time c du / 2, a second network call.
        likelihood_weight: "annealed": :math:`\alpha_t = (T - t) / T` from the prior at T;
            "constant": :math:`\alpha = 1`, from the exact tilted Gaussian at T.
        kappa: The split.
        diffusion: c, noise of the particles relative to that of the prior's own reverse SDE.
        data_step: "exact" splits each step into the transport, whose weight is the change of
            :math:`\alpha \mu`, the part of :math:`\kappa - \tfrac12`, and Langevin dynamics, the
            latter two with their linear data term integrated exactly; "euler" is the published
            step, which is unstable for precise data. Of nonlinear data the gradients are explicit
            in both.
        prior_std: Spread of the prior, in half data ranges, added to that of the start.
        resample_below: Effective sample size below which particles are resampled, as a fraction;
            0 never does.
        resampling: How they are.
        num_probes: Hutchinson probes of the Laplacian, for operators without a known SVD.
        num_cg: Conjugate gradient steps of a solve, for the same.
        chunk_size: So many particles are on the device at once, all others on the host; 0 keeps
            all there. The result is the same up to rounding.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 400
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    rho: float = 7.0
    variant: Literal["sde", "ode+corrector"] = "sde"
    likelihood_weight: Literal["annealed", "constant"] = "annealed"
    kappa: float = 1.0
    diffusion: float = 1.0
    data_step: Literal["exact", "euler"] = "exact"
    prior_std: float = 0.5
    resample_below: float = 0.5
    resampling: Scheme = "systematic"
    num_probes: int = 8
    num_cg: int = 20
    chunk_size: int = 0

    def __post_init__(self) -> None:
        karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        choices = {
            "variant": ("sde", "ode+corrector"),
            "likelihood_weight": ("annealed", "constant"),
            "data_step": ("exact", "euler"),
            "resampling": get_args(Scheme),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise ValueError(f"ParticleSystem: {name} must be one of {known}, got {value!r}")
        least = {"diffusion": 0, "prior_std": 0, "chunk_size": 0, "num_probes": 1, "num_cg": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(
                    f"ParticleSystem: {name} must be at least {bound}, got {getattr(self, name)}"
                )
        if not 0 <= self.resample_below <= 1:
            raise ValueError(
                f"ParticleSystem: expected 0 <= resample_below <= 1, got {self.resample_below}"
            )

    def sample(
        self,
        likelihood: AnyLikelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw one ensemble for each problem, all in one batch.

        Args:
            likelihood: One problem or a batch of them; of a nonlinear operator, any object with
                what ``GeneralLikelihood`` lists.
            denoiser: Prior in the units of the likelihood's image.
            num_samples: Particles of each problem.
            generator: One, or one per problem; see ``population``.
            callback: Called after each step; its misfit is NaN for nonlinear operators.

        Returns:
            Weighted particles; ``info`` has over the steps "effective_sample_size" and
            "resampled", and "log_evidence", an estimate of log p(y) for each problem (NaN where
            it rests on a determinant that is not known: without an SVD, for the constant
            likelihood or with the exact data step and kappa other than 1/2).

        Raises:
            ValueError: The prior doesn't fit the operator, or the choices don't fit nonlinear data.

        Warns:
            NumericalWarning: Before the first step, that the Euler step is unstable; after the
                last, the first step in which fewer than two particles had all the weight.
        """
        state = self.init(likelihood, denoiser, num_samples, generator=generator)
        sigmas = half_range(denoiser) * self._levels().to(state.log_weights.device)
        if self.data_step == "euler" and isinstance(likelihood, Likelihood):
            self._check_stability(likelihood, sigmas)
        infos = []
        for i in range(self.num_steps):
            last = i == self.num_steps - 1
            state, info = self.step(
                state, sigmas[i], sigmas[i + 1], likelihood, denoiser, resample=not last
            )
            infos.append(info)
            if callback is not None:
                callback(
                    Progress(i, self.num_steps, sigmas[i], _misfit(likelihood, state), state.x)
                )
        return self._finished(state, infos, likelihood)

    def init(
        self,
        likelihood: AnyLikelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> ParticleSystemState:
        """Return particles of the highest noise level, all of weight 1."""
        half = check_problem(likelihood, denoiser)  # type: ignore[arg-type]
        if num_samples < 1:
            raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
        data = data_term(likelihood, self.num_cg)
        self._check_data(data)
        source = population(generator, likelihood.batch_shape)
        middle = denoiser.data_range[0] + half
        variance = half**2 * (self.sigma_max**2 + self.prior_std**2)
        if self.likelihood_weight == "constant":
            assert isinstance(data, LinearData)
            x, log_mass = tilted_start(data, middle, variance, source, num_samples)
        else:
            noise = source.normal(num_samples, data.image_shape, data.like)
            x = middle + variance**0.5 * noise
            log_mass = torch.zeros(
                likelihood.batch_shape, dtype=torch.float64, device=data.like.device
            )
        weights = torch.zeros(
            num_samples, *likelihood.batch_shape, dtype=torch.float64, device=data.like.device
        )
        probes = None
        if self._needs_probes(data):
            probes = draw_probes(data, likelihood.batch_shape, self.num_probes, source)
        return ParticleSystemState(self._kept(x), weights, log_mass, probes, source)

    def step(
        self,
        state: ParticleSystemState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: AnyLikelihood,
        denoiser: Denoiser,
        *,
        resample: bool = True,
    ) -> tuple[ParticleSystemState, ParticleSystemInfo]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""
        data = data_term(likelihood, self.num_cg)
        noise = state.source.normal(len(state.x), data.image_shape, state.x)
        top = half_range(denoiser) * self.sigma_max
        levels = Levels(sigma, sigma_next, self._alpha(sigma, top), self._alpha(sigma_next, top))
        size = self.chunk_size or len(state.x)
        moved, changes = [], []
        for x, n in zip(torch.split(state.x, size), torch.split(noise, size), strict=True):
            device = state.log_weights.device
            x, change = self._moved(
                x.to(device), n.to(device), levels, data, denoiser, state.probes
            )
            moved.append(self._kept(x))
            changes.append(change)
        log_weights = state.log_weights + torch.cat(changes)
        state = state._replace(x=torch.cat(moved), log_weights=log_weights)
        return self._resampled(state, resample)

    def _moved(
        self,
        x: Tensor,
        noise: Tensor,
        levels: Levels,
        data: DataTerm,
        denoiser: Denoiser,
        probes: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the particles of the next level and the change of their log weights."""
        score = prior_score(denoiser, x, levels.sigma)
        c = self.diffusion if self.variant == "sde" else 0.0
        exact = self.data_step == "exact"
        take_step = split_step if exact else euler_step
        x, change = take_step(x, noise, score, c, self.kappa, levels, data, probes)
        if self.variant == "sde" or self.diffusion == 0:
            return x, change
        return corrected(x, noise, levels, data, denoiser, self.diffusion, exact=exact), change

    def _resampled(
        self, state: ParticleSystemState, resample: bool
    ) -> tuple[ParticleSystemState, ParticleSystemInfo]:
        ess = effective_sample_size(state.log_weights)
        wanted = (ess < self.resample_below) & resample
        chosen = ancestors(state.log_weights, state.source, self.resampling)
        itself = torch.arange(len(state.x), device=chosen.device)
        itself = itself.reshape(-1, *(1,) * (chosen.ndim - 1)).expand_as(chosen)
        index = torch.where(wanted, chosen, itself).to(state.x.device)
        log_mean = state.log_weights.logsumexp(0) - math.log(len(state.x))
        state = state._replace(
            x=take(state.x, index),
            log_weights=torch.where(wanted, 0.0, state.log_weights),
            log_evidence=state.log_evidence + torch.where(wanted, log_mean, 0.0),
        )
        return state, ParticleSystemInfo(ess, wanted)

    def _finished(
        self, state: ParticleSystemState, infos: list[ParticleSystemInfo], likelihood: AnyLikelihood
    ) -> Samples:
        data, device = data_term(likelihood, self.num_cg), state.log_weights.device
        pieces = torch.split(state.x, self.chunk_size or len(state.x))
        last = torch.cat([data.correction(x.to(device)) for x in pieces])
        log_weights = state.log_weights + last
        log_mean = log_weights.logsumexp(0) - math.log(len(state.x))
        ess = torch.stack([info.effective_sample_size for info in infos])
        _check_collapse(ess, len(state.x))
        info = {
            "effective_sample_size": ess,
            "resampled": torch.stack([info.resampled for info in infos]),
            "log_evidence": state.log_evidence + log_mean + self._unknown(data),
        }
        kept = log_weights.log_softmax(0).to(state.x.real).to(state.x.device)
        return Samples(state.x, kept, info)

    def _unknown(self, data: DataTerm) -> float:
        """Return NaN where a determinant is missing from the evidence, 0 elsewhere."""
        if not isinstance(data, LinearData) or data.spectral is not None:
            return 0.0
        contracts = self.variant == "sde" and self.kappa != 0.5 and self.diffusion > 0
        missing = contracts and self.data_step == "exact"
        return float("nan") if missing or self.likelihood_weight == "constant" else 0.0

    def _needs_probes(self, data: DataTerm) -> bool:
        if self.kappa == 0.5 or self.variant != "sde":
            return False
        return not isinstance(data, LinearData) or data.spectral is None

    def _check_data(self, data: DataTerm) -> None:
        linear = isinstance(data, LinearData)
        if self.likelihood_weight == "constant" and not linear:
            raise ValueError(
                "ParticleSystem: a constant likelihood starts at a Gaussian, which a nonlinear "
                "operator has not: use likelihood_weight='annealed'"
            )
        implicit = isinstance(data, LinearData) and data.spectral is None
        if implicit and self.data_step == "exact" and self.kappa < 0.5:
            raise ValueError(
                f"ParticleSystem: kappa < 1/2 needs the SVD of the operator or "
                f"data_step='euler', got {self.kappa}"
            )

    def _check_stability(self, likelihood: Likelihood, sigmas: Tensor) -> None:
        """Warn of the first Euler step that is longer than the data allow."""
        squared = (likelihood.norm().double() ** 2).max()
        du = sigmas[:-1] ** 2 - sigmas[1:] ** 2
        share = self.kappa if self.variant == "sde" else 0.5
        rates = share * self.diffusion * squared * self._alpha(sigmas[:-1], sigmas[0]) * du
        if bool((rates < 1).all()):
            return
        i = int((rates >= 1).nonzero()[0, 0])
        bound = (sigmas[i] - sigmas[i + 1]) / rates[i]
        warnings.warn(
            f"ParticleSystem: the Euler step {i} is {float(sigmas[i] - sigmas[i + 1]):.3g} in t; "
            f"the data allow less than sigma_y^2 / (2 t s_max^2), here {float(bound):.3g}: use "
            "more steps or data_step='exact'",
            NumericalWarning,
            stacklevel=3,
        )

    def _alpha(self, sigma: Tensor, top: Tensor | float) -> Tensor:
        if self.likelihood_weight == "constant":
            return torch.ones_like(sigma, dtype=torch.float64)
        return (1 - sigma.double() / top).clamp(0, 1)

    def _levels(self) -> Tensor:
        levels = karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        return torch.cat([levels, levels.new_zeros(1)])

    def _kept(self, x: Tensor) -> Tensor:
        return x.cpu() if self.chunk_size else x


def _misfit(likelihood: AnyLikelihood, state: ParticleSystemState) -> Tensor:
    if not isinstance(likelihood, Likelihood):
        return torch.full_like(state.log_weights, float("nan"))
    return likelihood.residual_over_noise(state.x.to(state.log_weights.device))


def _check_collapse(ess: Tensor, count: int) -> None:
    collapsed = (ess.reshape(len(ess), -1) * count < 2).any(1)
    if count < _JUDGED or not bool(collapsed.any()):
        return
    step = int(collapsed.nonzero()[0, 0])
    warnings.warn(
        f"ParticleSystem: fewer than 2 of {count} particles had all the weight in step {step}",
        NumericalWarning,
        stacklevel=4,
    )
