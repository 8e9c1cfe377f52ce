"""What doesn't fit is refused in one line, before work is spent on it; calls are all counted."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from invdiff.metrics import psnr
from invdiff.priors import EDM, GaussianPrior, load_prior
from invdiff.superres import (
    GuidedDenoiser,
    Pairs,
    PosteriorMeanBoundary,
    RadialSpectrum,
    Refinement,
    SuperResolutionOde,
    SuperResolutionRecipe,
    ZeroBoundary,
    compare_boundaries,
    fit_analytic_start,
    load_analytic_start,
    load_super_resolution_prior,
    one_minus_ssim,
    refine_boundary,
    search_boundary,
    search_spectral,
    squared_error,
)
from invdiff.superres.boundary import cost_of
from invdiff.superres.perceptual import squared_error_db
from invdiff.training import save_prior
from operators import Downsample, GaussianNoise

SHAPE = (8, 8)


@pytest.fixture
def guided():
    prior = GaussianPrior(torch.zeros(SHAPE), 1.0)
    return GuidedDenoiser(prior, Downsample(SHAPE, 2), GaussianNoise(0.1), "pigdm")


@pytest.fixture
def pairs(guided, generator):
    truths = torch.randn(3, *SHAPE, generator=generator)
    return Pairs(guided.operator(truths), truths)


@pytest.fixture
def ode(guided):
    return SuperResolutionOde(guided, "ddim", num_calls=3)


@pytest.fixture
def noise(generator):
    return torch.randn(SHAPE, generator=generator)


def test_a_search_counts_backward_passes_of_the_denoiser(guided, ode, pairs, generator):
    found = search_boundary(ode, pairs, 2, squared_error, generator=generator)
    assert found.num_calls == guided.num_calls == 2 * 3 * 3 * guided.calls_per_image
    assert cost_of(PosteriorMeanBoundary(ode)).per_image == guided.calls_per_image == 3


def test_a_spectral_search_counts_them_too(guided, ode, pairs, noise, generator):
    basis = RadialSpectrum(noise, 2)
    found = search_spectral(ode, pairs, basis, squared_error, num_trials=3, generator=generator)
    assert found.num_calls == guided.num_calls


def test_the_rough_image_follows_the_data_to_their_device(guided):
    y = torch.empty(2, 4, 4, device="meta")
    assert guided.center(y).device.type == "meta"


@pytest.mark.parametrize("cut", [1, 2])
def test_measurements_and_truths_must_be_as_many(ode, pairs, noise, cut, generator):
    uneven = Pairs(pairs.measurements[:cut], pairs.truths)
    with pytest.raises(ValueError, match="a truth for each measurement"):
        search_spectral(
            ode, uneven, RadialSpectrum(noise, 2), squared_error, num_trials=2, generator=generator
        )
    with pytest.raises(ValueError, match="a truth for each measurement"):
        refine_boundary(ode, uneven, noise, squared_error, Refinement(), generator=generator)
    with pytest.raises(ValueError, match="a truth for each measurement"):
        fit_analytic_start(ode.denoiser, uneven)


def test_refinement_refuses_what_is_not_finite(ode, pairs, noise, generator):
    truths = pairs.truths.clone()
    truths[:, 0, 0] = math.nan
    plan = Refinement(num_steps=1, validation_share=0.5)
    with pytest.raises(ValueError, match=r"loss is n|not finite"):
        refine_boundary(
            ode, Pairs(pairs.measurements, truths), noise, squared_error, plan, generator=generator
        )
    with pytest.raises(ValueError, match="on no sphere"):
        refine_boundary(
            ode, pairs, 0 * noise, squared_error, Refinement(shell="sphere"), generator=generator
        )
    with pytest.raises(ValueError, match="out of its range"):
        Refinement(learning_rate=math.inf)


def test_a_comparison_refuses_what_is_not_finite_and_wrong_counts(ode, pairs, generator):
    others = Pairs(pairs.measurements + 1, pairs.truths + 1)
    spoilt = Pairs(others.measurements, others.truths / 0)
    metrics = {"mse": squared_error}
    with pytest.raises(ValueError, match="finite"):
        compare_boundaries(
            ode, {"zero": ZeroBoundary(ode.denoiser)}, pairs, spoilt, metrics, generator=generator
        )
    with pytest.raises(ValueError, match="one for each of 3 measurements"):
        compare_boundaries(
            ode, {"two": lambda y: torch.zeros(2, *SHAPE)}, pairs, others, metrics,
            generator=generator,
        )  # fmt: skip


@pytest.mark.parametrize("content", [None, b"garbage"])
def test_a_file_that_is_no_analytic_start_is_refused_by_name(tmp_path, content):
    path = tmp_path / "start.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"start\.safetensors: not an analytic start"):
        load_analytic_start(path)


@pytest.fixture
def folder(tmp_path):
    network = SuperResolutionRecipe(channels=(16, 32)).network()
    save_prior(tmp_path, network, EDM(0.1), {"factor": 4, "patch": 4})
    return tmp_path


def test_weights_that_lack_tensors_are_refused(folder):
    (path,) = (folder / "unet").glob("*.safetensors")
    tensors = load_file(path)
    del tensors["conv_in.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors, such as conv_in\.weight"):
        load_super_resolution_prior(folder)


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("prior.json", "data_range", 3, "expected data_range"),
        ("prior.json", "data_range", [1, -1], "expected data_range"),
        ("prior.json", "data_range", [0, 1, 2], "expected data_range"),
        ("prior.json", "factor", 0, "factor, patch and chunk_size >= 1"),
        ("prior.json", "factor", True, "no factor and patch"),
        ("prior.json", "patch", 8, "needs 128 channels in"),
        ("scheduler/scheduler_config.json", "sigma_data", None, "expected sigma_data > 0"),
        ("scheduler/scheduler_config.json", "sigma_data", -1, "expected sigma_data > 0"),
    ],
)
def test_damaged_numbers_of_a_prior_are_refused(folder, file, key, value, message):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | {key: value}))
    with pytest.raises(ValueError, match=message):
        load_super_resolution_prior(folder)


def test_a_conditional_network_is_no_unconditional_prior(folder):
    with pytest.raises(ValueError, match="is it told an image"):
        load_prior(folder)


def test_a_prior_refuses_no_images_and_chunks_below_one(folder):
    with pytest.raises(ValueError, match="chunk_size >= 1"):
        load_super_resolution_prior(folder, chunk_size=0)
    prior = load_super_resolution_prior(folder)
    with pytest.raises(ValueError, match="expected images"):
        prior(torch.zeros(0, 16, 16), torch.tensor(1.0), torch.zeros(0, 4, 4))
    with pytest.raises(ValueError, match="expected images"):
        prior(torch.zeros(16), torch.tensor(1.0), torch.zeros(4))


def test_squared_error_in_decibels_is_minus_the_psnr(generator):
    image, truth = (torch.rand(2, 16, 16, generator=generator) for _ in range(2))
    expected = -psnr(image, truth, data_range=2.0)
    found = squared_error_db(image, truth, data_range=2.0)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)
    assert squared_error_db(image, image, data_range=2.0).isfinite().all()
    with pytest.raises(ValueError, match="positive"):
        squared_error_db(image, truth, data_range=0.0)


def test_ssim_of_small_images_is_refused():
    with pytest.raises(ValueError, match="at least 11"):
        one_minus_ssim(torch.zeros(8, 20), torch.zeros(8, 20), data_range=1.0)
