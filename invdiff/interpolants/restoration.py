"""Restoration by a bridge: from a classical reconstruction to a clean image in a few calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.bridge_sampler import sample_bridge
from invdiff.interpolants.interpolant import Interpolant
from invdiff.interpolants.measured_coupling import Reconstruct
from invdiff.likelihood import Likelihood
from invdiff.rng import problem_streams
from invdiff.samplers.base import (
    Callback,
    Generators,
    Progress,
    Samples,
    equal_log_weights,
)

__all__ = ["BridgePrior", "BridgeRestoration", "Predictor"]

# (x, t, x0) -> E[x1 | x_t = x, x0]; x and x0 (*batch, *image_shape), t 0-dimensional
Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class BridgePrior:
    """What was learnt from pairs of one measurement: to it a restoration belongs.

    A denoiser knows images; this knows how one reconstruction of one kind of measurement departs
    from them, and is of use for no other.

    Args:
        predict: Mean of the clean image, such as a ``ResidualPredictor``.
        interpolant: From the reconstruction to the clean image.
        reconstruct: Gives x0, as for the pairs it was trained on.
    """

    predict: Predictor
    interpolant: Interpolant
    reconstruct: Reconstruct


@dataclass(frozen=True)
class BridgeRestoration:
    r"""Draw clean images along a bridge that starts in a reconstruction x0 = R(y).

    Each call predicts the clean image, :math:`\hat x_1 = E[x_1 | x_t, x_0]`. The physics is known
    as well: with ``data_spread`` = u > 0 the prediction becomes

    .. math:: \arg\min_x \tfrac12 \|t - A x\|_W^2 + \tfrac{1}{2 u^2} \|x - \hat x_1\|^2

    the most likely image if the prediction is off by white noise of standard deviation u and the
    measurement by its own noise. With u = 0 samples are, up to the number of steps, of the law of
    x1 given x0. With u > 0 they are sharper than that law: x0 tells part of what y tells, and
    that part counts twice.

    Args:
        num_calls: Network calls of a sample, one a step.
        stochasticity: From 0 (all randomness but that of the first step is carried on) to 1
            (fresh noise as in the Markov process), see ``sample_bridge``.
        data_spread: u, in units of the image.
        num_cg: Conjugate gradient steps of each data step; fixed, so that a device isn't waited
            for.

    Raises:
        ValueError: A number out of its range.
    """

    num_calls: int = 10
    stochasticity: float = 1.0
    data_spread: float = 0.0
    num_cg: int = 8

    def __post_init__(self) -> None:
        if self.num_calls < 1 or self.num_cg < 1 or not 0 <= self.data_spread < math.inf:
            raise ValueError(
                "BridgeRestoration: expected num_calls and num_cg >= 1 and data_spread >= 0, got "
                f"{self.num_calls}, {self.num_cg} and {self.data_spread}"
            )
        if not 0 <= self.stochasticity <= 1:
            raise ValueError(
                f"BridgeRestoration: expected stochasticity in [0, 1], got {self.stochasticity}"
            )

    def sample(
        self,
        likelihood: Likelihood,
        prior: BridgePrior,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw samples; with one call all are the same.

        Args:
            likelihood: One problem or a batch of them, as the prior was trained for.
            prior: Of this measurement.
            num_samples: Samples of each problem.
            generator: One, or one per problem; see ``problem_streams``.
            callback: Called after each step, with gamma as the noise level.

        Raises:
            ValueError: The reconstruction has another shape than the images.
        """
        streams = problem_streams(generator, num_samples, likelihood.batch_shape)
        start = prior.reconstruct(likelihood)
        if start.shape != (*likelihood.batch_shape, *likelihood.image_shape):
            raise ValueError(
                f"reconstruct: expected images of shape {likelihood.image_shape}, got "
                f"{tuple(start.shape)}"
            )
        x0 = start.expand(num_samples, *start.shape)

        def predict(x: Tensor, t: Tensor) -> Tensor:
            return prior.predict(x, t, x0)

        def correct(x: Tensor, t: Tensor) -> Tensor:
            return likelihood.proximal(x, self.data_spread**2, num_steps=self.num_cg, tolerance=0)

        def tell(step: int, t: Tensor, x: Tensor) -> None:
            if callback is not None:
                level, misfit = prior.interpolant.at(t).gamma, likelihood.residual_over_noise(x)
                callback(Progress(step, self.num_calls, level, misfit, x))

        with torch.no_grad():
            values = sample_bridge(
                predict,
                prior.interpolant,
                x0,
                torch.linspace(0, 1, self.num_calls + 1, dtype=torch.float64),
                stochasticity=self.stochasticity,
                noise=lambda: streams.normal(likelihood.image_shape, x0),
                correct=correct if self.data_spread else None,
                callback=tell,
            )
        return Samples(values, equal_log_weights(values, streams))
