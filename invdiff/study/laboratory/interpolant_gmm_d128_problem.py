"""A mixture in many dimensions, and the interpolant that leads to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.couplings import IndependentCoupling
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator

__all__ = ["HighDimProblem"]

# smallest eigenvalue of the covariances
_FLOOR = 0.5


@dataclass(frozen=True)
class HighDimProblem:
    r"""Standard normal numbers at one end, a mixture of random modes at the other.

    .. math:: m_k \sim N(0, I), \qquad C_k = W_k W_k^T / d + \tfrac12 I, \qquad
        W_k \in R^{d \times d} \text{ of standard normals}

    as in section 7 of :cite:t:`albergo2023`, with equal weights, on
    :math:`x_t = (1 - t) x_0 + t x_1 + \sqrt{t (1 - t)} z`.

    Args:
        dim: d.
        modes: Components.
        seed: Of means and covariances.
    """

    dim: int
    modes: int
    seed: int

    @property
    def interpolant(self) -> TwoSided:
        """Linear, with the noise of a Brownian bridge."""
        return TwoSided()

    @property
    def target(self) -> GaussianMixturePrior:
        """The law of x1, float64."""
        generator, d = derive_generator(self.seed, "mixture"), self.dim
        means, roots = (
            torch.randn((self.modes, *shape), generator=generator, dtype=torch.float64)
            for shape in ((d,), (d, d))
        )
        covariances = roots @ roots.mT / d + _FLOOR * torch.eye(d)
        return GaussianMixturePrior(torch.ones(self.modes).double(), means, covariances)

    @property
    def exact(self) -> MixtureProcess:
        """All fields in closed form, float32."""
        target = self.target
        parts = (target.weights, target.means, target.covariances)
        base = GaussianPrior(torch.zeros(self.dim), 1.0)
        single = GaussianMixturePrior(*(part.float() for part in parts))
        return MixtureProcess(self.interpolant, single, base)

    @property
    def coupling(self) -> IndependentCoupling:
        """Independent pairs, float32."""
        target = self.target
        return IndependentCoupling(
            lambda count, generator: target.sample(count, generator=generator).float(), self.start
        )

    def start(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw x0, float32."""
        return torch.randn((count, self.dim), generator=generator)

    @property
    def target_std(self) -> float:
        """The spread of an entry of x1, over all entries."""
        target = self.target
        inside = torch.diagonal(target.covariances, dim1=1, dim2=2).mean()
        return float((inside + target.means.var(0, correction=0).mean()).sqrt())

    @property
    def shown_axes(self) -> Tensor:
        """Two orthonormal directions ``(dim, 2)`` in which the means differ most."""
        means = self.target.means
        return torch.linalg.svd(means - means.mean(0), full_matrices=False).Vh[:2].mT

    @property
    def shown_target(self) -> GaussianMixturePrior:
        """The exact law in these directions."""
        target, axes = self.target, self.shown_axes
        return GaussianMixturePrior(
            target.weights, target.means @ axes, axes.mT @ target.covariances @ axes
        )
