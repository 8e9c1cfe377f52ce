"""Flows as priors of the posterior samplers, and priors as flows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants import conversions
from invdiff.interpolants.interpolant import Interpolant, beside
from invdiff.interpolants.noise_levels import (
    TRAINED_TIMES,
    check_levels,
    length,
    noise_level,
    time_of_level,
)
from invdiff.interpolants.process import Process
from invdiff.priors.denoiser import Denoiser

__all__ = ["DenoiserProcess", "FlowPrior"]


@dataclass(frozen=True)
class FlowPrior:
    r"""The denoiser that a flow from noise to data knows, for every posterior sampler.

    .. math:: D(x, \sigma) = E[x_1 \mid x_t], \qquad \frac{\gamma(t)}{\beta(t)} = \sigma, \quad
        x_t = \sqrt{\frac{\beta^2 + \gamma^2}{1 + \sigma^2}}\, x = \beta x

    The mean follows from the velocity b and is finite at both ends. Noise levels beyond the times
    are those of the nearest time; x then keeps the size that belongs to it. Differentiable in x
    as far as the fields are.

    Args:
        process: Of an interpolant without x0 whose noise level falls.
        data_range: Lowest and highest value of the data.
        image_shape: Trailing shape of x; None if any shape will do.
        times: Lowest and highest time at which the fields are known.

    Raises:
        ValueError: Another interpolant, or times outside of [0, 1].
    """

    process: Process
    data_range: tuple[float, float]
    image_shape: tuple[int, ...] | None = None
    times: tuple[float, float] = TRAINED_TIMES

    def __post_init__(self) -> None:
        check_levels(self.process.interpolant, self.times, "FlowPrior")

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x1 | x1 + sigma n = x] for x ``(*batch, *image)``, sigma 0-dim or ``batch``.

        Raises:
            ValueError: Images of another shape, or complex ones.
        """
        shape = self.image_shape
        if x.is_complex() or (shape is not None and x.shape[x.ndim - len(shape) :] != shape):
            raise ValueError(f"FlowPrior: expected real images of {shape}, got {tuple(x.shape)}")
        interpolant, sigma = self.process.interpolant, sigma.double()
        t = time_of_level(interpolant, sigma, self.times)
        scaled = x * beside(length(interpolant, t) * (1 + sigma**2).rsqrt(), x)
        return conversions.one_sided_target(
            interpolant, scaled, self.process.velocity(scaled, t), t
        )


@dataclass(frozen=True)
class DenoiserProcess:
    r"""The process of a denoiser: every trained prior is an interpolant, of any path.

    .. math:: E[x_1 \mid x_t] = D(x_t / \beta, \gamma / \beta), \qquad
        \eta = \frac{x_t - \beta E[x_1 \mid x_t]}{\gamma}, \qquad
        b = \beta' E[x_1 \mid x_t] + \gamma' \eta, \qquad s = -\frac{\eta}{\gamma}

    Times nearer to an end than those given count as these.

    Args:
        denoiser: D.
        interpolant: Without x0.
        times: Lowest and highest time at which D is called, within (0, 1).

    Raises:
        ValueError: An interpolant with x0, without beta or gamma at these times, or times outside
            of (0, 1).
    """

    denoiser: Denoiser
    interpolant: Interpolant
    times: tuple[float, float] = TRAINED_TIMES

    def __post_init__(self) -> None:
        if self.interpolant.has_x0:
            raise ValueError("DenoiserProcess: expected an interpolant without x0")
        if not 0 < self.times[0] < self.times[1] < 1:
            raise ValueError(
                f"DenoiserProcess: expected times low < high in (0, 1), got {self.times}"
            )
        c = self.interpolant.at(torch.tensor(self.times, dtype=torch.float64))
        if not ((c.beta > 0) & (c.gamma > 0)).all():
            raise ValueError(
                f"DenoiserProcess: expected signal and noise at both of {self.times}, see "
                f"{self.interpolant}"
            )

    def target_mean(self, x: Tensor, t: Tensor) -> Tensor:
        """Return E[x1 | x_t = x] for x ``(*batch, *image)``, t 0-dimensional or ``batch``."""
        t = self._inside(t)
        scaled = x / beside(self.interpolant.at(t).beta, x)
        level = noise_level(self.interpolant, t)
        return self.denoiser(scaled, level.to(x.dtype.to_real()).to(x.device))

    def noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return eta."""
        return self._noise(x, self.target_mean(x, t), t)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b."""
        return self.both(x, t)[0]

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        return self.both(x, t)[1]

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b and s at one call of the denoiser."""
        c, target = self.interpolant.at(self._inside(t)).expanded(x), self.target_mean(x, t)
        eta = self._noise(x, target, t)
        return c.beta_dot * target + c.gamma_dot * eta, -eta / c.gamma

    def _noise(self, x: Tensor, target: Tensor, t: Tensor) -> Tensor:
        c = self.interpolant.at(self._inside(t)).expanded(x)
        return (x - c.beta * target) / c.gamma

    def _inside(self, t: Tensor) -> Tensor:
        return t.double().clamp(*self.times)
