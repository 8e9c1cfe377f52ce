"""A wrong formula makes exactly the facts fail that rest on it.

A row names a formula of the package, a wrong version of it, and the facts that then fail; all
others must hold. ``_wrong_everywhere`` replaces it in whatever module has imported it.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from invdiff.theory.chapter import SECTIONS, Fact, statistical_rates

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Row:
    """A formula, by module and name (``Class.method`` for a method), and what rests on it."""

    module: str
    name: str
    wrong: Callable[[Formula], Formula]
    fail: frozenset[str]


def _scaled(factor: float) -> Callable[[Formula], Formula]:
    """Multiply what a formula returns."""
    return lambda formula: lambda *args, **kwargs: factor * formula(*args, **kwargs)


def _always(**settings: Any) -> Callable[[Formula], Formula]:
    """Overrule what a formula is asked for."""
    return lambda formula: lambda *args, **kwargs: formula(*args, **kwargs | settings)


def _multinomial(ancestors: Formula) -> Formula:
    return lambda log_weights, source, scheme="", num=None: ancestors(
        log_weights, source, "multinomial", num
    )


def _tempered_ancestors(ancestors: Formula) -> Formula:
    return lambda log_weights, *args: ancestors(0.8 * log_weights, *args)


def _evidence_forgotten(resampled: Formula) -> Formula:
    def wrong(state, *args):
        changed, *rest = resampled(state, *args)
        return changed._replace(log_evidence=state.log_evidence), *rest

    return wrong


def _pull_forgotten(call: Formula) -> Formula:
    def wrong(self, x, sigma):
        across = x - self.offset - (x - self.offset) @ self.basis @ self.basis.mT
        return call(self, x, sigma) + across

    return wrong


def _diagonal_kept(mmd2: Formula) -> Formula:
    # with equal weights, the mean of the kernel with its diagonal is mean + (1 - mean) / n
    def wrong(x, y, *, bandwidth):
        within = [
            1 - torch.exp(-(torch.pdist(cloud) ** 2) / 2 / bandwidth**2).mean() for cloud in (x, y)
        ]
        return mmd2(x, y, bandwidth=bandwidth) + float(sum(within)) / len(x)

    return wrong


def _outer_ranks(quantiles: Formula) -> Formula:
    # numpy's convention: the extremes stand for 0 and 1
    return lambda samples, probabilities: torch.quantile(
        samples, torch.tensor(probabilities, dtype=samples.dtype), dim=0
    )


def _narrow_above(apply: Formula) -> Formula:
    def wrong(self, samples, region=None):
        lower, upper = apply(self, samples, region)
        return lower, upper - 0.1 * (upper - lower)

    return wrong


def _lowest_left_out(ranks: Formula) -> Formula:
    return lambda truths, samples, **kwargs: ranks(truths, samples, **kwargs).clamp(min=1)


def _overshooting(step: Formula) -> Formula:
    return lambda denoiser, x, *sigmas: 1.1 * step(denoiser, x, *sigmas) - 0.1 * x


EVIDENCE = frozenset(["evidence-unbiased", "log-evidence-biased"])
DENOISER = frozenset(
    [
        "credible-coverage",
        "credible-overconfident",
        "empirical-denoiser-memorises",
        "ensemble-rate",
        "intrinsic-dimension",
        "log-evidence-biased",
        "parametric-rate",
        "ranks-too-wide",
        "ranks-uniform",
        "samples-are-no-data",
        "subspace-score",
        "tweedie",
    ]
)
SAMPLERS, THEORY, UNCERTAINTY = "invdiff.samplers", "invdiff.theory", "invdiff.uncertainty"

ROWS = [
    Row(f"{SAMPLERS}.resampling", "ancestors", _multinomial, frozenset(["resampling-variance"])),
    Row(
        f"{SAMPLERS}.resampling",
        "ancestors",
        _tempered_ancestors,
        frozenset(["resampling-unbiased"]),
    ),
    Row(
        f"{SAMPLERS}.resampling",
        "effective_sample_size",
        _scaled(1.1),
        frozenset(["effective-sample-size"]),
    ),
    Row(f"{SAMPLERS}.tempered_target", "tempered_energy", _scaled(0.7), EVIDENCE),
    Row(
        f"{SAMPLERS}.base",
        "Samples.mean",
        _scaled(0.8),
        frozenset(["ensemble-rate", "ensemble-two-terms"]),
    ),
    Row(
        f"{SAMPLERS}.weighted_ensemble",
        "resampled",
        _evidence_forgotten,
        EVIDENCE,
    ),
    Row(
        f"{SAMPLERS}.heun",
        "heun_step",
        _overshooting,
        frozenset(["empirical-denoiser-memorises"]),
    ),
    Row(
        "invdiff.priors.subspace",
        "SubspacePrior.__call__",
        _pull_forgotten,
        frozenset(["subspace-score"]),
    ),
    Row(
        "invdiff.priors.gaussian",
        "GaussianMixturePrior.__call__",
        _scaled(0.5),
        DENOISER,
    ),
    Row(
        "invdiff.priors.gaussian",
        "GaussianMixturePrior.log_prob",
        _scaled(1.1),
        frozenset(["tweedie", "plug-in-divergence"]),
    ),
    Row(
        f"{THEORY}.sliced",
        "wasserstein_1d",
        _scaled(1.1),
        frozenset(["wasserstein-floor", "samples-are-no-data"]),
    ),
    Row(f"{THEORY}.mmd", "mmd2", _diagonal_kept, frozenset(["mmd-unbiased", "mmd-null-spread"])),
    Row(f"{THEORY}.two_samples", "c2st", _scaled(0.9), frozenset(["classifier-accuracy"])),
    Row(f"{THEORY}.ranks", "rank_statistics", _lowest_left_out, frozenset(["ranks-uniform"])),
    Row(f"{UNCERTAINTY}.scores", "crps", _always(fair=False), frozenset(["crps-fair"])),
    Row(f"{UNCERTAINTY}.scores", "crps", _always(fair=True), frozenset(["crps-excess"])),
    Row(
        f"{UNCERTAINTY}.intervals",
        "weighted_quantiles",
        _outer_ranks,
        frozenset(["credible-coverage", "credible-overconfident"]),
    ),
    Row(
        f"{UNCERTAINTY}.conformal",
        "ConformalCalibration.apply",
        _narrow_above,
        frozenset(["conformal-coverage", "conformal-coverage-law"]),
    ),
    Row("invdiff.metrics", "psnr", _scaled(0.9), frozenset(["three-decibels"])),
]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.wrong.__name__}")
def test_wrong_formula_fails_what_rests_on_it_alone(row: Row) -> None:
    with _wrong_everywhere(row):
        found = {fact.key for section in SECTIONS for fact in section.facts if _fails(fact)}
    assert found == row.fail


def test_every_fact_of_the_section_rests_on_a_formula() -> None:
    assert {fact.key for fact in statistical_rates.SECTION.facts} <= set().union(
        *(row.fail for row in ROWS)
    )


def test_formula_is_put_back() -> None:
    row = ROWS[0]
    before = getattr(importlib.import_module(row.module), row.name)
    with _wrong_everywhere(row):
        assert getattr(importlib.import_module(row.module), row.name) is not before
    assert getattr(importlib.import_module(row.module), row.name) is before


def _fails(fact: Fact) -> bool:
    """Return whether a fact does not hold; a wrong formula may also raise or warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return not fact.check().holds
        except (ValueError, RuntimeError, ArithmeticError, IndexError):
            return True


@contextmanager
def _wrong_everywhere(row: Row) -> Iterator[None]:
    """Replace a formula in its class, or in each module that holds it."""
    holder: Any = importlib.import_module(row.module)
    *owner, name = row.name.split(".")
    formula = getattr(getattr(holder, owner[0]), name) if owner else getattr(holder, name)
    holders = [getattr(holder, owner[0])] if owner else _modules_with(formula, name)
    wrong = row.wrong(formula)
    with pytest.MonkeyPatch.context() as patch:
        for one in holders:
            patch.setattr(one, name, wrong)
        yield


def _modules_with(formula: Formula, name: str) -> list[Any]:
    # vars, not getattr: some modules of other packages import on access
    return [
        module
        for module in list(sys.modules.values())
        if module is not None and vars(module).get(name) is formula
    ]
