"""The study of boundary conditions on images, with a tiny network on the slices that ship."""

import numpy as np
import pytest
import torch

from invdiff.priors import EDM
from invdiff.study.laboratory.sr_boundary_data import BoundaryTask, task_pairs
from invdiff.study.laboratory.sr_boundary_tables import boundary_names
from invdiff.study.laboratory.sr_training_scores import decibels
from invdiff.study.load import load_study, parse_study
from invdiff.study.stages import Stages
from invdiff.superres import SuperResolutionRecipe, load_super_resolution_prior
from invdiff.training import save_prior

CALLS = 3


@pytest.fixture(scope="module")
def prior_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prior")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = SuperResolutionRecipe(channels=(16, 32)).network()
    save_prior(folder, network, EDM(0.1), {"factor": 4, "patch": 4, "data_range": [-1.0, 1.0]})
    return str(folder)


@pytest.fixture(scope="module")
def choices(prior_folder):
    return {
        "kind": "sr-boundary",
        "tasks": {"mr": {"prior": prior_folder, "fallback": "head-t1"}},
        "size": 32,
        "part": 16,
        "num_parts": 4,
        "num_whole": 2,
        "num_held_out": 2,
        "num_candidates": 6,
        "num_selected": 2,
        "num_random": 4,
        "num_calls": [CALLS],
        "dtype": "float32",
    }


@pytest.fixture(scope="module")
def study(choices):
    return parse_study(choices)


@pytest.fixture(scope="module")
def outcome(study, tmp_path_factory):
    return study.compute(Stages(tmp_path_factory.mktemp("stages")))


def test_gains_are_in_standard_deviations_of_random_boundaries(outcome):
    numbers = outcome.metrics
    for name in boundary_names()[1:]:
        key = f"mr_{CALLS}_{name}_mse"
        mean = numbers[f"mr_{CALLS}_random_mse_held_out"]
        std = numbers[f"mr_{CALLS}_random_mse_held_out_std"]
        assert numbers[f"{key}_gain"] == pytest.approx((mean - numbers[f"{key}_held_out"]) / std)
        psnr = numbers[f"mr_{CALLS}_{name}_psnr"]
        assert psnr == pytest.approx(decibels(numbers[f"{key}_held_out"]))


def test_numbers_can_be_stored(outcome):
    assert all(type(value) in (int, float) for value in outcome.metrics.values())
    assert all(np.isfinite(value) for value in outcome.metrics.values())


def test_searches_get_equal_network_calls(outcome):
    numbers = outcome.metrics
    spent = 6 * 4 * CALLS
    for name in ("searched-mse", "searched-ms-ssim", "radial-ms-ssim"):
        assert numbers[f"mr_{CALLS}_{name}_calls_spent"] == spent
    assert 0 < numbers[f"mr_{CALLS}_refined-ms-ssim_calls_spent"] <= spent
    assert numbers[f"mr_{CALLS}_selected_calls_per_image"] == 2 * CALLS
    assert numbers[f"mr_{CALLS}_posterior-mean_calls_per_image"] == CALLS + 1
    assert numbers[f"mr_{CALLS}_analytic-zero_calls_per_image"] == CALLS


def test_the_same_study_gives_the_same_bits(study, outcome, tmp_path):
    again = study.compute(Stages(tmp_path))
    for name, value in outcome.metrics.items():
        if not name.endswith("seconds"):
            assert again.metrics[name] == value, name
    for name, value in outcome.arrays.items():
        if not name.endswith("seconds"):
            assert np.array_equal(again.arrays[name], value), name


def test_figures_tables_and_words_come_from_what_is_stored(study, outcome):
    figures = study.figures(outcome.metrics, outcome.arrays)
    assert set(figures) == set(study.captions()) == {"images_mr", "losses_mr"}
    (table,) = study.tables(outcome.metrics)
    assert len(table.rows) == len(boundary_names()) + 1
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "standard deviations" in study.summary(outcome.metrics)


def test_held_out_slices_are_not_among_the_references(prior_folder):
    prior = load_super_resolution_prior(prior_folder)
    task = BoundaryTask(prior=prior_folder, fallback="head-t1")
    pairs = task_pairs("mr", task, prior, size=32, part=16, counts=(5, 2, 3), seed=0)
    assert pairs.parts.truths.shape == (5, 16, 16)
    assert pairs.parts.measurements.shape == (5, 4, 4)
    seen = {tuple(slice_.flatten().tolist()) for slice_ in pairs.whole.truths}
    assert all(tuple(slice_.flatten().tolist()) not in seen for slice_ in pairs.held_out.truths)
    # parts are cut from the references
    patches = pairs.whole.truths.unfold(1, 16, 1).unfold(2, 16, 1).reshape(-1, 16, 16)
    for part in pairs.parts.truths:
        assert (patches == part).all((1, 2)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fallback": "nobody"}, "expected a fallback out of"),
        ({"references": [{"path": "a.nii.gz"}]}, "references and held_out, or neither"),
        (
            {"references": [{"path": "a.nii.gz"}], "held_out": [{"path": "a.nii.gz"}]},
            "is a reference and held out",
        ),
    ],
)
def test_bad_tasks_are_refused(choices, change, message):
    task = choices["tasks"]["mr"] | change
    with pytest.raises(ValueError, match=message):
        parse_study(choices | {"tasks": {"mr": task}})


def test_an_unknown_integrator_is_refused(choices):
    with pytest.raises(ValueError, match="integrator"):
        parse_study(choices | {"integrator": "rk45"})


def test_the_shipped_study_compares_at_five_ten_and_twenty_calls():
    shipped = load_study("sr_boundary")
    assert shipped.num_calls == (5, 10, 20)
    for task in shipped.tasks.values():
        assert {s.path for s in task.references}.isdisjoint(s.path for s in task.held_out)
