"""The study of many dimensions at a size that takes seconds, and the laws of its estimators."""

import numpy as np
import pytest
import torch

from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.process import FieldProcess
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.study.laboratory.interpolant_gmm_d128 import InterpolantHighDim
from invdiff.study.laboratory.interpolant_gmm_d128_moments import mixture_kl, normal_kl
from invdiff.study.laboratory.interpolant_gmm_d128_problem import HighDimProblem
from invdiff.study.laboratory.interpolant_gmm_d128_runs import HighDimRuns
from invdiff.study.load import load_study, parse_study
from invdiff.study.stages import Stages

CHOICES = {
    "kind": "interpolant-gmm-d128",
    "title": "Tiny",
    "dim": 4,
    "modes": 2,
    "training": {"width": 16, "depth": 1, "num_steps": 100, "batch_size": 32, "num_warmup": 10},
    "epsilons": [0.1, 1.0, 10.0],
    "shown": [1.0],
    "num_steps": 10,
    "num_points": 20,
    "num_paths": 4,
    "num_samples": 200,
    "error_times": 5,
    "error_samples": 50,
}
# error of each entry of the score
SHIFT = 0.3


@pytest.fixture(scope="module")
def study():
    return parse_study(CHOICES)


@pytest.fixture(scope="module")
def outcome(study, tmp_path_factory):
    return study.compute(Stages(tmp_path_factory.mktemp("stages")))


def normal_mixture(means, covariances):
    return GaussianMixturePrior(torch.ones(len(means)).double(), means, covariances)


def draw(*shape, label="normal"):
    return torch.randn(shape, generator=derive_generator(0, label), dtype=torch.float64)


def test_the_study_measures_and_draws(study, outcome):
    assert isinstance(study, InterpolantHighDim)
    metrics = outcome.metrics
    figures = study.figures(metrics, outcome.arrays)
    assert figures.keys() == study.captions().keys()
    (table,) = study.tables(metrics)
    assert len(table.rows) == 5
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert f"{metrics['predicted_epsilon']:.2f}" in study.summary(metrics)
    expected = (metrics["error_velocity"] / metrics["error_score"]) ** 0.5
    assert metrics["predicted_epsilon"] == pytest.approx(expected)
    # squares of sums, and the inequality of Jensen
    assert (np.array(metrics["drift_bound"]) <= np.array(metrics["bound"])).all()
    assert (np.array(metrics["kl_paths"]) <= np.array(metrics["kl_path"])).all()


def test_results_are_those_of_the_seed(study, outcome, tmp_path):
    assert study.compute(Stages(tmp_path)).metrics["kl_moments"] == outcome.metrics["kl_moments"]


def test_samples_of_the_exact_process_have_its_law():
    problem, t = HighDimProblem(3, 2, 0), torch.tensor(0.4, dtype=torch.float64)
    samples = problem.exact.sample(40_000, t, generator=derive_generator(0))
    base = normal_mixture(torch.zeros(1, 3).double(), torch.eye(3).double()[None])
    law = MixtureProcess(TwoSided(), problem.target, base).marginal(t)
    second = torch.einsum("k,kij->ij", law.weights, law.covariances + outer(law.means))
    # four standard errors of a variance of about one
    torch.testing.assert_close(samples.double().mean(0), law.mean(), rtol=0, atol=0.025)
    torch.testing.assert_close(outer(samples).mean(0).double(), second, rtol=0, atol=0.06)


def outer(x):
    return x.unsqueeze(-1) * x.unsqueeze(-2)


def runs(problem, learned, **choices):
    sizes = {"num_steps": 100, "num_points": 200, "num_paths": 50, "num_samples": 100}
    return HighDimRuns(problem, learned, seed=0, **sizes | choices)


def with_wrong_score(exact):
    return FieldProcess(
        exact.interpolant, b=exact.velocity, s=lambda x, t: exact.score(x, t) + SHIFT
    )


def test_exact_fields_have_no_divergence_but_that_of_the_steps():
    problem = HighDimProblem(3, 2, 0)
    coarse, fine = (
        runs(problem, problem.exact, num_steps=steps).densities(ConstantEpsilon(1.0))
        for steps in (20, 160)
    )
    for name in ("paths", "path", "steps"):
        assert fine[name].mean() < 0.03
        assert np.abs(fine[name]).mean() < 0.5 * np.abs(coarse[name]).mean()
    ode = runs(problem, problem.exact).ode_densities()["paths"]
    # the noise of one probe at each time
    assert abs(ode.mean()) < 4 * ode.std() / 200**0.5 + 0.01
    assert ode.std() < 0.3


def test_the_divergence_of_a_wrong_score_is_below_its_bound():
    """The bound of the drift is epsilon |SHIFT|^2 / 4 over all three entries."""
    problem = HighDimProblem(3, 2, 0)
    for epsilon in (1.0, 4.0):
        found = runs(problem, with_wrong_score(problem.exact)).densities(ConstantEpsilon(epsilon))
        error = 4 * found["paths"].std() / 200**0.5
        assert 0.005 < found["paths"].mean() < epsilon * 3 * SHIFT**2 / 4 + error
        assert found["paths"].mean() <= found["path"].mean()


def test_errors_are_measured_where_they_are_known():
    problem = HighDimProblem(3, 2, 0)
    found = runs(problem, with_wrong_score(problem.exact)).error_arrays(5, 100)
    np.testing.assert_allclose(found["score"], 3 * SHIFT**2, rtol=1e-3)
    np.testing.assert_allclose(found["velocity"], 0, atol=1e-9)
    # at the start the law is standard normal
    assert found["size_s"][0] == pytest.approx(3, rel=0.3)


def test_divergence_of_normal_laws_is_found_without_bias():
    d, n, runs = 6, 15, 3000
    root = torch.eye(d).double() + 0.2 * draw(d, d, label="root")
    mean, covariance = 0.3 * draw(d, label="mean"), torch.eye(d).double() * 0.8
    generator = derive_generator(0, "runs")
    found = torch.stack(
        [
            normal_kl(
                mean,
                covariance,
                torch.randn((n, d), generator=generator, dtype=torch.float64) @ root.mT,
            )
            for _ in range(runs)
        ]
    )
    first, second = (
        torch.distributions.MultivariateNormal(m, c)
        for m, c in ((mean, covariance), (torch.zeros_like(mean), root @ root.mT))
    )
    exact = float(torch.distributions.kl_divergence(first, second))
    assert float(found.mean()) == pytest.approx(exact, abs=4 * float(found.std()) / runs**0.5)


def test_divergence_of_a_mixture_sees_the_weights():
    means = torch.tensor([[-20.0, 0.0], [20.0, 0.0]]).double()
    covariances = torch.eye(2).double().expand(2, 2, 2)
    target = normal_mixture(means, covariances)
    sampled = GaussianMixturePrior(torch.tensor([0.2, 0.8]).double(), means, covariances)
    found = mixture_kl(target, sampled.sample(20_000, generator=derive_generator(0)))
    error = 4 * float(found.std()) / len(found) ** 0.5
    assert float(found.mean()) == pytest.approx(np.log(0.5 / 0.4), abs=error)
    assert error < 0.06


def test_a_mode_without_samples_is_refused():
    target = normal_mixture(draw(2, 3) * 20, torch.eye(3).double().expand(2, 3, 3))
    with pytest.raises(ValueError, match="more than 5 samples in a mode, got 4"):
        normal_kl(target.means[0], target.covariances[0], draw(4, 3))


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ("epsilons=[1.0, 0.1, 2.0]", "epsilons: expected increasing"),
        ("epsilons=[0.0, 0.1, 1.0]", "epsilons"),
        ("shown=[3.3]", "shown: expected some of the epsilons"),
        ("num_samples=1000", "num_samples: expected at least 1310"),
        ("training.ema_decay=1.0", "ema_decay"),
        ("modes=1", "modes"),
    ],
)
def test_refusals(choice, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_study("interpolant_gmm_d128", [choice])
