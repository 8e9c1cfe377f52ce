"""A search for what explains the data best is no sampler of the posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invdiff.interpolants import RolloverBudget, kl_on_grid
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS, GREY
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import likelihood_of, line, three_modes_on_the_line
from invdiff.theory.spacings import spacing_divergence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_MEASUREMENT, _NUM_SAMPLES = 0.4, 1000
_BUDGETS = (60, 120, 240, 480)


def _over_concentrates() -> Reading:
    prior, likelihood = three_modes_on_the_line(), likelihood_of([[1.0]], [_MEASUREMENT], 1.0)
    exact = prior.posterior(likelihood)
    divergences = []
    for budget in _BUDGETS:
        sampler = RolloverBudget(budget, num_steps=20, num_starts=budget // 20)
        generator = derive_generator(0, "rollover-over-concentrates", budget)
        samples = sampler.sample(likelihood, prior, _NUM_SAMPLES, generator=generator)
        divergences.append(spacing_divergence(samples, exact))
    x = line(-10, 10, 20_001)
    without_data = kl_on_grid(prior.log_prob(x), exact.log_prob(x), x.squeeze(1))

    def draw(axes: Axes) -> None:
        axes.loglog(_BUDGETS, divergences, "o-", color=COLORS[0], label="the search")
        axes.axhline(without_data, color=GREY, linestyle="--", label="the prior, without data")
        axes.set(xlabel="network calls of a sample", ylabel="KL to the posterior / nats")
        axes.set_xticks(_BUDGETS, [str(budget) for budget in _BUDGETS])
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=7)

    return Reading(
        min(divergences[1:]),
        without_data,
        0.0,
        "a bound: the standard error of the measured value is 0.03",
        draw,
        ">=",
    )


FACTS = (
    Fact(
        "rollover-over-concentrates",
        "Rollover budget forcing seeks the image that explains the data best, noise included. "
        "From 120 network calls on its samples are farther from the posterior than the prior, "
        "which has seen no data.",
        r"\mathrm{KL}(q_{\mathrm{search}} \| p(x \mid y)) > \mathrm{KL}(p \| p(x \mid y))",
        ("kim2025rbf",),
        _over_concentrates,
    ),
)
