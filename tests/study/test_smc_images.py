"""The study of particles on images: equal calls, exact yardsticks, keys, refusals."""

import numpy as np
import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.study.laboratory.image_priors import Counted, evidence, exact_samples, patch_prior
from invdiff.study.laboratory.image_runs import affordable_steps, draw, score
from invdiff.study.laboratory.image_tasks import TASKS, image_problem, small_slices
from invdiff.study.laboratory.smc_images import SMCImages
from invdiff.study.run_scripted import run_study
from operators import GaussianNoise, Mask

QUICK = {
    "size": 16,
    "num_patches": 6,
    "num_images": 2,
    "num_samples": 4,
    "calls_per_sample": 15,
    "tasks": ["box", "ct"],
    "methods": ["exact", "afdps", "red-diff", "red-diff-once"],
    "options": {"afdps": {"tempering": "weights", "prior_std": 1e-3}},
}


@pytest.fixture(scope="module")
def slices():
    generator = derive_generator(0, "slices")
    return torch.rand(2, 64, 64, generator=generator)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    study = SMCImages(**QUICK)
    out = tmp_path_factory.mktemp("run") / "out"
    return study, run_study(study, out), out


def test_all_methods_spend_the_same_calls_and_are_scored(run):
    study, metrics, _ = run
    calls = {
        metrics[f"network_calls_{method}_{task}"]
        for method in ("afdps", "red_diff", "red_diff_once")
        for task in study.tasks
    }
    assert calls == {60}
    for name in ("psnr", "psnr_best", "ssim", "crps", "coverage_90", "spread"):
        assert np.isfinite(metrics[f"{name}_afdps_box"])
    assert 0.25 <= metrics["min_ess_afdps_box"] <= 1
    assert np.isfinite(metrics["log_evidence_exact_ct"])
    assert 0 <= metrics["mean_kept_afdps_box"] <= 1
    # flattened weights leave no evidence
    assert "log_evidence_afdps_ct" not in metrics
    assert 0 <= metrics["wins"] <= 2


def test_one_run_is_a_single_image_without_spread(run):
    metrics = run[1]
    assert metrics["spread_red_diff_once_box"] == metrics["coverage_90_red_diff_once_box"] == 0
    assert metrics["psnr_red_diff_once_box"] == metrics["psnr_best_red_diff_once_box"]


def test_report_shows_every_task(run):
    out = run[2]
    names = {path.stem for path in out.glob("*.png")}
    assert names == {"samples_box", "samples_ct", "crps", "coverage", "effective_sample_size"}


def test_two_settings_of_a_method_are_told_apart():
    options = {"diffpir-tuned": {"noise_fraction": 1.0}}
    with pytest.raises(ValueError, match="no method diffpir-tuned"):
        SMCImages(methods=["diffpir"], options=options)
    assert SMCImages(methods=["diffpir", "diffpir-tuned"], options=options)


@pytest.mark.parametrize(("kind", "per_step"), [("red-diff", 1), ("diffpir", 1), ("afdps", 3)])
def test_steps_fill_the_budget(kind, per_step):
    assert affordable_steps(kind, {}, 30) == 30 // per_step


def test_too_small_a_budget_is_refused():
    with pytest.raises(ValueError, match="afdps needs more than 3"):
        affordable_steps("afdps", {}, 3)


def test_counts_every_image_once_for_each_problem():
    prior = Counted(GaussianPrior(torch.full((4, 4), 0.5).double(), 0.1), (0.0, 1.0))
    operator = Mask(torch.ones(4, 4, dtype=torch.bool))
    likelihood = Likelihood(operator, GaussianNoise(0.1), torch.full((3, 16), 0.5))
    drawn = draw("diffpir", {"num_steps": 5}, likelihood, prior, 2, 0)
    assert drawn["calls"] == 2 * 3 * 5
    assert drawn["values"].shape == (2, 3, 4, 4)


def test_prior_of_patches_keeps_their_mean_and_covariance(slices):
    generator = derive_generator(0, "patches")
    patches = slices.double().unfold(1, 16, 8).unfold(2, 16, 8).reshape(-1, 16, 16)
    # all of the patches, so that nothing is left to chance
    prior = patch_prior(slices, 16, len(patches), generator)
    torch.testing.assert_close(prior.mean(), patches.mean(0))
    excess = prior.covariance() - torch.cov(patches.flatten(1).mT, correction=0)
    torch.testing.assert_close(excess, excess[0, 0] * torch.eye(256, dtype=torch.float64))


def test_evidence_is_that_of_bayes_rule(slices):
    """log p(y) = log p(y | x) + log p(x) - log p(x | y) at any x."""
    prior = patch_prior(slices, 16, 5, derive_generator(0, "patches"))
    truth = prior.sample(1, generator=derive_generator(0, "truth"))
    problem = image_problem("random", truth, 0.05, 0)
    single = Likelihood(problem.operator, problem.noise, problem.y[0])
    x = exact_samples(prior, single, 1, derive_generator(0, "exact"))[0]
    expected = single.log_prob(x) + prior.log_prob(x) - prior.posterior(single).log_prob(x)
    assert evidence(prior, single) == pytest.approx(float(expected), abs=1e-4)


def test_exact_samples_cover_the_truth_as_often_as_stated(slices):
    """The mean over 16 x 16 dependent pixels and 40 truths scatters by about 0.02."""
    prior = patch_prior(slices, 16, 5, derive_generator(0, "patches"))
    truth = prior.sample(40, generator=derive_generator(0, "truth"))
    problem = image_problem("random", truth, 0.05, 0)
    generator = derive_generator(0, "exact")
    problems = [Likelihood(problem.operator, problem.noise, y) for y in problem.y]
    values = torch.stack([exact_samples(prior, p, 40, generator) for p in problems], 1)
    run = {"values": values.numpy(), "log_weights": np.zeros(values.shape[:2])}
    assert score(run, truth)["coverage_90"] == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("task", TASKS)
def test_measurement_of_a_slice_is_the_same_alone(task):
    truth = small_slices("sts-044", 32)
    both = image_problem(task, truth[:2], 0.02, 0)
    alone = image_problem(task, truth[:1], 0.02, 0)
    torch.testing.assert_close(alone.y, both.y[:1])
    assert float(both.residual_over_noise(truth[:2]).mean()) == pytest.approx(1, abs=0.2)


def test_whole_slices_fill_the_range():
    truth = small_slices("head-t1", 64)
    assert truth.shape == (5, 64, 64)
    assert 0 <= float(truth.min()) < 0.01
    assert 0.9 < float(truth.max()) <= 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prior": "unknown"}, "unknown sample or prior"),
        ({"size": 48}, "size"),
        ({"methods": ["no-such"]}, "no-such"),
        ({"methods": ["exact"], "prior": "ct-256"}, "exact needs"),
        ({"device": "cuda"}, "patches are for the cpu"),
        ({"options": {"dps": {}}}, "no method dps"),
        ({"options": {"diffpir": {"regularization": -1}}}, "regularization"),
    ],
)
def test_wrong_choices_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SMCImages(**{"methods": ["diffpir"], **values})
