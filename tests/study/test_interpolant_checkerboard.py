"""The checkerboard study with a tiny network, and the laws of what it measures with."""

import json
import math

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from scipy.integrate import dblquad
from scipy.special import logsumexp
from scipy.stats import norm

from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.field_folder import load_field
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.process import FieldProcess
from invdiff.rng import derive_generator
from invdiff.study.cli import main
from invdiff.study.laboratory.interpolant_checkerboard_densities import (
    by_paths,
    mean_and_error,
    ode_log_density,
    sde_weights,
)
from invdiff.study.laboratory.interpolant_checkerboard_law import Checkerboard, CheckerboardProcess
from invdiff.study.laboratory.interpolant_checkerboard_runs import (
    SdeRun,
    ode_samples,
    paths_of,
    sde_samples,
)
from invdiff.study.laboratory.interpolant_checkerboard_scores import (
    MatchedEpsilon,
    binned_divergence,
    divergence_bound,
    velocity_errors,
)
from invdiff.study.load import load_study, parse_study

LAW = Checkerboard()
CHOICES = {
    "kind": "interpolant-checkerboard",
    "title": "Tiny",
    "width": 16,
    "depth": 2,
    "num_steps": 6,
    "batch_size": 20,
    "num_samples": 400,
    "num_heldout": 20,
    "density_points": 8,
    "ode_steps": 4,
    "sde_steps": 8,
    "constants": [0.3],
    "scales": [1.0, 3.0],
    "num_points": 30,
    "num_paths": 4,
    "path_counts": [2, 8],
    "bins": 2,
}


def double(t):
    return torch.tensor(t, dtype=torch.float64)


def normal(count, label="normal"):
    return torch.randn(count, 2, generator=derive_generator(0, label))


@pytest.fixture(scope="module")
def finished(run_once):
    return run_once(CHOICES)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_writes_numbers_figures_and_a_report(finished):
    metrics, study = metrics_of(finished), parse_study(CHOICES)
    assert all(np.isfinite(value) for value in metrics.values())
    for name in study.captions():
        assert (finished / f"{name}.png").is_file()
    assert f"{metrics['nll']:.3f} +- " in (finished / "report.html").read_text()
    samples, paths = study.tables(metrics)
    # true samples, the ODE and three SDEs
    assert len(samples.rows) == 2 + 3
    assert [row[0] for row in paths.rows] == ["2", "4", "8"]


def test_differences_are_paired_and_the_main_setting_uses_the_same_paths(finished):
    metrics, arrays = metrics_of(finished), np.load(finished / "arrays.npz")
    assert arrays["end_matched_1"].shape == (30, 8)
    assert arrays["end_matched_3"].shape == (30, 4)
    # twice four paths of the main one
    for name, groups in (("matched_1", 2), ("constant_0.3", 1)):
        weights = arrays[f"end_{name}"].reshape(30, groups, 4)
        found = (logsumexp(weights, -1) - math.log(4)).mean(1)
        values = found - arrays["end_ode"]
        assert metrics[f"gain_{name}"] == pytest.approx(values.mean(), rel=1e-4)
        assert metrics[f"gain_{name}_error"] == pytest.approx(
            values.std(ddof=1) / math.sqrt(30), rel=1e-4
        )
    assert metrics["paths_4_gain"] == metrics["gain_matched_1"]
    # the mean of logs is at most the log of the mean
    excess = [metrics[f"paths_{count}_excess"] for count in (2, 4, 8)]
    assert excess[0] > excess[1] > excess[2] == 0


def test_the_noise_of_paths_is_not_that_of_their_starts(finished):
    arrays = np.load(finished / "arrays.npz")
    later = next(k for k, t in enumerate(arrays["path_times"]) if t > 0)
    start, path = (arrays["path_sde"][k].ravel() for k in (0, later))
    np.testing.assert_array_equal(start, arrays["path_ode"][0].ravel())
    # an almost linear drift, and noise of standard deviation 1.7 that no start tells
    slope, level = np.polyfit(start, path, 1)
    assert (path - slope * start - level).std() > 1


def test_the_film_moves_and_is_small(finished):
    path = finished / "film" / "checkerboard.gif"
    with Image.open(path) as film:
        assert film.n_frames > 10
    assert path.stat().st_size < 500_000


def test_the_kept_field_has_the_reported_likelihood(finished):
    saved = load_field(finished / "field")
    assert (saved.interpolant, saved.objective) == (OneSided(), "b")
    process = FieldProcess(saved.interpolant, b=saved.network)
    true = LAW.draw(20, derive_generator(0, "heldout"))
    found = -float(ode_log_density(process, true, 4).mean())
    assert found == pytest.approx(metrics_of(finished)["nll"], abs=1e-5)


def test_the_seed_decides_the_numbers(finished, tmp_path):
    for seed in (0, 1):
        path = tmp_path / f"{seed}.yaml"
        path.write_text(yaml.safe_dump(CHOICES | {"seed": seed}))
        assert main(["run", str(path), "--out", str(tmp_path / str(seed))]) == 0
    same, other = (metrics_of(tmp_path / str(seed)) for seed in (0, 1))
    for name, value in metrics_of(finished).items():
        assert "seconds" in name or same[name] == value
    assert other["nll"] != same["nll"]


def test_points_of_the_law_are_on_its_squares():
    x = LAW.draw(20_000, derive_generator(0))
    assert LAW.contains(x).all()
    assert not LAW.contains(-x.flip(-1) * torch.tensor([1.0, -1.0])).any()
    assert not LAW.contains(torch.tensor([[5.0, 5.0], [-4.5, 0.5]])).any()
    # four standard errors
    np.testing.assert_allclose(x.std(0), LAW.std, atol=4 * LAW.std / math.sqrt(20_000))
    assert pytest.approx(math.log(32)) == LAW.entropy


def test_smoothing_is_a_convolution():
    law, std, x = Checkerboard(2, 1.0), 0.4, (0.3, -0.2)

    def integrand(v, u):
        return norm.pdf(x[0] - u, scale=std) * norm.pdf(x[1] - v, scale=std) / law.area

    squares = [((-1, 0), (-1, 0)), ((0, 1), (0, 1))]
    density = sum(dblquad(integrand, *u, *v)[0] for u, v in squares)
    assert float(law.smoothed_log_prob(double(x), std).exp()) == pytest.approx(density, rel=1e-7)


def test_the_mean_smoothed_log_density_is_that_of_samples():
    values = LAW.smoothed_log_prob(LAW.draw(20_000, derive_generator(0)), 0.1)
    error = float(values.std()) / math.sqrt(20_000)
    assert LAW.mean_smoothed_log_prob(0.1) == pytest.approx(float(values.mean()), abs=4 * error)
    # little noise leaves the entropy
    assert LAW.mean_smoothed_log_prob(1e-4) == pytest.approx(-LAW.entropy, abs=1e-3)


@pytest.mark.parametrize("t", [0.01, 0.5, 0.8, 0.99])
def test_the_exact_score_is_the_gradient_of_the_log_density(t):
    process, time = CheckerboardProcess(LAW), double(t)
    x = (3 * normal(20).double()).requires_grad_()
    # x_t / t is x1 with noise
    log_density = LAW.smoothed_log_prob(x / time, float((1 - time) / time)).sum()
    (gradient,) = torch.autograd.grad(log_density, x)
    found = process.score(x.detach(), time)
    # what is left of 1 / t and of (1 - t)^-2 in the last digits
    torch.testing.assert_close(found, gradient, rtol=1e-6, atol=1e-6)
    b = process.velocity(x.detach(), time)
    torch.testing.assert_close(found, (time * b - x.detach()) / (1 - time), rtol=1e-6, atol=1e-6)


def test_the_exact_ode_and_sde_end_in_the_law():
    process, start = CheckerboardProcess(LAW), normal(4000)
    generator = derive_generator(0, "noise")
    # the exact fields are not defined at t = 0, where they are not needed
    shifted = FieldProcess(OneSided(), b=lambda x, t: process.velocity(x, t.clamp(1e-3, 1 - 1e-3)))
    run = SdeRun("matched", 1.0, 100, 0.99)
    for x in (
        ode_samples(shifted, start, 40),
        sde_samples(shifted, start, run, generator=generator),
    ):
        divergence, error = binned_divergence(LAW, x, 2)
        assert abs(divergence) < 4 * error + 0.02
        assert float(LAW.contains(x).double().mean()) > 0.96


@pytest.mark.parametrize("count", [5000, 40_000])
@pytest.mark.parametrize("halved", [False, True])
def test_the_divergence_of_known_samples_has_its_standard_error(count, halved):
    found = []
    for i in range(30):
        x = LAW.draw(count, derive_generator(0, i))
        if halved:  # twice as many on one half of the board
            x = x[(x[:, 0] < 0) | (torch.arange(len(x)) % 2 == 0)]
        found.append(binned_divergence(LAW, x, 8))
    values, errors = np.array(found).T
    exact = -0.5 * math.log(4 / 3) - 0.5 * math.log(2 / 3) if halved else 0.0
    scatter = values.std(ddof=1)
    assert abs(values.mean() - exact) < 4 * scatter / math.sqrt(30)
    # thirty values tell a scatter to a seventh; the error grants for a first order that nearly
    # cancels where counts are few
    assert 0.6 < scatter / errors.mean() < 1.5


def test_the_divergence_of_other_samples_is_known():
    x = LAW.draw(40_000, derive_generator(0))
    off = x.clone()
    # a tenth moves off the board, which leaves 0.9 of each bin
    off[:4000] += 100
    assert binned_divergence(LAW, off, 4)[0] == pytest.approx(-math.log(0.9), abs=0.01)


def test_the_likelihood_of_a_linear_velocity_is_normal():
    # dx/dt = a x takes variance 1 to e^(2 a)
    process, a = FieldProcess(OneSided(), b=lambda x, t: 0.7 * x), 0.7
    x = normal(50)
    expected = norm.logpdf(x.double(), scale=math.exp(a)).sum(-1)
    np.testing.assert_allclose(ode_log_density(process, x, 60), expected, atol=1e-4)
    # half of the way
    half = norm.logpdf(x.double(), scale=math.exp(a / 2)).sum(-1)
    np.testing.assert_allclose(ode_log_density(process, x, 60, 0.5), half, atol=1e-4)


def test_exact_fields_have_the_exact_density_at_the_end():
    exact, end = CheckerboardProcess(LAW), double(0.9)
    x = exact.draw(end, 60, derive_generator(0, "points"))
    true = exact.log_prob(x, end)
    shifted = FieldProcess(OneSided(), b=lambda x, t: exact.velocity(x, t.clamp(min=1e-3)))
    ode = mean_and_error(true - ode_log_density(shifted, x, 40, 0.9))
    assert abs(ode.mean) < 2e-3
    run = SdeRun("matched", 1.0, 80, 0.9)
    weights = sde_weights(shifted, x, run, 32, generator=derive_generator(0))
    few, many = (mean_and_error(by_paths(true, weights, count)) for count in (2, 32))
    # what is left are 80 steps
    assert abs(many.mean) < 0.03
    assert many.mean < few.mean


def test_weights_do_not_depend_on_other_points():
    process, x = FieldProcess(OneSided(), b=lambda x, t: -0.3 * x), normal(7)
    run = SdeRun("constant", 0.5, 6, 0.9)
    both = [
        sde_weights(process, part, run, 3, generator=derive_generator(0)) for part in (x, x[:2])
    ]
    torch.testing.assert_close(both[0][:2], both[1])


def test_the_density_at_a_time_has_the_mass_of_its_points():
    exact, t = CheckerboardProcess(Checkerboard(2, 1.0)), double(0.7)
    axis = torch.linspace(-4, 4, 161, dtype=torch.float64)
    density = exact.log_prob(torch.cartesian_prod(axis, axis), t).exp()
    assert float(density.sum()) * 0.05**2 == pytest.approx(1, abs=1e-6)
    # of x_t, not of x_t / t
    inside = float(density[torch.cartesian_prod(axis, axis).norm(dim=-1) < 0.5].sum()) * 0.05**2
    drawn = exact.draw(t, 20_000, derive_generator(0)).norm(dim=-1) < 0.5
    assert float(drawn.double().mean()) == pytest.approx(inside, abs=0.02)


@pytest.mark.parametrize("end", [0.9, 0.999])
def test_the_grid_ends_where_it_says_and_is_finest_there(end):
    times = SdeRun("matched", 1.0, 10, end).times()
    assert float(times[0]) == 0
    assert float(times[-1]) == pytest.approx(end)
    assert (times.diff().diff() < 0).all()


@pytest.mark.parametrize(
    ("gain", "words"),
    [(0.05, "the SDE is better"), (0.01, "no clear difference"), (-0.05, "SDE is higher")],
)
def test_the_summary_calls_only_clear_differences(finished, gain, words):
    study, metrics = parse_study(CHOICES), metrics_of(finished)
    metrics |= {"gain_matched_1": gain, "gain_matched_1_error": 0.01}
    assert words in study.summary(metrics)
    others = {"constant_0.3": 0.1, "matched_3": -0.1}
    for name, value in others.items():
        metrics |= {f"gain_{name}": value, f"gain_{name}_error": 0.01}
    assert "Of 2 other settings, 1 are below" in study.summary(metrics)


def test_the_bound_is_smallest_at_the_matched_epsilon():
    times = (torch.arange(40, dtype=torch.float64) + 0.5) / 40
    errors = 1 + torch.sin(9 * times)
    best = divergence_bound(errors, times, MatchedEpsilon(1.0, math.inf))
    assert best == pytest.approx(float((errors * times / (1 - times)).mean()))
    others = [MatchedEpsilon(0.8, math.inf), MatchedEpsilon(1.3, math.inf), ConstantEpsilon(1.0)]
    assert all(divergence_bound(errors, times, other) > best for other in others)


def test_the_error_of_the_velocity_is_a_mean_square():
    exact, times = CheckerboardProcess(LAW), double([0.3, 0.9])
    shifted = FieldProcess(OneSided(), b=lambda x, t: exact.velocity(x, t) + 0.5)
    errors = velocity_errors(shifted, exact, times, 50, generator=derive_generator(0))
    torch.testing.assert_close(errors, torch.full_like(times, 0.5), rtol=1e-4, atol=0)


def test_paths_begin_with_the_noise_and_end_with_the_samples():
    process = FieldProcess(OneSided(), b=lambda x, t: -0.3 * x)
    start, run = normal(30), SdeRun("constant", 0.5, 20, 0.95)
    expected = {
        "sde": sde_samples(process, start, run, generator=derive_generator(0)),
        "ode": ode_samples(process, start, 20),
    }
    for name, given in (("sde", run), ("ode", 20)):
        points, times = paths_of(process, start, given, 5, generator=derive_generator(0))
        np.testing.assert_array_equal(points[0], start)
        np.testing.assert_array_equal(points[-1], expected[name])
        np.testing.assert_allclose(times, [0, 0.25, 0.5, 0.75, 1], atol=0.03)


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ("scales=[1.0, 0.1]", "expected increasing"),
        ("scales=[0.0]", "greater than 0"),
        ("end=1.0", "less than 1"),
        ("constants=[0.3, 0.3]", "expected increasing"),
        ("scales=[0.3, 3.0]", "expected 1 among"),
    ],
)
def test_refusals(choice, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_study("interpolant_checkerboard", [choice])


def test_an_odd_board_is_refused():
    with pytest.raises(ValueError, match="columns 2, 4"):
        Checkerboard(3)
