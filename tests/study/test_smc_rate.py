import math

import pytest
import torch

from invdiff.rng import derive_generator
from invdiff.study.laboratory.rate_problem import PerturbedScore, RateProblem
from invdiff.study.laboratory.smc_rate import SMCRate
from invdiff.study.load import parse_study
from invdiff.study.stages import Stages

CHOICES = {
    "kind": "smc-rate",
    "title": "Rate",
    "counts": [32, 64, 128],
    "runs": 8,
    "evidence_count": 64,
    "score_errors": [0.0, 0.5, 1.0],
    "score_count": 128,
    "sampler": {"kind": "afdps", "num_steps": 15, "sigma_max": 3.0, "prior_std": 0.25},
    "published": {
        "kind": "afdps-published",
        "num_steps": 80,
        "sigma_max": 3.0,
        "rho": 3.0,
        "prior_std": 0.25,
        "kappa": 0.5,
    },
}


def test_the_study_measures_and_draws(tmp_path):
    study = parse_study(CHOICES)
    assert isinstance(study, SMCRate)
    outcome = study.compute(Stages(tmp_path))
    metrics = outcome.metrics
    for key in ("slope", "slope_published", "evidence_ratio", "evidence_z", "score_error_r2"):
        assert math.isfinite(metrics[key])
    # eight runs of three counts: the rate itself is the study's, at its own size
    assert -1.2 < metrics["slope"] < 0.2
    assert metrics["score_error_slope"] > 0.1
    figures = study.figures(metrics, outcome.arrays)
    assert figures.keys() == study.captions().keys()
    assert len(study.tables(metrics)[0].rows) == 4
    assert "standard errors" in study.summary(metrics)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"evidence_count": 65}, "evidence_count: expected one of"),
        ({"sampler": {"kind": "dds"}}, "sampler: expected a kind with an evidence"),
    ],
)
def test_refuses_choices_that_do_not_fit(choice, message):
    with pytest.raises(ValueError, match=message):
        parse_study(CHOICES | choice)


@pytest.mark.parametrize("num_modes", [1, 2])
def test_the_evidence_is_the_mean_likelihood_of_the_prior(num_modes):
    problem = RateProblem(num_modes, 3, 2, 0.8, seed=1)
    x = problem.prior().sample(200_000, generator=derive_generator(0))
    log_mean = problem.likelihood().log_prob(x).logsumexp(0) - math.log(200_000)
    # three standard errors of a likelihood that varies as much as its mean
    assert abs(float(log_mean) - problem.log_evidence()) < 0.01


def test_the_score_is_wrong_by_what_was_asked_for():
    problem = RateProblem(2, 3, 2, 0.8, seed=1)
    direction = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    wrong = PerturbedScore(problem.prior(), 0.3, 2.0, direction)
    x, sigma = torch.ones(5, 3, dtype=torch.float64), torch.tensor(1.5, dtype=torch.float64)
    error = (wrong(x, sigma) - problem.prior()(x, sigma)) / sigma**2
    torch.testing.assert_close(error, (0.3 * 2.0 / (2.0**2 + 1.5**2) * direction).expand(5, 3))
