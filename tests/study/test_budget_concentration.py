import pytest
import torch

from invdiff.rng import derive_generator
from invdiff.samplers import Ensemble, Samples
from invdiff.study.laboratory.budget_concentration import BudgetConcentration
from invdiff.study.laboratory.budget_concentration_problem import (
    METHODS,
    BudgetProblem,
    calls_of_particle,
)
from invdiff.study.load import parse_study
from invdiff.study.stages import Stages
from invdiff.theory.spacings import spacing_divergence

CHOICES = {
    "kind": "budget-concentration",
    "title": "Budget",
    "budgets": [60, 240],
    "num_samples": 500,
    "ensemble": {"kind": "afdps", "num_steps": 20, "prior_std": 0.05},
}


def test_the_study_measures_and_draws(tmp_path):
    study = parse_study(CHOICES)
    assert isinstance(study, BudgetConcentration)
    outcome = study.compute(Stages(tmp_path))
    metrics = outcome.metrics
    for method in METHODS:
        assert all(calls <= 240 for calls in metrics[f"calls_{method}"])
    assert metrics["kl_rollover"][1] > 3 > metrics["kl_prior"] > 10 * metrics["kl_rollover"][0]
    assert metrics["kl_best-of-n"][1] > metrics["kl_prior"]
    assert metrics["kl_ensemble"][1] < 0.03
    figures = study.figures(metrics, outcome.arrays)
    assert figures.keys() == study.captions().keys()
    assert len(study.tables(metrics)[0].rows) == 2
    assert "weighted particles" in study.summary(metrics)


@pytest.mark.parametrize("number", [1, 3, 8])
def test_best_of_n_has_its_exact_divergence(number):
    problem = BudgetProblem(0.4, 1.0, 100, 2000, 0)
    x = problem.draw("best-of-n", 101 * number, Ensemble())["x"]
    measured = spacing_divergence(torch.as_tensor(x).unsqueeze(1), problem.posterior())
    # the estimate scatters by 0.01 to 0.02 at 2000 samples, as the logarithms of the ratio do
    assert abs(measured - problem.exact_best_of_n(number)) < 0.07


def test_one_particle_is_taken_by_weight():
    weights = torch.tensor([0.1, 0.7, 0.2]).double()
    values = torch.arange(3).double()[:, None, None].expand(3, 4000, 1)
    samples = Samples(values, weights.log()[:, None].expand(3, 4000))
    found = BudgetProblem(0.4, 1.0, 20, 4000, 0)._chosen(samples)
    share = torch.bincount(found.long(), minlength=3) / 4000
    assert ((share - weights).abs() < 4.5 * (weights * (1 - weights) / 4000).sqrt()).all()


def test_the_exact_best_of_one_is_the_prior():
    problem = BudgetProblem(0.4, 1.0, 20, 100, 0)
    prior, posterior = problem.prior(), problem.posterior()
    x = prior.sample(100_000, generator=derive_generator(0))
    ratio = prior.log_prob(x) - posterior.log_prob(x)
    error = float(ratio.std()) / len(x) ** 0.5
    assert abs(problem.exact_best_of_n(1) - float(ratio.mean())) < 4.5 * error
    assert calls_of_particle(Ensemble(num_steps=20)) == 60


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"budgets": [240, 60]}, "budgets: expected increasing numbers"),
        ({"shown": [60, 120]}, "shown: expected two of"),
        ({"budgets": [59, 240], "shown": [240, 240]}, "budgets: expected 60 calls or more, got 59"),
        ({"ensemble": {"kind": "dps"}}, "ensemble: expected the kind afdps, got dps"),
    ],
)
def test_refuses_choices_that_do_not_fit(choice, message):
    with pytest.raises(ValueError, match=message):
        parse_study(CHOICES | choice)
