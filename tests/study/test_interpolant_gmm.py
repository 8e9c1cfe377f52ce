"""The study of interpolants between mixtures, at a size that takes seconds, and its laws."""

import json

import numpy as np
import pytest
import torch

from invdiff.interpolants import ConstantEpsilon, integrate_ode, integrate_sde, time_grid
from invdiff.rng import derive_generator
from invdiff.study.laboratory.interpolant_gmm import InterpolantGMM
from invdiff.study.laboratory.interpolant_gmm_kl import Wave, WrongFields
from invdiff.study.laboratory.interpolant_gmm_problem import (
    Tabulated,
    base_of,
    gaussian_process,
    line,
    masses,
    mixture_process,
    stratified,
    wasserstein1,
)
from invdiff.study.laboratory.interpolant_gmm_runs import SortedNoise
from invdiff.study.load import load_study, parse_study
from invdiff.study.run_scripted import run_study

CHOICES = {
    "kind": "interpolant-gmm",
    "title": "Toy",
    "num_samples": 1000,
    "repetitions": 4,
    "strata": 1024,
    "floor_draws": 20,
    "runs": [
        {"epsilon": 0, "steps": [10, 40], "reference": [0.256, 0.03]},
        {"epsilon": 1, "steps": [10, 40]},
    ],
    "gaps": [0.0001, 0.01],
    "marginal_steps": 80,
    "times": [0.5, 1.0],
    "epsilons": [0, 0.5],
    "waves": [{"velocity": 0.5, "score": 0.5, "wavenumber": 0.5}],
    "kl_epsilons": [0.1, 0.5, 1.0, 5.0],
    "cells": 400,
    "kl_steps": 100,
    "ode_wavenumbers": [0, 4, 16],
    "path_steps": 40,
    "particles": 200,
    "frames": 6,
}


@pytest.fixture(scope="module")
def study():
    return parse_study(CHOICES)


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    run_study(study, out)
    return out


@pytest.fixture(scope="module")
def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def numbers(metrics):
    for value in metrics.values():
        yield from np.asarray(value, dtype=float).reshape(-1)


def test_the_study_runs_and_its_page_shows_all(study, folder, metrics):
    assert isinstance(study, InterpolantGMM)
    assert np.isfinite(list(numbers(metrics))).all()
    for name in study.captions():
        assert (folder / f"{name}.png").exists()
    page = (folder / "report.html").read_text()
    assert "animation/transport.gif" in page
    animation = (folder / "animation" / "transport.gif").read_bytes()
    assert animation.startswith(b"GIF89a")
    assert len(animation) < 500_000


def test_closed_forms_solve_their_equations_and_a_wrong_sign_does_not(metrics):
    assert metrics["residual_max"] < 1e-8
    assert metrics["residual_control"] > 0.1


def test_bounds_hold_and_are_not_vacuous(metrics):
    assert metrics["bound_ratio_min"] >= 1
    assert metrics["bound_ratio_min"] < 2
    assert metrics["ode_bound_ratio_min"] >= 1
    tight, loose = (np.array(metrics[f"{name}bound_0"]) for name in ("", "loose_"))
    assert (tight <= loose).all()
    assert metrics["kl_without_error"] < 1e-3
    # of 2000 samples at 65 times
    assert metrics["sampled_best_0"] == pytest.approx(metrics["bound_best_0"], rel=0.02)


def test_the_ode_has_no_bound(metrics):
    ode = metrics["ode_kl"]
    assert ode[0] < ode[1] < ode[2]
    for row in metrics["ode_sde_kl"]:
        assert row[2] < row[0]


def test_marginals_do_not_depend_on_epsilon(metrics):
    # of eight tests
    assert metrics["marginal_p_min"] > 0.005
    assert 0.5 < metrics["marginal_ratio_min"] < metrics["marginal_ratio_max"] < 2


def test_more_steps_are_better_and_lost_ends_are_not_won_back(metrics):
    for key in ("0_0", "1_0"):
        assert metrics[f"w1_even_{key}"][1] < metrics[f"w1_even_{key}"][0] / 2
    assert metrics["w1_even_0_1"][1] > 3 * metrics["w1_even_0_0"][1]


def test_divergences_of_a_constant_drift_error():
    wrong = WrongFields(gaussian_process(), Wave(0.3, 0.0, 0.0), 8.0, 800, 200)
    epsilons = (0.1, 0.5, 2.0)
    kl = wrong.divergences(epsilons)["kl"]
    # an independent computation, to its digits
    np.testing.assert_allclose(kl, [0.0593, 0.0321, 0.00562], rtol=2e-3)
    bounds = wrong.bounds(epsilons, wrong.errors())
    np.testing.assert_allclose(bounds["tight"], 0.3**2 / (4 * np.array(epsilons)))
    np.testing.assert_allclose(bounds["loose"], 2 * bounds["tight"])


def test_the_scheme_has_order_two():
    def error(cells):
        wrong = WrongFields(mixture_process(), Wave(0.0, 0.0, 0.0), 12.0, cells, cells // 4)
        law = wrong._diffused(sum(wrong._drifts()), 1.0)
        return np.abs(law - masses(mixture_process().target, line(12.0, cells)).numpy()).sum()

    assert np.log2(error(400) / error(800)) == pytest.approx(2, abs=0.2)


def test_what_is_tabulated_is_the_field():
    exact, x = mixture_process(), line(9.0, 777).unsqueeze(-1)
    tabulated = Tabulated(exact)
    for t in torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64):
        for name in ("velocity", "score"):
            fields = (getattr(process, name)(x, t) for process in (tabulated, exact))
            # the square of the spacing times the largest second derivative
            torch.testing.assert_close(*fields, rtol=0, atol=2e-2)
    start, times = stratified(base_of(exact), 200), time_grid(20)
    ends = (integrate_ode(p.velocity, start, times) for p in (tabulated, exact))
    torch.testing.assert_close(*ends, rtol=0, atol=2e-2)


def test_distance_to_the_law_is_the_shift():
    law = mixture_process().target
    x = stratified(law, 4000)[:, 0]
    distances = wasserstein1(torch.stack([x, x + 0.3]), law)
    torch.testing.assert_close(distances, torch.tensor([0.0, 0.3]).double(), atol=2e-3, rtol=0)


def test_sorted_noise_keeps_the_law_with_less_scatter():
    process, count = mixture_process(), 512
    times, epsilon = time_grid(20), ConstantEpsilon(1.0)

    def end(seed, sort):
        generator = derive_generator(seed, "noise")
        x = stratified(base_of(process), count)
        noise = SortedNoise(x, generator)
        plain = lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)  # noqa: E731
        chosen, watch = (noise, noise.watch) if sort else (plain, None)
        moved = integrate_sde(
            Tabulated(process), x, times, epsilon=epsilon, noise=chosen, callback=watch
        )
        return float(moved.square().mean())

    even, random = (np.array([end(i, sort) for i in range(8)]) for sort in (True, False))
    assert even.std() < random.std() / 2
    assert abs(even.mean() - random.mean()) < 4 * random.std() / 8**0.5


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ("strata=1000", "strata: expected a power of 2"),
        ("gaps=[0.6]", "gaps: expected"),
        ("epsilons=[0.5]", "epsilons: expected 0"),
        ("epsilons=[0, -1]", "epsilons: expected 0"),
        ("times=[0.3333]", "times: expected multiples"),
        ("kl_epsilons=[2, 1, 3]", "kl_epsilons: expected increasing"),
        ("runs=[{epsilon: 0, steps: [30, 10]}]", "steps: expected increasing"),
        ("runs=[{epsilon: 0, steps: [30], reference: [1, 2]}]", "reference: expected 1"),
        ("waves=[]", "waves"),
        ("ode_wavenumbers=[]", "ode_wavenumbers"),
        ("ode_epsilons=[]", "ode_epsilons"),
        ("unknown=1", "unknown"),
    ],
)
def test_refusals(choice, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_study("interpolant_gmm", [choice])
