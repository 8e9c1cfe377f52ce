"""Kernels and discrepancies of descriptors."""

import networkx as nx
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from invdiff.graphs.descriptors import Descriptors, describe
from invdiff.graphs.graph_kernels import GaussianEMD, GaussianL2, GaussianTV
from invdiff.graphs.graph_mmd import PROTOCOLS, graph_mmd, squared_mmd

KERNELS = [GaussianEMD(1.0), GaussianEMD(0.1, bin_width=0.01), GaussianTV(0.3), GaussianL2(0.4)]


def histograms(seed: int, count: int, bins: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(bins) / 2, count)


def graphs(seed: int, count: int, density: float = 0.3) -> list[nx.Graph]:
    return [nx.gnp_random_graph(8 + k % 5, density, seed=100 * seed + k) for k in range(count)]


def test_earth_movers_distance_is_that_of_scipy():
    x, y = histograms(0, 5), histograms(1, 4)
    places = 0.25 * np.arange(12)
    distance = [[wasserstein_distance(places, places, p, q) for q in y] for p in x]
    expected = np.exp(-(np.array(distance) ** 2) / (2 * 0.7**2))
    np.testing.assert_allclose(GaussianEMD(0.7, bin_width=0.25)(x, y), expected, rtol=1e-10)


def test_moving_all_mass_by_bins_costs_their_widths():
    x = np.eye(10)
    value = GaussianEMD(2.0, bin_width=0.5)(x[:1], x[6:7])
    np.testing.assert_allclose(value, np.exp(-(3**2) / (2 * 2**2)))
    # total variation doesn't see how far
    np.testing.assert_allclose(GaussianTV(2.0)(x[:1], x[1:]), np.exp(-1 / (2 * 2**2)))


def test_gaussian_of_vectors_is_that_of_their_distance():
    value = GaussianL2(30.0)(np.array([[0.0, 0.0]]), np.array([[18.0, 24.0]]))
    np.testing.assert_allclose(value, np.exp(-0.5))


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_symmetric_and_one_on_the_diagonal(kernel):
    x, y = histograms(2, 6), histograms(3, 5)
    np.testing.assert_allclose(kernel(x, y), kernel(y, x).T)
    np.testing.assert_array_equal(kernel(x, x).diagonal(), 1)
    assert kernel(x, y).max() < 1
    # bins that none has mass in change nothing
    wider = [np.pad(rows, ((0, 0), (0, 4))) for rows in (x, y)]
    np.testing.assert_allclose(kernel(*wider), kernel(x, y))


@pytest.mark.parametrize("kernel", KERNELS)
def test_discrepancy_is_the_mean_over_all_pairs(kernel):
    x, y = histograms(4, 5), histograms(5, 3)

    def mean(a, b):
        return np.mean([kernel(p[None], q[None]) for p in a for q in b])

    expected = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    assert squared_mmd(x, y, kernel) == pytest.approx(expected, rel=1e-10)
    assert squared_mmd(y, x, kernel) == pytest.approx(expected, rel=1e-10)
    assert squared_mmd(x, x[::-1], kernel) == pytest.approx(0, abs=1e-15)
    # copies of a set are the set
    assert squared_mmd(np.tile(x, (2, 1)), y, kernel) == pytest.approx(expected, rel=1e-10)


def test_sets_of_one_distribution_are_apart_by_the_bias():
    points, kernel = histograms(6, 20), GaussianL2(0.4)
    # the mean over pairs, of the 20 points drawn independently
    mean = kernel(points, points).mean()
    rng = np.random.default_rng(7)
    n, m, draws = 4, 6, 4000
    values = [
        squared_mmd(points[rng.integers(20, size=n)], points[rng.integers(20, size=m)], kernel)
        for _ in range(draws)
    ]
    error = np.std(values) / np.sqrt(draws)
    assert abs(np.mean(values) - (1 - mean) * (1 / n + 1 / m)) < 4.5 * error


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_discrepancy_of_graphs_grows_with_the_difference(protocol):
    reference = describe(graphs(0, 30))
    near = graph_mmd(reference, describe(graphs(1, 30)), protocol=protocol)
    far = graph_mmd(reference, describe(graphs(2, 30, density=0.7)), protocol=protocol)
    for name in ("degree", "cluster", "orbit", "spectral", "average"):
        assert 0 < getattr(near, name) < getattr(far, name)
    assert near.average < far.average / 3
    assert near.average == pytest.approx((near.degree + near.cluster + near.orbit) / 3)
    same = graph_mmd(reference, describe(graphs(0, 30)[::-1]), protocol=protocol)
    assert max(abs(value) for value in vars(same).values()) < 1e-14


def moved_mass(bins: int, to: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return histograms with all mass in bin 0, and with a share of it elsewhere."""
    x = np.eye(bins)[:1]
    return x, (1 - share) * x + share * np.eye(bins)[to]


def test_settings_of_the_protocols():
    pairs = [
        moved_mass(5, to=2, share=0.75),
        moved_mass(100, to=50, share=0.1),
        (np.zeros((1, 15)), np.array([[18.0, 24.0] + 13 * [0.0]])),
        moved_mass(200, to=4, share=0.5),
    ]
    x, y = (Descriptors(*side) for side in zip(*pairs, strict=True))
    # distances over sigma: degrees, coefficients in bins of 0.01, orbits, spectra in bins
    scaled = {
        "emd": [2 * 0.75, 50 * 0.01 * 0.1 / 0.1, 30 / 30, 4 * 0.5],
        "tv": [0.75, 0.1 / 0.1, 21 / 30, 0.5],
    }
    assert set(scaled) == set(PROTOCOLS)
    for protocol, distances in scaled.items():
        found = list(vars(graph_mmd(x, y, protocol=protocol)).values())
        np.testing.assert_allclose(found, 2 - 2 * np.exp(-np.square(distances) / 2))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_not_positive_are_refused(bad):
    for kernel in (GaussianEMD, GaussianTV, GaussianL2):
        with pytest.raises(ValueError, match="positive"):
            kernel(bad)
    with pytest.raises(ValueError, match="positive"):
        GaussianEMD(1.0, bin_width=bad)


def test_empty_sets_other_lengths_and_other_protocols_are_refused():
    rows = histograms(0, 3)
    for other in (rows[:0], rows[:, :4]):
        with pytest.raises(ValueError, match="rows of one length"):
            squared_mmd(rows, other, GaussianTV(1.0))
    found = describe(graphs(0, 2))
    with pytest.raises(ValueError, match="'l2'"):
        graph_mmd(found, found, protocol="l2")
