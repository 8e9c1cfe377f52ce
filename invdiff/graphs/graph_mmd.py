"""How far two sets of graphs are apart: squared discrepancies of four descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from invdiff.graphs.descriptors import Descriptors
from invdiff.graphs.graph_kernels import GaussianEMD, GaussianL2, GaussianTV, GraphKernel

__all__ = ["PROTOCOLS", "GraphMMD", "MMDProtocol", "ProtocolName", "graph_mmd", "squared_mmd"]

FloatArray = NDArray[np.float64]

ProtocolName = Literal["emd", "tv"]


@dataclass(frozen=True)
class MMDProtocol:
    """The kernel of each descriptor.

    Args:
        degree: Of ``degree_distribution``.
        cluster: Of ``clustering_distribution``.
        orbit: Of ``orbit_means``.
        spectral: Of ``spectral_distribution``.
    """

    degree: GraphKernel
    cluster: GraphKernel
    orbit: GraphKernel
    spectral: GraphKernel


# emd as the method was published, tv as later work has it
PROTOCOLS: dict[ProtocolName, MMDProtocol] = {
    "emd": MMDProtocol(
        GaussianEMD(1.0), GaussianEMD(0.1, bin_width=0.01), GaussianL2(30.0), GaussianEMD(1.0)
    ),
    "tv": MMDProtocol(GaussianTV(1.0), GaussianTV(0.1), GaussianTV(30.0), GaussianTV(1.0)),
}


@dataclass(frozen=True)
class GraphMMD:
    """Squared discrepancies of two sets of graphs; 0 if the descriptors are the same.

    Args:
        degree: Of the degrees.
        cluster: Of the clustering coefficients.
        orbit: Of the mean counts of orbits.
        spectral: Of the spectra of the normalised Laplacian.
    """

    degree: float
    cluster: float
    orbit: float
    spectral: float

    @property
    def average(self) -> float:
        """Mean of degree, cluster and orbit, as tables of results have it."""
        return (self.degree + self.cluster + self.orbit) / 3


def graph_mmd(x: Descriptors, y: Descriptors, *, protocol: ProtocolName) -> GraphMMD:
    """Return the squared discrepancy of two sets of graphs in each descriptor.

    Args:
        x: As from ``describe``.
        y: Likewise.
        protocol: ``"emd"``, the kernels of :cite:t:`jo2022`, or ``"tv"``, those of
            :cite:t:`liao2019` and :cite:t:`vignac2023`. Values of the two don't compare.

    Raises:
        ValueError: Another protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {sorted(PROTOCOLS)}, got {protocol!r}")
    kernels = PROTOCOLS[protocol]
    support = max(x.degree.shape[1], y.degree.shape[1])
    return GraphMMD(
        squared_mmd(_padded(x.degree, support), _padded(y.degree, support), kernels.degree),
        squared_mmd(x.cluster, y.cluster, kernels.cluster),
        squared_mmd(x.orbit, y.orbit, kernels.orbit),
        squared_mmd(x.spectral, y.spectral, kernels.spectral),
    )


def squared_mmd(x: FloatArray, y: FloatArray, kernel: GraphKernel) -> float:
    r"""Return the biased squared discrepancy of two sets of rows :cite:p:`gretton2012`.

    .. math:: \frac{1}{n^2} \sum_{ij} k(x_i, x_j) + \frac{1}{m^2} \sum_{ij} k(y_i, y_j)
        - \frac{2}{n m} \sum_{ij} k(x_i, y_j)

    Sums include i = j, so that two sets from one distribution are apart by
    :math:`(1 - \mathrm{E} k) (1 / n + 1 / m)` on average. A kernel that isn't positive definite
    may give a negative value.

    Args:
        x: Shape ``(n, k)``.
        y: Shape ``(m, k)``.
        kernel: Of two sets of rows.

    Raises:
        ValueError: No rows, or rows of other lengths.
    """
    if not len(x) or not len(y) or x.shape[1] != y.shape[1]:
        raise ValueError(f"squared_mmd: expected rows of one length, got {x.shape} and {y.shape}")
    return float(kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())


def _padded(rows: FloatArray, width: int) -> FloatArray:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))
