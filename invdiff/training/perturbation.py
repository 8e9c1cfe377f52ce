"""What noise a denoiser is trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from invdiff.priors.pfgm import check_dof, student_scale

__all__ = ["GaussianPerturbation", "Perturbation", "StudentPerturbation"]


class Perturbation(Protocol):
    """A distribution of noise, of standard size."""

    def sample(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Return noise in the shape and dtype of images ``(batch, channel, height, width)``."""
        ...


@dataclass(frozen=True)
class GaussianPerturbation:
    """Independent standard normal numbers."""

    def sample(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Return noise in the shape and dtype of images ``(batch, channel, height, width)``."""
        return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


@dataclass(frozen=True)
class StudentPerturbation:
    r"""The noise of PFGM++ :cite:p:`xu2023`, a multivariate Student t of D degrees of freedom.

    .. math:: n = z \sqrt{D / \chi^2_D}, \qquad |n|^2 / N \sim F(N, D)

    with one :math:`\chi^2_D` for all N numbers z of an image. It equals the paper's radius
    :math:`R = \sigma \sqrt{D B / (1 - B)}`, B of a beta distribution (N/2, D/2), in a uniform
    direction; B is not cut off at its ends. D = 1 is the Poisson flow, D = infinity
    the ``GaussianPerturbation`` from the same draws.

    What is trained on it is a denoiser of this noise: see ``StudentDenoiser``.

    Args:
        dof: D, at least 1.

    Raises:
        ValueError: D below 1.
    """

    dof: float = 128.0

    def __post_init__(self) -> None:
        check_dof(self.dof)

    def sample(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Return noise in the shape and dtype of images ``(batch, channel, height, width)``."""
        normal = GaussianPerturbation().sample(like, generator)
        if math.isinf(self.dof):
            return normal
        scale = student_scale(len(like), self.dof, generator=generator)
        return normal * scale.to(normal).reshape(-1, *[1] * (like.ndim - 1))
