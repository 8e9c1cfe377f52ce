r"""Reconstruction by a search among what a generator can make.

.. math:: \hat z = \arg\min_z\; -\log p(y \mid G(z)) + \tfrac12 |z|^2, \qquad \hat x = G(\hat z)

the most probable latent of a generator G, as :cite:t:`bora2017` search it. It is one image, not a
sample of the posterior: it says nothing of the uncertainty, it is not the most probable image
(the density of x has the volume change of G too), and an image that G cannot make is never found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood

__all__ = ["LatentEstimate", "LatentMap"]

# z (*batch, *shape) -> image (*batch, *image_shape)
Generator = Callable[[Tensor], Tensor]


class LatentEstimate(NamedTuple):
    """The best of several searches, of each problem.

    Args:
        image: ``(*problems, *image_shape)``.
        latent: z of it, ``(*problems, *shape)``.
        objective: Where each search ended, ``(restarts, *problems)``.
    """

    image: Tensor
    latent: Tensor
    objective: Tensor


@dataclass(frozen=True)
class LatentMap:
    """The most probable latent, by Adam from several starts.

    Adam scales each entry on its own, so that neither the starts nor the problems of a batch
    change each other.

    Args:
        num_steps: Steps of each search, a call of the generator and a derivative each.
        learning_rate: Of the first step, in units of z; half a cosine leads to 0.
        num_restarts: Searches from different starts, side by side; the one that ends lowest is
            kept. The objective is not convex unless the generator is linear.

    Raises:
        ValueError: A number below 1, or a learning rate that is not positive.
    """

    num_steps: int = 200
    learning_rate: float = 0.1
    num_restarts: int = 4

    def __post_init__(self) -> None:
        if min(self.num_steps, self.num_restarts) < 1 or not 0 < self.learning_rate < math.inf:
            raise ValueError(
                "LatentMap: expected num_steps and num_restarts >= 1 and learning_rate > 0, got "
                f"{self.num_steps}, {self.num_restarts} and {self.learning_rate}"
            )

    def reconstruct(
        self,
        likelihood: Likelihood,
        prior: Generator,
        shape: tuple[int, ...],
        *,
        generator: torch.Generator,
    ) -> LatentEstimate:
        """Search for the latent of each problem.

        Args:
            likelihood: One problem or a batch of them.
            prior: G, differentiable, in the units of the likelihood's image; such as a
                ``OneStepPrior`` and a change of units.
            shape: Of a latent.
            generator: Draws the starts.

        Raises:
            ValueError: The objective is not finite at the end.
        """
        size = (self.num_restarts, *likelihood.batch_shape, *shape)
        device, dtype = likelihood.y.device, likelihood.y.dtype.to_real()
        z = torch.randn(size, generator=generator, device=generator.device, dtype=dtype)
        z = z.to(device).requires_grad_()
        self._descend(z, likelihood, prior)
        with torch.no_grad():
            objective = _objective(z, likelihood, prior, len(shape))
            if not torch.isfinite(objective).all():
                raise ValueError(
                    "LatentMap: the objective is not finite, try a lower learning_rate than "
                    f"{self.learning_rate}"
                )
            latent = _taken(z.detach(), objective.argmin(0), len(shape))
            return LatentEstimate(prior(latent), latent, objective)

    def _descend(self, z: Tensor, likelihood: Likelihood, prior: Generator) -> None:
        num_dims = z.ndim - 1 - len(likelihood.batch_shape)
        optimizer = torch.optim.Adam([z], self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.num_steps)
        with torch.enable_grad():
            for _ in range(self.num_steps):
                value = _objective(z, likelihood, prior, num_dims).sum()
                # only z: a network keeps the derivatives that it has
                (z.grad,) = torch.autograd.grad(value, z)
                optimizer.step()
                schedule.step()


def _objective(z: Tensor, likelihood: Likelihood, prior: Generator, num_dims: int) -> Tensor:
    """Return minus the log density of y and z without constants of z, ``(restarts, *problems)``."""
    penalty = z.square().flatten(z.ndim - num_dims).sum(-1) / 2
    return penalty - likelihood.log_prob(prior(z))


def _taken(z: Tensor, best: Tensor, num_dims: int) -> Tensor:
    """Return the latents of the best search of each problem."""
    index = best.reshape(1, *best.shape, *(1,) * num_dims).expand(1, *z.shape[1:])
    return z.gather(0, index).squeeze(0)
