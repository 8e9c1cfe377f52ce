"""Photon counts read out by electronics: Poisson and normal noise together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from operators.noise.base import NoiseModel, poisson_draws, require_positive, standard_normal


@dataclass(frozen=True)
class PoissonGaussianNoise(NoiseModel):
    r"""y = Poisson(gain A x) / gain + sigma n of variance A x / gain + sigma^2.

    n is standard normal, and

    .. math:: p(y | x) = \sum_{k = 0}^\infty \frac{\lambda^k e^{-\lambda}}{k!}
        N(y; k / g, \sigma^2), \qquad \lambda = g \, A x

    (Snyder et al. 1995). Its score needs no other sum:
    :math:`\partial p(y) / \partial \lambda = p(y - 1 / g) - p(y)`.

    Args:
        gain: Counts g to one unit of y.
        sigma: Standard deviation of the read-out in the unit of y.

    Raises:
        ValueError: If gain or sigma is not positive and finite.
    """

    gain: float
    sigma: float

    def __post_init__(self) -> None:
        require_positive("PoissonGaussianNoise: gain", self.gain)
        require_positive("PoissonGaussianNoise: sigma", self.sigma)

    @override
    def sample(self, clean: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw y; ``ValueError`` where clean is complex, negative or not finite."""
        self.check(clean)
        self._refuse(clean, clean < 0, "is negative")
        counts = poisson_draws(self.gain * clean, generator)
        noise = standard_normal(clean.shape, clean.dtype, generator).to(clean.device)
        return counts / self.gain + self.sigma * noise

    @override
    def log_prob(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return the log density of each entry; -inf where clean is negative (no such rate).

        The terms are log-concave in k. They are summed in float64 about the largest one, over
        8.5 standard deviations of k given y and 10 more on either side: what is left out is below
        1e-12 of the sum. The number of terms is set by the brightest entry: 17 gain sigma, or 17
        sqrt(gain y) if that is less.
        """
        shape = torch.broadcast_shapes(y.shape, clean.shape)  # type: ignore[no-untyped-call]
        log_density = _LogDensity.apply(  # type: ignore[no-untyped-call]
            y.expand(shape), clean.expand(shape).clamp(min=0), self.gain, self.sigma
        )
        return torch.where(clean < 0, -math.inf, log_density)

    @override
    def quadratic(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return a surrogate whose score is unbiased at every rate and every read-out noise.

        .. math:: w = \frac{g^2}{v(n)}, \quad t = \frac{v(n)}{v(n - 1)} \frac{1}{g}
            \left(n + \frac{s^2}{2 r(n - 1)}\right), \qquad n = g y, \; s = g \sigma

        .. math:: v(n) = \tfrac{a}{2} + r(n), \quad r(n) = \sqrt{\tfrac{a^2}{4} + 1 + s^2}, \quad
            a = n + 1 + s^2

        v is the variance that n suggests, kept positive. At the true rate
        :math:`E[w (t - A x)] = 0` exactly, from :math:`\lambda E[f(n)] = E[n f(n - 1) - s^2
        f'(n - 1)]` for any f (Chen's and Stein's identities), here 1 / v. E[w] is at most the
        inverse variance and approaches it from some ten counts on.
        """
        n, variance = self.gain * y, (self.gain * self.sigma) ** 2
        v, _ = _suggested_variance(n, variance)
        v_less, root_less = _suggested_variance(n - 1, variance)
        target = v / v_less * (n + variance / (2 * root_less)) / self.gain
        return target, self.gain**2 / v

    @override
    def check(self, y: Tensor) -> None:
        """Raise ``ValueError`` naming the first entry that is not finite, or if y is complex."""
        if y.is_complex():
            raise ValueError(f"PoissonGaussianNoise: expected real values, got {y.dtype}")
        super().check(y)


class _LogDensity(torch.autograd.Function):
    """log p(y | clean) for clean >= 0; its derivatives are made of itself at y and y - 1 / g."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, clean: Tensor, gain: float, sigma: float) -> Tensor:
        ctx.save_for_backward(y, clean)
        ctx.levels = gain, sigma
        total = _log_sum((gain * y).double(), (gain * clean).double(), gain * sigma)
        # the density of y is that of gain y counts times gain
        return (total + math.log(gain)).to(y.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (y, clean), (gain, sigma) = ctx.saved_tensors, ctx.levels
        one_less, here = (
            _LogDensity.apply(v, clean, gain, sigma)  # type: ignore[no-untyped-call]
            for v in (y - 1 / gain, y)
        )
        ratio = torch.exp(one_less - here)
        # E[k | y] = rate * ratio (Tweedie's formula)
        return (
            grads[0] * (clean * ratio - y) / sigma**2,
            grads[0] * gain * (ratio - 1),
            None,
            None,
        )


def _suggested_variance(n: Tensor, variance: float) -> tuple[Tensor, Tensor]:
    """Return v(n) and r(n) of the quadratic surrogate."""
    half = (n + 1 + variance) / 2
    root = (half**2 + 1 + variance).sqrt()
    # either form is free of cancellation on its side
    below = (1 + variance) / (root - half.clamp(max=0))
    return torch.where(half > 0, half + root, below), root


def _log_sum(counts: Tensor, rate: Tensor, sigma: float) -> Tensor:
    """Return the log density of the sum of a Poisson variable and sigma times a normal one."""
    log_rate, variance = rate.log(), sigma**2
    mode = _mode(counts, rate, variance)
    spread = (1 / (1 / variance + 1 / (mode + 1))).max().sqrt().item() if mode.numel() else 0.0
    reach = math.ceil(8.5 * spread) + 10
    total = term = torch.zeros_like(mode)
    k = mode
    for _ in range(reach):  # f(k) / f(k - 1) upwards
        k = k + 1
        term = term + log_rate - k.log() + (counts - k + 0.5) / variance
        total = torch.logaddexp(total, term)
    k, term = mode, torch.zeros_like(mode)
    for _ in range(reach):  # f(k - 1) / f(k) downwards, until f(-1) = 0
        term = term - log_rate + k.clamp(min=1).log() - (counts - k + 0.5) / variance
        term = torch.where(k > 0, term, -math.inf)
        total = torch.logaddexp(total, term)
        k = k - 1
    largest = torch.xlogy(mode, rate) - rate - torch.lgamma(mode + 1)
    largest = largest - (counts - mode) ** 2 / (2 * variance)
    return largest + total - math.log(2 * math.pi * variance) / 2


def _mode(counts: Tensor, rate: Tensor, variance: float) -> Tensor:
    """Return the k of the largest term to within about one.

    Where the derivative of its logarithm vanishes, k + variance log k = b, by Newton's method in
    u = log k: the function is convex and the start lies to the right of the root.
    """
    b = counts + variance * rate.log()
    # below k = e^-30 it makes no difference how small k is
    b = b.clamp(min=-30 * variance)
    u = torch.where(b > 1, b.clamp(min=1).log(), (b / variance).clamp(max=0))
    for _ in range(20):
        k = u.exp()
        u = u - (k + variance * u - b) / (k + variance)
    mode = u.exp().round()
    return torch.where(rate > 0, mode, 0.0)
