"""Run down in noise with the gradient of a likelihood through the denoiser: the shared loop."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import inner
from invdiff.priors.denoiser import Denoiser
from invdiff.rng import Streams
from invdiff.samplers.base import Generators, check_problem, denoised
from invdiff.samplers.descent import Descent, kept_noise

__all__ = [
    "Guidance",
    "GuidedInfo",
    "GuidedSampler",
    "GuidedState",
    "Pull",
    "Scale",
    "Vjp",
    "problem_scale",
]

# J^T u for u in the shape of the image
Vjp = Callable[[Tensor], Tensor]


class Guidance(NamedTuple):
    """The denoiser and what the data say, at one noise level.

    Args:
        denoised: D, in the shape of x.
        score: The approximation of the gradient of log p(y | x_sigma), in the shape of x.
        log_twist: That of log p(y | x_sigma), up to a constant; ``(num, *problems)``, float64.
        gain: The mean of the diagonal of the Jacobian of D, estimated along one probe, so that
            sigma^2 times it is the mean variance of x0 given x; like the twist, NaN without probe.
    """

    denoised: Tensor
    score: Tensor
    log_twist: Tensor
    gain: Tensor


class Scale(NamedTuple):
    """Half the data range, and the squared norm of W^(1/2) A of each problem."""

    half: float
    squared_norm: Tensor


class Pull(NamedTuple):
    """What the data say about D: a vector whose J^T is the score, and the log of the twist."""

    vector: Tensor
    log_twist: Tensor


class GuidedState(NamedTuple):
    """The noisy image x0 + sigma n, the units of the problem, and the step before."""

    x: Tensor
    streams: Streams
    scale: Scale
    last_mean: Tensor | None = None
    last_sigma: Tensor | None = None


class GuidedInfo(NamedTuple):
    """The guidance of a step, and the denoised image that it leads to."""

    guidance: Guidance
    corrected: Tensor


@dataclass(frozen=True)
class GuidedSampler(Descent):
    """The loop of all guided methods, in the scaling x0 + sigma n; they differ in the score."""

    num_steps: int = 1000
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    rho: float = 7.0
    eta: float = 1.0
    order: Literal[1, 2] = 1
    clip: bool = False
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1 or self.order not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: expected 0 <= eta <= 1 and order 1 or 2, got {self.eta} "
                f"and {self.order}"
            )
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError(
                f"{type(self).__name__}: chunk_size must be positive, got {self.chunk_size}"
            )

    @abc.abstractmethod
    def _pull(
        self, mean: Tensor, sigma: Tensor, likelihood: Likelihood, scale: Scale, vjp: Vjp
    ) -> Pull:
        """Return the vector whose J^T is the score, J being the Jacobian of D."""

    def init(
        self, likelihood: Likelihood, denoiser: Denoiser, num_samples: int, *, generator: Generators
    ) -> GuidedState:
        """Return a coarse image under noise of the highest level."""
        x, streams = self._start(likelihood, denoiser, num_samples, generator)
        return GuidedState(x, streams, problem_scale(likelihood, denoiser))

    def step(
        self,
        state: GuidedState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[GuidedState, GuidedInfo]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""
        guidance = self.guidance(state.x, sigma, likelihood, denoiser, state.scale)
        corrected = self._corrected(guidance, sigma, sigma_next, state.scale)
        mean = self._extrapolated(corrected, state, sigma, sigma_next)
        kept, fresh = kept_noise(sigma, sigma_next, self.eta)
        x = mean + kept.to(mean) * (state.x - mean)
        if self.eta > 0:
            x = x + fresh.to(mean) * state.streams.normal(likelihood.image_shape, x)
        state = state._replace(x=x, last_mean=corrected, last_sigma=sigma)
        return state, GuidedInfo(guidance, corrected)

    def guidance(
        self,
        x: Tensor,
        sigma: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
        scale: Scale,
        probe: Tensor | None = None,
    ) -> Guidance:
        """Evaluate the denoiser once for each x, and the score of the data through it.

        Args:
            x: Shape ``(num, *problems, *image_shape)``.
            sigma: Noise level in units of the image.
            likelihood: The problems.
            denoiser: The prior.
            scale: The units of the problem, see ``problem_scale``.
            probe: Signs in the shape of x, if the gain is wanted.

        Raises:
            ValueError: Autograd cannot differentiate the denoiser.
        """
        # a graph of the network is large: one chunk's is freed before the next is recorded
        size = self.chunk_size or x.shape[0]
        chunks = torch.split(x, size)
        probes = [None] * len(chunks) if probe is None else torch.split(probe, size)
        parts = [
            self._guidance(part, sigma, likelihood, denoiser, scale, signs)
            for part, signs in zip(chunks, probes, strict=True)
        ]
        return Guidance(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def _guidance(
        self,
        x: Tensor,
        sigma: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
        scale: Scale,
        probe: Tensor | None,
    ) -> Guidance:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            mean = denoised(denoiser, leaf, sigma, clip=self.clip)
        if not mean.requires_grad:
            raise ValueError(
                f"{type(self).__name__}: autograd cannot differentiate the denoiser "
                f"{type(denoiser).__name__}"
            )

        # of complex images in the real inner product Re <u, v>, which is torch's convention too
        def vjp(u: Tensor) -> Tensor:
            return torch.autograd.grad(mean, leaf, u, retain_graph=True)[0]

        level = sigma.to(x.device, x.dtype.to_real())
        pull = self._pull(mean.detach(), level, likelihood, scale, vjp)
        gain = _gain(pull.log_twist, probe, vjp)
        return Guidance(mean.detach(), vjp(pull.vector), pull.log_twist, gain)

    def _corrected(
        self, guidance: Guidance, sigma: Tensor, sigma_next: Tensor, scale: Scale
    ) -> Tensor:
        """Return D + sigma^2 g, which is E[x0 | x, y] where g is the score of p(y | x)."""
        return guidance.denoised + (sigma**2).to(guidance.score) * guidance.score

    def _extrapolated(
        self, mean: Tensor, state: GuidedState, sigma: Tensor, sigma_next: Tensor
    ) -> Tensor:
        """Continue the mean linearly in log sigma to the middle of the step, for order 2."""
        if self.order == 1 or state.last_mean is None or state.last_sigma is None:
            return mean
        step, last = (sigma / sigma_next).log(), (state.last_sigma / sigma).log()
        # the step to 0 is infinite in log sigma: it is of order 1
        ratio = torch.where(sigma_next > 0, step / (2 * last), 0.0)
        return mean + ratio.to(mean) * (mean - state.last_mean)


def problem_scale(likelihood: Likelihood, denoiser: Denoiser) -> Scale:
    """Return the units of a problem, which ``GuidedSampler.guidance`` asks for.

    Raises:
        ValueError: The prior doesn't fit the operator.
    """
    return Scale(check_problem(likelihood, denoiser), likelihood.norm() ** 2)


def _gain(like: Tensor, probe: Tensor | None, vjp: Vjp) -> Tensor:
    """Return <probe, J probe> / <probe, probe>, in the shape of ``like``."""
    if probe is None:
        return torch.full_like(like, torch.nan)
    num_dims = probe.ndim - like.ndim
    share = inner(probe, vjp(probe), num_dims) / inner(probe, probe, num_dims)
    return share.reshape(like.shape).to(like)
