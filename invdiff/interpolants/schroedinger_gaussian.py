r"""The Schroedinger bridge between two Gaussians, in closed form.

Among all processes from N(m0, S0) to N(m1, S1) it is the one that is closest to a Brownian motion
of variance :math:`\sigma^2` over [0, 1]. It is the interpolant

.. math:: x_t = (1 - t) x_0 + t x_1 + \sigma \sqrt{t (1 - t)}\, z, \qquad
    Cov(x_0, x_1) = \tfrac12 (S_0^{1/2} D S_0^{-1/2} - \sigma^2), \quad
    D = (4 S_0^{1/2} S_1 S_0^{1/2} + \sigma^4)^{1/2}

of jointly Gaussian ends, and its SDE with :math:`\epsilon = \sigma^2 / 2`
:cite:p:`bunne2023`. Without noise the covariance is that of the optimal transport.
"""

from __future__ import annotations

import math

import torch
from scipy.special import roots_legendre
from torch import Tensor

from invdiff.interpolants.couplings import Draw
from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.gammas import BrownianGamma
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.paths import LinearPath

__all__ = ["GaussianSchroedingerBridge", "bures_distance"]

# nodes of the quadrature in time; the integrand is smooth
_NUM_NODES = 64


class GaussianSchroedingerBridge:
    r"""The bridge, as a process, as a coupling of its ends and as an SDE.

    Args:
        mean0: m0, ``(dim,)``.
        covariance0: S0, ``(dim, dim)``, positive definite.
        mean1: m1.
        covariance1: S1.
        variance: :math:`\sigma^2 > 0` of the Brownian motion over [0, 1].

    Attributes:
        interpolant: Linear, with the gamma of a Brownian bridge.
        epsilon: Half the variance: the SDE with it is the Schroedinger bridge.
        cross_covariance: Cov(x0, x1).

    Raises:
        ValueError: Shapes that don't fit, a covariance that is not positive definite, a variance
            that is not positive and finite.
    """

    def __init__(
        self,
        mean0: Tensor,
        covariance0: Tensor,
        mean1: Tensor,
        covariance1: Tensor,
        variance: float,
    ) -> None:
        dim = len(mean0)
        shapes = {tuple(mean1.shape), (dim,)}, {
            tuple(covariance0.shape),
            tuple(covariance1.shape),
            (dim, dim),
        }
        if max(map(len, shapes)) > 1:
            raise ValueError(
                f"GaussianSchroedingerBridge: expected means and covariances of {dim} numbers"
            )
        if not 0 < variance < math.inf:
            raise ValueError(
                f"GaussianSchroedingerBridge: expected variance > 0, got {variance}"
            )
        self._mean0, self._mean1 = mean0, mean1
        self._covariance0, self._covariance1 = covariance0, covariance1
        self._eye = torch.eye(dim, dtype=mean0.dtype, device=mean0.device)
        self.variance = variance
        self.interpolant = TwoSided(LinearPath(), BrownianGamma(variance))
        self.epsilon = ConstantEpsilon(variance / 2)
        self.cross_covariance = self._cross_covariance()

    def mean(self, t: Tensor) -> Tensor:
        """Return E[x_t] for a 0-dimensional t, ``(dim,)``."""
        return (1 - t) * self._mean0 + t * self._mean1

    def covariance(self, t: Tensor) -> Tensor:
        """Return Cov(x_t) for a 0-dimensional t, ``(dim, dim)``."""
        cross = self.cross_covariance
        ends = (1 - t) ** 2 * self._covariance0 + t**2 * self._covariance1
        return ends + t * (1 - t) * (cross + cross.T + self.variance * self._eye)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b for x ``(*batch, dim)`` and a 0-dimensional t."""
        return self._moved(x, t, self._with_speed(t) + self._noise(t))

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s for x ``(*batch, dim)`` and a 0-dimensional t."""
        return -torch.linalg.solve(self.covariance(t), (x - self.mean(t)).mT).mT

    def drift(self, x: Tensor, t: Tensor) -> Tensor:
        r"""Return the drift :math:`b + \epsilon s` of the bridge, finite at both ends."""
        return self._moved(x, t, self._drift_covariance(t))

    def energy(self) -> float:
        r"""Return :math:`\frac12 \int_0^1 E \|b + \epsilon s\|^2 dt`, which the bridge minimises.

        The relative entropy to the Brownian motion that starts in N(m0, S0) is this over
        :math:`\sigma^2`.
        """
        nodes, weights = roots_legendre(_NUM_NODES)
        total = 0.0
        for node, weight in zip((1 + nodes) / 2, weights / 2, strict=True):
            t = self._mean0.new_tensor(node)
            moved = self._drift_covariance(t)
            inverse = torch.linalg.solve(self.covariance(t), moved.T)
            total += weight * float(torch.trace(moved @ inverse))
        shift = self._mean1 - self._mean0
        return (total + float(shift @ shift)) / 2

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs of ends, as a coupling."""
        dim = len(self._mean0)
        cross = self.cross_covariance
        top = torch.cat([self._covariance0, cross], 1)
        joint = torch.cat([top, torch.cat([cross.T, self._covariance1], 1)])
        n = torch.randn(
            count, 2 * dim, generator=generator, device=generator.device, dtype=cross.dtype
        )
        pairs = n @ torch.linalg.cholesky(joint).T
        return Draw(self._mean0 + pairs[:, :dim], self._mean1 + pairs[:, dim:])

    def _cross_covariance(self) -> Tensor:
        root, inverse = _root(self._covariance0), torch.linalg.inv(_root(self._covariance0))
        d = _root(4 * root @ self._covariance1 @ root + self.variance**2 * self._eye)
        return (root @ d @ inverse - self.variance * self._eye) / 2

    def _with_speed(self, t: Tensor) -> Tensor:
        """Return the covariance of x1 - x0 with x_t."""
        cross = self.cross_covariance
        return t * (self._covariance1 - cross) + (1 - t) * (cross.T - self._covariance0)

    def _noise(self, t: Tensor) -> Tensor:
        return self.interpolant.gamma.product(t) * self._eye

    def _drift_covariance(self, t: Tensor) -> Tensor:
        # gamma gamma' - epsilon = -sigma^2 t
        return self._with_speed(t) - self.variance * t * self._eye

    def _moved(self, x: Tensor, t: Tensor, moved: Tensor) -> Tensor:
        """Return the mean speed, plus the regression on x with that covariance."""
        whitened = torch.linalg.solve(self.covariance(t), (x - self.mean(t)).mT).mT
        return self._mean1 - self._mean0 + whitened @ moved.T


def bures_distance(covariance0: Tensor, covariance1: Tensor) -> float:
    r"""Return W2 between two centred Gaussians.

    .. math:: W_2^2 = tr(S_0 + S_1 - 2 (S_0^{1/2} S_1 S_0^{1/2})^{1/2})

    Args:
        covariance0: S0, ``(dim, dim)``, positive semidefinite.
        covariance1: S1.
    """
    root = _root(covariance0)
    square = torch.trace(covariance0 + covariance1 - 2 * _root(root @ covariance1 @ root))
    return float(square.clamp(min=0).sqrt())


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    if values[0] < -1e-9 * values[-1]:
        raise ValueError(f"expected a positive semidefinite matrix, got eigenvalue {values[0]}")
    return vectors @ (values.clamp(min=0).sqrt().unsqueeze(1) * vectors.mT)
