"""Pairs of a clean image and what a classical method makes of its simulated measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.couplings import Draw, Source
from invdiff.likelihood import Likelihood
from operators import LinearOperator, NoiseModel

__all__ = ["MeasuredCoupling", "Reconstruct"]

# Likelihood of problems -> (*problems, *image_shape)
Reconstruct = Callable[[Likelihood], Tensor]


@dataclass(frozen=True, eq=False)
class MeasuredCoupling:
    r"""Clean images x1, their fresh simulated measurements, and the reconstructions of those.

    .. math:: y = A x_1 + n, \qquad x_0 = R(y)

    The condition is x0. The noise is drawn anew each time, so a pair is never seen twice. A
    reconstruction is a function of y: x0 given x1 is random through the measurement noise alone,
    which reaches only the directions that the operator sees. A velocity that exists everywhere
    needs a gamma > 0.

    Args:
        images: Draws x1, ``(count, *batch, *operator.in_shape)``; axes for channels come first.
        operator: A.
        noise: Noise model of y.
        reconstruct: R, such as ``fbp`` or ``zero_filled``.
    """

    images: Source
    operator: LinearOperator
    noise: NoiseModel
    reconstruct: Reconstruct

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs.

        Raises:
            ValueError: Reconstructions of another shape than the images.
        """
        x1 = self.images(count, generator)
        y = self.noise.sample(self.operator(x1), generator=generator)
        x0 = self.reconstruct(Likelihood(self.operator, self.noise, y))
        if x0.shape != x1.shape:
            raise ValueError(
                f"MeasuredCoupling: expected reconstructions of shape {tuple(x1.shape)}, got "
                f"{tuple(x0.shape)}"
            )
        return Draw(x0, x1, x0)
