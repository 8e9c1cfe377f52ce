import json

import numpy as np
import pytest
import torch

from invdiff.metrics import psnr
from invdiff.study.laboratory.slice_interpolation_chain import chain_moments
from invdiff.study.laboratory.slice_interpolation_methods import cubic_between, nearest_slices
from invdiff.study.load import parse_study
from invdiff.volumes import KnownSlices

SIZE = 32


def choices(prior_folder, **others):
    return {
        "kind": "slice-interpolation",
        "title": "Missing slices",
        "fallback": "head-t1",
        "size": SIZE,
        "prior": {"name": str(prior_folder)},
        "num_steps": 2,
        "num_samples": 50,
        "gap": 1,
    } | others


def test_a_run_scores_what_is_missing(prior_folder, run_once):
    folder = run_once(choices(prior_folder))
    metrics = json.loads((folder / "metrics.json").read_text())
    arrays = np.load(folder / "arrays.npz")
    assert metrics["num_slices"] == 5
    assert arrays["missing_4"].tolist() == [False, True, True, True, False]
    truth = torch.from_numpy(arrays["truth"])
    linear = torch.from_numpy(arrays["linear_4"])
    torch.testing.assert_close(linear[1], 0.75 * truth[0] + 0.25 * truth[4])
    each = psnr(linear[1:4], truth[1:4], data_range=1.0)
    assert metrics["psnr_linear_4"] == pytest.approx(float(each.mean()), abs=1e-4)
    for name in ("nearest", "linear", "cubic", "prior"):
        np.testing.assert_allclose(arrays[f"{name}_2"][::2], arrays["truth"][::2], atol=1e-6)
    for name in ("slices", "errors", "chain"):
        assert (folder / f"{name}.png").is_file()


def known_of(curve):
    z = torch.arange(9).double()
    values = curve(z)[:, None, None].expand(9, 2, 2)
    mask = torch.arange(9) % 4 == 0
    return KnownSlices(mask, torch.where(mask[:, None, None], values, torch.nan)), values


def test_cubic_is_exact_for_a_parabola():
    known, values = known_of(lambda z: 1 - z + 0.3 * z**2)
    torch.testing.assert_close(cubic_between(known), values)


def test_nearest_repeats_known_slices():
    known, _ = known_of(lambda z: z)
    assert nearest_slices(known)[:, 0, 0].tolist() == [0, 0, 0, 4, 4, 4, 4, 8, 8]


def test_ends_in_turn_are_wrong_where_their_product_is_right():
    """The product within 4.5 standard errors of its mean, of 2000 samples."""
    found = chain_moments(5, 0.8, 2000, 0)
    standard_error = float(found["std_exact"].max()) / 2000**0.5
    assert float(found["error_mean_product"]) < 4.5 * standard_error
    assert float(found["error_mean_bidirectional"]) > 0.2
    assert float(found["error_mean_one-end"]) > 0.5
    assert float(found["error_covariance_product"]) < 0.1
    assert float(found["error_covariance_bidirectional"]) > 0.3


def test_refuses_a_study_without_a_scan(prior_folder):
    with pytest.raises(ValueError, match="scan: expected one, or a fallback"):
        parse_study(choices(prior_folder, fallback=None))
