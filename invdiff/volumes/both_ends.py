"""Bidirectional sampling: slices of a gap from two priors that know one end each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Streams, problem_streams
from invdiff.samplers.base import Samples, equal_log_weights, karras_sigmas

__all__ = ["BidirectionalSampler"]


@dataclass(frozen=True)
class BidirectionalSampler:
    r"""Fill a gap by steps that are given its two ends in turn, as :cite:t:`yang2025vibid` do.

    At each noise level a deterministic step by the prior that knows the slice before the gap, noise
    that takes it back to the level, and a step by the prior that knows the slice behind it:

    .. math:: x' &= D_a + \tfrac{\sigma'}{\sigma} (x - D_a), \qquad D_a = D(x, \sigma \mid a) \\
        x'' &= x' + \sqrt{\sigma^2 - \sigma'^2}\, n \\
        x &\leftarrow D_b + \tfrac{\sigma'}{\sigma} (x'' - D_b), \qquad D_b = D(x'', \sigma \mid b)

    With many levels this is the reverse SDE of the *mean* of the two scores: two half drifts and
    the noise of one whole step. The mean belongs to :math:`p(g | a)^{1/2} p(g | b)^{1/2}`, in which
    each end pulls half as strongly as it should. ``EndsProduct`` has what the two ends together
    allow.

    Args:
        num_steps: Noise levels, one call of each prior.
        sigma_max: Highest noise level, in half data ranges of the prior before the gap.
        sigma_min: Lowest noise level before 0, likewise.
        rho: Exponent of the grid.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 50
    sigma_max: float = 80.0
    sigma_min: float = 0.002
    rho: float = 7.0

    def __post_init__(self) -> None:
        self.levels()

    def levels(self) -> Tensor:
        """Return the noise levels in half data ranges, float64, the last one 0."""
        levels = karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        return torch.cat([levels, levels.new_zeros(1)])

    def sample(
        self,
        before: Denoiser,
        behind: Denoiser,
        num_samples: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Samples:
        """Draw the slices of one gap.

        Args:
            before: Prior of the gap given the slice before it, such as a ``OneEnd``.
            behind: Prior of the gap given the slice behind it.
            num_samples: How often, each with its own stream.
            generator: Source of the streams, on the device that is to be used.
            dtype: Of the samples.

        Returns:
            Values of shape ``(num_samples, n, rows, columns)``.

        Raises:
            ValueError: The priors aren't of the same slices.
        """
        shape = before.image_shape
        if shape is None or shape != behind.image_shape:
            raise ValueError(
                f"BidirectionalSampler: expected two priors of the same slices, got {shape} and "
                f"{behind.image_shape}"
            )
        streams = problem_streams(generator, num_samples, ())
        sigmas = half_range(before) * self.levels()
        like = torch.zeros((), dtype=dtype, device=generator.device)
        noise = sigmas[0].to(like) * streams.normal(shape, like)
        x = sum(before.data_range) / 2 + noise
        for sigma, sigma_next in pairwise(sigmas):
            x = self._step(x, sigma, sigma_next, streams, before, behind)
        return Samples(x, equal_log_weights(x, streams))

    def _step(
        self,
        x: Tensor,
        sigma: Tensor,
        sigma_next: Tensor,
        streams: Streams,
        before: Denoiser,
        behind: Denoiser,
    ) -> Tensor:
        down = _euler_step(before, x, sigma, sigma_next)
        again = (sigma**2 - sigma_next**2).sqrt().to(x) * streams.normal(x.shape[1:], x)
        return _euler_step(behind, down + again, sigma, sigma_next)


def _euler_step(denoiser: Denoiser, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """Take one Euler step of the probability-flow ODE, which goes down to noise 0 at once."""
    mean = denoiser(x, sigma)
    return mean + (sigma_next / sigma).to(x) * (x - mean)
