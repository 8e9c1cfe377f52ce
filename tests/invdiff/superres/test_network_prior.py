"""The network that denoises given a coarse image: its algebra, its shapes and its folder."""

import copy
import json

import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn

from invdiff.priors.preconditioning import EDM
from invdiff.rng import derive_generator
from invdiff.superres.network_prior import (
    SuperResolutionPrior,
    list_super_resolution_priors,
    load_super_resolution_prior,
)
from invdiff.superres.recipe import SuperResolutionRecipe
from invdiff.training import save_prior

EDM_SCALE, SIDE = 0.1, 32
INFO = {"title": "untrained", "factor": 4, "patch": 4, "data_range": [-1.0, 1.0]}


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return SuperResolutionRecipe(channels=(16, 32), layers=1).network()


@pytest.fixture
def prior(network):
    return SuperResolutionPrior(network, EDM(EDM_SCALE))


@pytest.fixture
def pair(generator):
    """Noisy images (2, 3, side, side), their noise levels, and coarse images."""
    x = torch.randn(2, 3, SIDE, SIDE, generator=generator)
    y = torch.randn(2, 3, SIDE // 4, SIDE // 4, generator=generator)
    return x, torch.rand(2, 3, generator=generator) + 0.1, y


@pytest.fixture
def folder(network, tmp_path):
    save_prior(tmp_path / "prior", network, EDM(EDM_SCALE), INFO)
    return tmp_path / "prior"


def silenced(network):
    """The network with an output of zero."""
    silent = copy.deepcopy(network)
    nn.init.zeros_(silent.conv_out.weight)
    nn.init.zeros_(silent.conv_out.bias)
    return silent


def test_a_silent_network_weighs_enlargement_and_noisy_image(network, pair):
    x, sigma, y = pair
    prior = SuperResolutionPrior(silenced(network), EDM(EDM_SCALE))
    up = prior.center(y)
    skip = EDM_SCALE**2 / (EDM_SCALE**2 + sigma[..., None, None] ** 2)
    torch.testing.assert_close(prior(x, sigma, y), up + skip * (x - up))


def test_the_center_is_the_bicubic_enlargement(prior, generator):
    y = torch.rand(5, 8, 8, generator=generator)
    fine = prior.center(y)
    assert fine.shape == (5, 32, 32)
    # bicubic weights sum to 1 and keep straight lines away from the edges
    line = torch.arange(8.0).expand(8, 8)
    inside = prior.center(line)[12:20, 12:20]
    torch.testing.assert_close(inside, ((torch.arange(12, 20) + 0.5) / 4 - 0.5).expand(8, 8))
    assert prior.operator((32, 32)).out_shape == (8, 8)


def test_any_batch_and_any_chunk_give_the_same_images(network, pair):
    x, sigma, y = pair
    alone = SuperResolutionPrior(network, EDM(EDM_SCALE))
    rows = [[alone(x[i, j], sigma[i, j], y[i, j]) for j in range(3)] for i in range(2)]
    expected = torch.stack([torch.stack(row) for row in rows])
    for chunk_size in (None, 1, 4, 100):
        prior = SuperResolutionPrior(network, EDM(EDM_SCALE), chunk_size=chunk_size)
        torch.testing.assert_close(prior(x, sigma, y), expected, rtol=1e-5, atol=1e-5)
        assert prior.num_calls == 6
    assert alone.num_calls == 6


def test_one_level_or_one_image_serves_the_whole_batch(prior, pair):
    x, sigma, y = pair
    common = prior(x, sigma[0, 0], y)
    torch.testing.assert_close(common, prior(x, sigma[0, 0].expand(2, 3), y))
    torch.testing.assert_close(
        prior(x[0, 0], sigma, y), prior(x[0, 0].expand(x.shape), sigma, y)
    )  # fmt: skip
    torch.testing.assert_close(
        prior(x, sigma, y[0, 0]), prior(x, sigma, y[0, 0].expand(y.shape))
    )  # fmt: skip


def test_each_image_sees_its_own_coarse_one(prior, pair):
    x, sigma, y = pair
    changed = y.clone()
    changed[1, 2] += 1
    # the noisy image moves along with the enlargement: only the condition differs
    moved = x + prior.center(changed) - prior.center(y)
    shift = prior(moved, sigma, changed) - prior.center(changed)
    same = prior(x, sigma, y) - prior.center(y)
    differs = ((shift - same).abs() > 1e-4).flatten(2).any(2)
    assert differs.flatten().tolist() == [False] * 5 + [True]


def test_without_noise_the_image_stays(prior, pair):
    x, _, y = pair
    distances = [
        float((prior(x, torch.tensor(s), y) - x).abs().max()) for s in (1e-3, 1e-4, 1e-5)
    ]  # fmt: skip
    # c_out is sigma, so that the distance is too
    assert distances[0] < 0.1
    assert distances[0] > 5 * distances[1] > 25 * distances[2]


def test_the_precision_is_that_of_the_image(prior, pair):
    x, sigma, y = pair
    double = prior(x.double(), sigma, y.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), prior(x, sigma, y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wrt", ["x", "y"])
def test_derivatives_are_those_of_finite_differences(prior, pair, generator, wrt):
    point = {"x": pair[0][0, 0], "y": pair[2][0, 0]}
    sigma = torch.tensor(0.2)
    direction = torch.randn(point[wrt].shape, generator=generator)
    weights = torch.randn(SIDE, SIDE, generator=generator)

    def value(step):
        moved = point | {wrt: point[wrt] + step * direction}
        return (weights * prior(moved["x"], sigma, moved["y"])).sum()

    step = torch.zeros((), requires_grad=True)
    (slope,) = torch.autograd.grad(value(step), step)
    h = 1e-2  # float32: rounding and curvature are both about 1e-3 of the slope
    finite = (value(torch.tensor(h)) - value(torch.tensor(-h))) / (2 * h)
    torch.testing.assert_close(slope, finite, rtol=0.02, atol=0)
    assert not any(p.requires_grad for p in prior.parameters())


@pytest.mark.parametrize(
    ("fine", "coarse", "message"),
    [
        ((32, 32), (8, 7), "4 times as fine"),
        ((32, 32), (16, 16), "4 times as fine"),
        ((32, 36), (8, 9), "multiples of 8"),
    ],
)
def test_refuses_shapes_that_do_not_belong_together(prior, fine, coarse, message):
    with pytest.raises(ValueError, match=message):
        prior(torch.zeros(fine), torch.tensor(0.1), torch.zeros(coarse))


def test_refuses_complex_images(prior):
    with pytest.raises(ValueError, match="real images"):
        prior(torch.zeros(32, 32, dtype=torch.complex64), torch.tensor(0.1), torch.zeros(8, 8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_folder_holds_the_weights_in_its_precision(network, folder, pair, dtype):
    save_prior(folder, network, EDM(EDM_SCALE), INFO, dtype=dtype)
    rounded = copy.deepcopy(network)
    for weight in rounded.parameters():
        weight.data = weight.data.to(dtype).float()
    loaded = load_super_resolution_prior(folder, chunk_size=6)
    for name, weight in rounded.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], weight)
    expected = SuperResolutionPrior(rounded, EDM(EDM_SCALE), chunk_size=6)
    torch.testing.assert_close(loaded(*pair), expected(*pair), rtol=1e-4, atol=1e-5)
    assert next(network.parameters()).dtype == torch.float32


def test_a_folder_says_what_its_network_is(network, folder):
    prior = load_super_resolution_prior(folder)
    assert (prior.factor, prior.patch, prior.data_range) == (4, 4, (-1.0, 1.0))
    assert prior.preconditioning == EDM(EDM_SCALE, "epsilon")
    assert prior.info == INFO
    assert not prior.network.training


def test_saving_again_gives_the_same_files(network, folder, tmp_path):
    save_prior(tmp_path / "again", network, EDM(EDM_SCALE), INFO)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert len(files) == 4
    for file in files:
        assert (folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def damage(folder, name):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    if name == "weights cut short":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif name == "no weights":
        weights.unlink()
    elif name == "no network":
        (folder / "unet" / "config.json").unlink()
    elif name == "text for JSON":
        (folder / "prior.json").write_text("factor: 4")
    elif name == "no text":
        (folder / "prior.json").unlink()
    elif name == "no number":
        (folder / "prior.json").write_text(json.dumps(INFO | {"patch": "four"}))
    elif name == "no scheduler":
        (folder / "scheduler" / "scheduler_config.json").unlink()
    else:
        DDPMScheduler().save_pretrained(folder / "scheduler")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights cut short", "not a readable UNet2DModel"),
        ("no weights", "no weights"),
        ("no network", "no config.json"),
        ("text for JSON", "not a readable JSON"),
        ("no text", "not a super-resolution prior"),
        ("no number", "not a super-resolution prior"),
        ("no scheduler", "not a readable JSON"),
        ("another kind", "not a super-resolution prior"),
    ],
)
def test_refuses_damaged_folders(folder, name, message):
    damage(folder, name)
    with pytest.raises(ValueError, match=message):
        load_super_resolution_prior(folder)


def test_refuses_names_that_are_not_there():
    with pytest.raises(ValueError, match="or a folder, got nobody"):
        load_super_resolution_prior("nobody")


@pytest.mark.parametrize("name", list_super_resolution_priors())
def test_shipped_priors_are_nearer_to_smooth_images_than_their_noise(name):
    prior = load_super_resolution_prior(name)
    rows, columns = torch.meshgrid(*2 * [torch.linspace(-1, 1, 64)], indexing="ij")
    truth = -1 + 1.2 * torch.exp(-4 * (rows**2 + columns**2))
    y = prior.operator((64, 64))(truth)
    noise = torch.randn(64, 64, generator=derive_generator(0))
    error = (prior(truth + 0.3 * noise, torch.tensor(0.3), y) - truth).square().mean().sqrt()
    assert error < 0.3 / 5
    assert prior.info["licence"]
