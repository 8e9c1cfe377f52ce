"""What the figures hold; how they look was looked at."""

import numpy as np
import pytest
import torch

from invdiff.priors import GaussianMixturePrior
from invdiff.samplers import Samples
from invdiff.theory.plots import coverage_plot, density_plot, qq_plot, rank_histogram


def _drawn(figure, folder):
    figure.savefig(folder / "figure.png", dpi=40)
    return [axis for axis in figure.axes if axis.get_title()]


def test_quantiles_are_drawn_over_the_diagonal(tmp_path) -> None:
    exact = np.linspace(-2, 2, 9)
    panels = {f"panel {k}": {"a": exact * k, "b": exact + k} for k in range(7)}
    axes = _drawn(qq_plot(exact, panels, "sd"), tmp_path)
    assert [axis.get_title() for axis in axes] == list(panels)
    for k, axis in enumerate(axes):
        diagonal, a, b = (line.get_xydata() for line in axis.lines)
        assert (diagonal[:, 0] == diagonal[:, 1]).all()
        np.testing.assert_array_equal(a, np.stack([exact, exact * k], 1))
        np.testing.assert_array_equal(b, np.stack([exact, exact + k], 1))


def test_band_of_coverage_is_binomial(tmp_path) -> None:
    levels = np.array([0.2, 0.5, 0.8])
    axes = _drawn(coverage_plot(levels, {"x": {"all": levels}}, 100), tmp_path)
    corners = axes[0].collections[0].get_paths()[0].vertices
    at_half = corners[np.isclose(corners[:, 0], 0.5), 1]
    # 2.58 standard deviations of 100 tosses, and what is whole
    assert np.unique(at_half.round(12)).tolist() == pytest.approx([0.37, 0.63])


def test_bars_of_ranks_are_counts_over_their_expectation(tmp_path) -> None:
    ranks = torch.arange(32).repeat(10)
    axes = _drawn(rank_histogram({"even": ranks, "low": ranks // 2}, 31), tmp_path)
    heights = [[bar.get_height() for bar in axis.patches[:16]] for axis in axes]
    assert heights[0] == pytest.approx([1.0] * 16)
    assert heights[1] == pytest.approx([2.0] * 8 + [0.0] * 8)


def test_contours_hold_their_share_of_the_probability(tmp_path, generator) -> None:
    exact = GaussianMixturePrior(
        torch.tensor([0.4, 0.6]).double(),
        torch.tensor([[0.0, 0.0], [5.0, 1.0]]).double(),
        torch.eye(2).double().expand(2, 2, 2),
    )
    x = exact.sample(4000, generator=generator)
    weighted = Samples(x, torch.zeros(4000).log_softmax(0))
    axes = _drawn(density_plot({"plain": x, "weighted": weighted}, exact), tmp_path)
    lines = next(c for c in axes[0].collections if len(getattr(c, "levels", [])) == 3)
    density = exact.log_prob(x).exp()
    for level, share in zip(lines.levels, (0.99, 0.9, 0.5), strict=True):
        # 4.5 standard errors and the cells of the grid
        assert float((density > level).double().mean()) == pytest.approx(share, abs=0.04)
    assert [len(axis.collections[-1].get_offsets()) for axis in axes] == [4000, 4000]
    with pytest.raises(ValueError, match="two numbers"):
        density_plot({"x": torch.zeros(5, 3)}, exact)
