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

from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.gammas import BrownianGamma
from invdiff.interpolants.gaussian_coupling import GaussianCoupling, JointGaussianProcess
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.paths import LinearPath

__all__ = ["GaussianSchroedingerBridge", "bures_distance"]

# nodes of the quadrature in time; the integrand is smooth
_NUM_NODES = 64


class GaussianSchroedingerBridge(JointGaussianProcess):
    r"""The bridge as a process; its ``coupling`` draws pairs of ends.

    Args:
        mean0: m0, ``(dim,)``.
        covariance0: S0, ``(dim, dim)``, positive definite.
        mean1: m1.
        covariance1: S1.
        variance: :math:`\sigma^2 > 0` of the Brownian motion over [0, 1].

    Attributes:
        variance: As given.
        epsilon: Half the variance: the SDE with it is the Schroedinger bridge.

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
        if not 0 < variance < math.inf:
            raise ValueError(f"GaussianSchroedingerBridge: expected variance > 0, got {variance}")
        if covariance0.shape != covariance1.shape:
            raise ValueError(
                f"GaussianSchroedingerBridge: the covariances have shapes "
                f"{tuple(covariance0.shape)} and {tuple(covariance1.shape)}"
            )
        self.variance, self.epsilon = variance, ConstantEpsilon(variance / 2)
        cross = _cross_covariance(covariance0, covariance1, variance)
        super().__init__(
            TwoSided(LinearPath(), BrownianGamma(variance)),
            GaussianCoupling(mean0, mean1, covariance0, covariance1, cross),
        )

    def drift(self, x: Tensor, t: Tensor) -> Tensor:
        r"""Return the drift :math:`b + \epsilon s` of the bridge, finite at both ends."""
        b, s = self.both(x, t)
        return b + self.variance / 2 * s

    def energy(self) -> float:
        r"""Return :math:`\frac12 \int_0^1 E \|b + \epsilon s\|^2 dt`, which the bridge minimises.

        The relative entropy to the Brownian motion that starts in N(m0, S0) is this over
        :math:`\sigma^2`.
        """
        nodes, weights = roots_legendre(_NUM_NODES)
        squares = [self._mean_square_drift((1 + node) / 2) for node in nodes]
        return float(sum(w * square for w, square in zip(weights / 2, squares, strict=True))) / 2

    def _mean_square_drift(self, time: float) -> float:
        """Return E |drift|^2, the drift being affine in x."""
        t = self.coupling.mean0.new_tensor(time)
        mean, covariance = self.marginal(t)
        at_mean = self.drift(mean, t)
        slopes = self.drift(mean + torch.eye(len(mean)).to(mean), t) - at_mean
        return float(at_mean @ at_mean + torch.trace(slopes.T @ covariance @ slopes))


def _cross_covariance(covariance0: Tensor, covariance1: Tensor, variance: float) -> Tensor:
    root, eye = _root(covariance0), torch.eye(len(covariance0)).to(covariance0)
    d = _root(4 * root @ covariance1 @ root + variance**2 * eye)
    return (root @ d @ torch.linalg.inv(root) - variance * eye) / 2


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
