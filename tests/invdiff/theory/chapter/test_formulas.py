"""A wrong formula makes exactly the facts fail that rest on it.

A row names formulas of the package, wrong versions of them, and the facts that then fail; the
others must hold. Facts that take long are checked in the rows that name them, and in three rows
of the whole chapter.
"""

from __future__ import annotations

import importlib
import warnings

import pytest
import rows_of_fields
import rows_of_samplers
import rows_of_statistics
from wrong_formulas import Row, broken

from invdiff.theory.chapter import SECTIONS, Fact

FACTS = [fact for section in SECTIONS for fact in section.facts]
ROWS = [*rows_of_fields.ROWS, *rows_of_samplers.ROWS, *rows_of_statistics.ROWS]

# what takes more than 0.035 s on one core
SLOW = """
    adaptive-solver-tolerance ancestral-variance-order annealed-dps-too-weak annealed-reflow
    any-epsilon-gaussian-marginals any-epsilon-mixture-samples best-of-n-divergence boundary-map
    boundary-of-the-posterior-mean boundary-risk change-of-volume classifier-accuracy
    conformal-coverage conformal-coverage-law consistency-function credible-coverage
    daps-square-root-of-the-prior ddim-order-one divergence-in-time dpm-solver-order-two
    dpm-solver-plus-plus-order-two dps-drops-covariance ensemble-rate ensemble-two-terms
    euler-maruyama-strong-order euler-maruyama-weak-order evidence-lower-bound evidence-unbiased
    exponential-sde-order flow-likelihood flow-map-inverse flow-map-semigroup gaussian-flow-map
    girsanov-bound girsanov-kl gradient-of-red-diff guided-laws heun-order-two
    information-from-denoising-errors interpolant-solver-orders intrinsic-dimension
    law-of-the-radius log-evidence-biased mmd-null-spread mmd-unbiased
    one-minimum-of-all-objectives optimal-reverse-variance parametric-rate
    pigdm-assumed-variance plug-in-divergence point-source-gives-the-conditional-law
    red-diff-fixed-point reflow-cost-falls reflow-cost-of-gaussians reflow-cost-on-the-line
    replacement-biased resampling-unbiased reverse-sde-of-a-gaussian rollover-over-concentrates
    samples-are-no-data schroedinger-bridge-is-optimal schroedinger-energy
    schroedinger-marginals sides-apart-lose-their-information splitting-order
    stein-unbiased-risk stochastic-heun-weak-order straightness-of-a-flow
    system-restores-the-law three-decibels twisted-mode-weights unipc-order-three
    velocity-is-a-conditional-mean
"""


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_wrong_formula_fails_what_rests_on_it_alone(row: Row) -> None:
    slow = frozenset(SLOW.split())
    checked = [f for f in FACTS if row.whole or f.key in row.keys or f.key not in slow]
    with broken(row.breaks):
        found = {fact.key for fact in checked if _fails(fact)}
    wrongly = {"fails": sorted(found - row.keys), "holds": sorted(row.keys - found)}
    assert found == row.keys, wrongly


def test_every_fact_rests_on_a_formula() -> None:
    assert {fact.key for fact in FACTS} == set().union(*(row.keys for row in ROWS))


def test_slow_facts_are_facts() -> None:
    assert {fact.key for fact in FACTS} > set(SLOW.split())


def test_formula_is_put_back() -> None:
    one = ROWS[0].breaks[0]
    owner, name = one.name.split(".")
    holder = getattr(importlib.import_module(f"invdiff.{one.module}"), owner)
    before = getattr(holder, name)
    with broken(ROWS[0].breaks):
        assert getattr(holder, name) is not before
    assert getattr(holder, name) is before


def _fails(fact: Fact) -> bool:
    """Return whether a fact does not hold; a wrong formula may also raise or warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return not fact.check().holds
        except (ValueError, RuntimeError, ArithmeticError, IndexError):
            return True
