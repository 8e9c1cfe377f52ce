"""The toy study of boundary conditions, at a size that takes seconds, and the laws it rests on."""

import math

import numpy as np
import pytest
import torch

from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.study.laboratory import boundary_toy_orders
from invdiff.study.laboratory.boundary_toy import BoundaryToy
from invdiff.study.laboratory.boundary_toy_orders import (
    fitted_order,
    gaussian_problem,
    mixture_problem,
)
from invdiff.study.laboratory.boundary_toy_problem import AffineOde, GaussianToy, power_spectrum
from invdiff.study.laboratory.boundary_toy_runs import Searches, expected_gain
from invdiff.study.load import load_study, parse_study
from invdiff.study.stages import Stages
from invdiff.superres.boundary_losses import losses_of
from invdiff.superres.exact import ExactConditional
from invdiff.superres.ode import SuperResolutionOde
from operators import Matrix

CHOICES = {
    "kind": "boundary-toy",
    "title": "Toy",
    "dims": 8,
    "references": 40,
    "held_out": 100,
    "candidates": [5, 50],
    "repetitions": 30,
    "isotropic": [2, 16],
    "decays": [1.0, 3.0],
    "gain_repetitions": 20,
    "reference_counts": [4, 40],
    "methods": {"ddim": 1, "heun": 2, "dpmpp_2m": 2},
    "calls": [16, 32, 64, 128],
    "order_batch": 4,
}


@pytest.fixture(scope="module")
def study():
    return parse_study(CHOICES)


@pytest.fixture(scope="module")
def outcome(study, tmp_path_factory):
    return study.compute(Stages(tmp_path_factory.mktemp("stages")))


@pytest.fixture
def toy():
    return GaussianToy(power_spectrum(8, 1.5))


@pytest.fixture
def ode(toy):
    return SuperResolutionOde(toy.denoiser(), "dpmpp_2m", num_calls=12, sigma_max=5.0)


def normal(*shape, label="normal"):
    return torch.randn(shape, generator=derive_generator(0, label), dtype=torch.float64)


def test_the_study_measures_and_draws(study, outcome):
    assert isinstance(study, BoundaryToy)
    metrics = outcome.metrics
    figures = study.figures(metrics, outcome.arrays)
    assert figures.keys() == study.captions().keys()
    losses, orders = study.tables(metrics)
    assert [row[0] for row in losses.rows][:3] == ["random", "best of 5", "best of 50"]
    assert len(orders.rows) == 3
    assert f"{metrics['best_of_50']:.2f}" in study.summary(metrics)


def test_losses_are_those_of_the_closed_form(outcome):
    metrics = outcome.metrics
    for name, exact in (("random", 2), ("zero", 1), ("mean", 1), ("optimum", 1 + 1 / 40)):
        # four standard errors, and the discretisation's share
        assert metrics[name] == pytest.approx(exact, abs=4 * metrics[f"{name}_se"] + 0.02)
    excess, error = (metrics[f"optimum_excess_times_references{end}"] for end in ("", "_se"))
    assert excess == pytest.approx(1, abs=4 * error)
    assert error < 0.4
    assert metrics["zero"] < metrics["best_of_50"] < metrics["best_of_5"] < metrics["random"]
    assert metrics["integrated_variance"] == pytest.approx(1, abs=0.02)


def test_what_was_chosen_looks_better_on_the_references(outcome):
    arrays = outcome.arrays
    for what in ("best", "optimum"):
        held_out, known = (
            arrays[f"by_references_{what}_{where}"] for where in ("held_out", "reference")
        )
        bias = held_out - known
        assert bias[0] > 0.2
        assert bias[0] > 3 * abs(bias[1])


def test_gain_falls_with_the_effective_dimension(outcome):
    metrics = outcome.metrics
    for kind in ("isotropic", "power"):
        order = np.argsort(metrics[f"dims_{kind}"])
        assert (np.diff(np.array(metrics[f"gain_{kind}"])[order], axis=0) < 0).all()
    exact = np.array([expected_gain(np.array([2.0, 16.0]), k) for k in (5, 50)]).T
    # 20 searches of a scatter of about 0.1
    np.testing.assert_allclose(metrics["gain_isotropic"], exact, atol=0.12)


def test_orders_are_those_of_the_methods(outcome):
    for problem in ("gaussian", "mixture"):
        for method, order in CHOICES["methods"].items():
            assert outcome.metrics[f"order_{problem}_{method}"] == pytest.approx(order, abs=0.2)
    assert outcome.metrics["order_off"] < 0.2


def test_the_published_search_finds_what_the_affine_map_says(outcome):
    # rounding alone
    assert outcome.metrics["affine_difference"] < 1e-12


def test_affine_losses_are_those_of_integrated_images(toy, ode):
    affine, pairs = AffineOde.of(ode, 8), toy.pairs(30, derive_generator(0))
    x_T = normal(6, 8)
    integrated = losses_of(ode, x_T, pairs, toy.metric).mean(1)
    torch.testing.assert_close(affine.losses(x_T, pairs) / toy.spectrum.sum(), integrated)
    y = pairs.measurements[:6]
    torch.testing.assert_close(affine(x_T, y), ode(x_T, y))


def test_the_optimum_takes_the_mean_error_away(toy, ode):
    affine, pairs = AffineOde.of(ode, 8), toy.pairs(30, derive_generator(0))
    optimum = affine.optimum(pairs)
    errors = pairs.truths - ode(optimum, pairs.measurements)
    torch.testing.assert_close(errors.mean(0), torch.zeros(8, dtype=torch.float64))
    around = optimum + 0.1 * normal(20, 8)
    assert (affine.losses(around, pairs) > affine.losses(optimum[None], pairs)).all()


def test_more_candidates_are_never_worse_on_the_references(toy, ode):
    found = Searches(toy, ode, (1, 3, 30), 10, 0).repeat(20, 5)
    assert (np.diff(found["best_reference"], axis=1) <= 0).all()
    assert (found["optimum_reference"] <= found["best_reference"][:, -1]).all()


def test_the_posterior_covariance_is_the_spectrum(toy):
    torch.testing.assert_close(toy.denoiser().covariances[0], torch.diag(toy.spectrum))
    assert GaussianToy(power_spectrum(12, 0.0)).effective_dims == pytest.approx(12)
    assert 1 < toy.effective_dims < 8


def test_closed_form_images_are_those_of_the_adaptive_method(toy):
    problem = gaussian_problem(toy, 3, 2.0, seed=0)
    sigma_max = 2.0 * (toy.denoiser().data_range[1] - toy.denoiser().data_range[0]) / 2
    start = problem.boundaries, problem.measurements
    adaptive = boundary_toy_orders._adaptive(problem.denoiser, *start, sigma_max)
    # the tolerance of the adaptive method over the whole path
    torch.testing.assert_close(adaptive, problem.images, rtol=1e-8, atol=1e-8)


def test_images_of_the_mixture_are_not_affine_in_the_boundary():
    problem = mixture_problem(4, 2.0, seed=0)
    x_T, y = problem.boundaries, problem.measurements
    ode = SuperResolutionOde(problem.denoiser, num_calls=20, sigma_max=2.0)
    middle = (ode(x_T, y) + ode(-x_T, y)) / 2
    assert (middle - ode(torch.zeros_like(x_T), y)).norm() > 0.01


@pytest.mark.parametrize(("dims", "count"), [(4, 1), (1, 10), (4, 100), (64, 100)])
def test_expected_gain_is_that_of_drawn_boundaries(dims, count):
    norms = (normal(2000, count, dims) ** 2).sum(-1) / dims
    gains = 1 - norms.min(1).values
    error = 4 * float(gains.std()) / 2000**0.5
    assert expected_gain(np.array([float(dims)]), count)[0] == pytest.approx(
        float(gains.mean()), abs=error + 1e-4
    )


def test_expected_gain_vanishes_as_the_root_of_the_dimension():
    far, farther = expected_gain(np.array([1e5, 4e5]), 1000)
    assert far / farther == pytest.approx(2, rel=0.01)
    # the limit sqrt(2 ln K) of the largest of K normals is an upper bound, slowly approached
    assert 0.8 < far / (2 * math.sqrt(math.log(1000) / 1e5)) < 1


def test_fitted_order_is_the_slope_of_the_last_half():
    calls = np.array([8, 16, 32, 64])
    errors = np.array([9.0, 8.0, 1 / 32**2, 1 / 64**2])
    assert fitted_order(calls, errors) == pytest.approx(2)


def test_the_exact_denoiser_treats_each_measurement_alone():
    means, covariances = (
        normal(2, 3),
        torch.eye(3).double() * torch.tensor([0.5, 0.1])[:, None, None],
    )
    prior = GaussianMixturePrior(torch.tensor([0.3, 0.7]).double(), means, covariances)
    denoiser = ExactConditional(prior, Matrix(normal(2, 3, label="matrix")), 0.4)
    x, y = normal(2, 4, 3, label="x"), normal(4, 2, label="y")
    sigma = torch.tensor(0.6, dtype=torch.float64)
    alone = torch.stack(
        [torch.stack([denoiser(x[i, j], sigma, y[j]) for j in range(4)]) for i in range(2)]
    )
    torch.testing.assert_close(denoiser(x, sigma, y), alone)


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ("candidates=[100, 10]", "candidates: expected increasing"),
        ("calls=[8, 8, 16, 32]", "calls: expected increasing"),
        ("isotropic=[0]", "isotropic"),
        ("methods={ddim: 0}", "methods"),
        ("methods={}", "methods"),
        ("order_grid=cosine", "order_grid"),
    ],
)
def test_refusals(choice, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_study("boundary_toy", [choice])
