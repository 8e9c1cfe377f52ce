"""What the best denoiser of a training set knows: the training set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.samplers import HeunSampler
from invdiff.theory import wasserstein_1d
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_estimates
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _memorises() -> Reading:
    training = _ring(16, "training")
    samples = _generated(training, 128)
    distance = torch.cdist(samples, training).amin(1)

    def draw(axes: Axes) -> None:
        circle = _ring(0, "circle")
        axes.plot(circle[:, 0], circle[:, 1], color=GREY, linewidth=1, label="law of the data")
        axes.plot(*training.T, "o", color=COLORS[1], markersize=9, alpha=0.4, label="training")
        axes.plot(*samples.T, ".", color=COLORS[0], markersize=4, label="128 samples")
        axes.set(aspect="equal", xlabel="x1", ylabel="x2")
        axes.legend(frameon=False, fontsize=7, loc="center")

    return Reading(
        float(distance.max()),
        0.0,
        1e-6,
        "the softmax of the last noise level, 0.002, is that of the nearest point alone",
        draw,
    )


def _no_new_data() -> Reading:
    count, batches = 8, 8
    training = torch.randn(
        count, 1, generator=derive_generator(0, "no-new-data"), dtype=torch.float64
    )
    exact = float(_square_distance(training))
    sizes = (25, 100, 400, 1600)
    draws = _generated(training, batches * sizes[-1]).reshape(batches, -1, 1)
    fresh = torch.randn(draws.shape, generator=derive_generator(0, "fresh"), dtype=torch.float64)
    levels = torch.linspace(0, 1, 4001, dtype=torch.float64)
    normal = torch.special.ndtri((levels[1:] + levels[:-1]) / 2).unsqueeze(1)
    squares, others = (
        torch.stack(
            [
                torch.cat([wasserstein_1d(batch[:size], normal) ** 2 for batch in clouds])
                for size in sizes
            ]
        )
        for clouds in (draws, fresh)
    )
    error = squares.std(1) / batches**0.5

    def draw(axes: Axes) -> None:
        axes.plot(sizes, others.mean(1), "s--", color=COLORS[1], markersize=3, label="fresh draws")
        labels = ("samples", "squared distance to the truth", "of the 8 training points")
        draw_estimates(axes, sizes, squares.mean(1), error, exact, labels)

    return Reading(
        float(squares[-1].mean()),
        exact,
        4.5 * float(error[-1]) + 1 / sizes[-1],
        f"4.5 standard errors of {batches} batches, and the floor of 1600 samples",
        draw,
    )


def _generated(training: Tensor, count: int) -> Tensor:
    """Draw by the probability-flow ODE of the empirical denoiser."""
    size, dim = training.shape
    prior = GaussianMixturePrior(
        training.new_ones(size), training, training.new_zeros(size, dim, dim), data_range=(-1, 1)
    )
    sampler = HeunSampler(num_steps=40)
    generator = derive_generator(0, "generated", size)
    return sampler.sample(prior, count, generator=generator, dtype=torch.float64).values


def _ring(count: int, label: str) -> Tensor:
    """Draw points of the unit circle; the circle itself for no points."""
    share = torch.rand(count, generator=derive_generator(0, label), dtype=torch.float64)
    angle = 2 * torch.pi * (share if count else torch.linspace(0, 1, 100, dtype=torch.float64))
    return torch.stack([angle.cos(), angle.sin()], 1)


def _square_distance(points: Tensor) -> Tensor:
    """Return the squared W2 of points on the line, (n, 1), and N(0, 1), in closed form."""
    ordered = points.flatten().sort().values
    edges = torch.linspace(0, 1, len(ordered) + 1, dtype=torch.float64)
    density = torch.exp(-(torch.special.ndtri(edges) ** 2) / 2) / (2 * torch.pi) ** 0.5
    # the integral of the quantile function of N(0, 1) is minus its density
    return 1 + ordered.square().mean() - 2 * (ordered * -density.diff()).sum()


FACTS = (
    Fact(
        "empirical-denoiser-memorises",
        "The denoiser that minimises the loss on n images exactly is a softmax over them, and "
        "its samples are these images: what generalises is the network's failure to reach it.",
        r"D(x, \sigma) = \sum_i x_i\, \mathrm{softmax}_i\bigl(-|x - x_i|^2 / 2 \sigma^2\bigr) "
        r"\quad \Rightarrow \quad \min_i |\hat x - x_i| \to 0",
        ("karras2022",),
        _memorises,
    ),
    Fact(
        "samples-are-no-data",
        "More samples of such a model come no closer to the truth than its training set is.",
        r"W_2^2(\hat p_M, p) \to W_2^2(\hat p_{train}, p) = 1 + \tfrac1n \sum_i x_{(i)}^2 - "
        r"2 \sum_i x_{(i)} \bigl(\varphi(z_{i-1}) - \varphi(z_i)\bigr), \quad z_i = "
        r"\Phi^{-1}(i / n)",
        ("karras2022", "bobkov2019"),
        _no_new_data,
    ),
)
