import json
from dataclasses import replace

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from invdiff.priors import PretrainedPrior, load_prior
from invdiff.priors.architectures.adm import ADMSettings, ADMUNet
from invdiff.priors.architectures.registry import ARCHITECTURES
from invdiff.priors.conversion import convert_checkpoint, read_converted
from invdiff.priors.preconditioning import EDM

SMALL = ADMSettings(
    8, in_channels=1, model_channels=32, num_res_blocks=1, channel_mult=(1,), attention_factors=(1,)
)
GIVEN = {"image_size": 8, "num_heads": 4}


@pytest.fixture
def checkpoint(tmp_path, generator):
    weights = {
        name: 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in ADMUNet(SMALL).state_dict().items()
    }
    save_file(weights, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def folder(checkpoint, tmp_path):
    info = {"title": "tiny", "data_range": [0, 1]}
    return convert_checkpoint(checkpoint, tmp_path / "prior", "adm", GIVEN, info)


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_folder_keeps_weights_settings_and_what_is_said(checkpoint, folder):
    prior = load_prior(folder)
    assert prior.data_range == (0.0, 1.0)
    assert prior.info["title"] == "tiny"
    assert prior.image_shape == (8, 8)
    assert prior.network.settings == SMALL
    kept, _ = read_converted(folder / "network")
    found, given = kept.state_dict(), load_file(checkpoint)
    assert found.keys() == given.keys()
    assert all(torch.equal(found[name], given[name]) for name in given)
    assert sorted(path.name for path in folder.rglob("*.*")) == [
        "config.json", "prior.json", "weights.safetensors",
    ]  # fmt: skip


def test_half_precision_becomes_single(tmp_path):
    weights = {name: value.half() for name, value in ADMUNet(SMALL).state_dict().items()}
    torch.save(weights, tmp_path / "net.pt")
    folder = convert_checkpoint(tmp_path / "net.pt", tmp_path / "prior", "adm", SMALL)
    found = load_prior(folder).network.state_dict()
    assert all(torch.equal(found[name], value.float()) for name, value in weights.items())


def test_a_network_in_bfloat16_is_close_and_told_the_whole_time(folder, generator):
    sigma = torch.tensor(20.0)
    x = sigma * torch.randn(2, 8, 8, generator=generator)
    exact, low = load_prior(folder), load_prior(folder, dtype=torch.bfloat16)
    times = []
    low.network.register_forward_pre_hook(lambda _, given: times.append(given[1]))
    # bfloat16 has three digits, and the noise comes with the factor sigma
    assert (low(x, sigma) - exact(x, sigma)).abs().max() < 0.05 * sigma
    assert torch.equal(times[0], exact.preconditioning.time(sigma.reshape(1)))


def test_the_random_numbers_of_others_are_left_alone(checkpoint, tmp_path):
    before = torch.random.get_rng_state()
    load_prior(convert_checkpoint(checkpoint, tmp_path / "prior", "adm", GIVEN))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({}, "settings: image_size: .*required"),
        ({"image_size": "many"}, "settings: image_size: .*valid integer"),
        ({"image_size": 8, "num_head": 4}, r"settings: expected image_size, .*got num_head$"),
        ({"image_size": 8, "num_heads": 5}, "no such network .*don't divide into 5 heads"),
        ({"image_size": 8, "noise_schedule": "sigmoid"}, "noise_schedule: .*'linear' or 'cosine'"),
        ({"image_size": 8, "diffusion_steps": 1}, "expected diffusion_steps >= 2"),
        ({"image_size": 8, "model_channels": 64}, "model_channels is 32 in .*got 64"),
    ],
)
def test_refuses_settings_that_do_not_fit(checkpoint, tmp_path, settings, match):
    with pytest.raises(ValueError, match=match) as error:
        convert_checkpoint(checkpoint, tmp_path / "prior", "adm", settings)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "prior").exists()


def test_refuses_another_network(checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"architecture: expected one of adm, .*got 'unet'"):
        convert_checkpoint(checkpoint, tmp_path / "prior", "unet")
    with pytest.raises(ValueError, match=r"not a network of this architecture \(no 'map_layer0"):
        convert_checkpoint(checkpoint, tmp_path / "prior", "dhariwal")
    weights = ADMUNet(SMALL).state_dict()
    for change, match in [
        ({"extra": torch.ones(1)}, "has unknown extra, one of 1 differences"),
        ({"out.0.bias": torch.ones(3)}, r"expected out\.0\.bias of shape \(32,\), got \(3,\)"),
        ({"out.0.bias": torch.full((32,), torch.nan)}, r"out\.0\.bias is not finite"),
    ]:
        save_file(weights | change, tmp_path / "other.safetensors")
        with pytest.raises(ValueError, match=match):
            convert_checkpoint(tmp_path / "other.safetensors", tmp_path / "prior", "adm", GIVEN)
    del weights["out.0.bias"]
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"lacks out\.0\.bias"):
        convert_checkpoint(tmp_path / "other.safetensors", tmp_path / "prior", "adm", GIVEN)


def test_refuses_a_folder_that_is_there_or_damaged(checkpoint, folder):
    with pytest.raises(ValueError, match="is there already"):
        convert_checkpoint(checkpoint, folder, "adm", GIVEN)
    config, weights = folder / "network" / "config.json", folder / "network" / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_prior(folder)
    weights.unlink()
    with pytest.raises(ValueError, match=r"weights\.safetensors: not a readable file"):
        load_prior(folder)
    weights.write_bytes(whole)
    rewrite(config, architecture="unknown")
    with pytest.raises(ValueError, match="architecture: expected one of"):
        load_prior(folder)
    for content in ("{", "[]", "{}", "[" * 100000):
        config.write_text(content)
        with pytest.raises(ValueError, match="not the settings of a converted network"):
            load_prior(folder)


def test_presets_are_settings_of_their_network():
    for kind in ARCHITECTURES.values():
        assert all(isinstance(preset, kind.settings) for preset in kind.presets.values())


class TwoLabels(torch.nn.Module):
    """A network of 2 classes and a null class whose output is 10 to the power of the label."""

    def __init__(self, rows=3):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.config = ADMUNet(replace(SMALL, num_classes=rows)).config

    def forward(self, sample, timestep, class_labels=None, return_dict=False):
        return (torch.ones_like(sample) * 10.0 ** class_labels.view(-1, 1, 1, 1),)


@pytest.mark.parametrize(
    ("label", "guidance", "outputs"),
    [("T2", 1.0, 10), (0, 1.0, 1), ("T1", 0.0, 100), ("T2", 3.0, 100 + 3 * (10 - 100))],
)
def test_guidance_goes_from_the_null_class_to_the_label(generator, label, guidance, outputs):
    prior = PretrainedPrior(
        TwoLabels(), EDM(), info={"classes": ["T1", "T2"]}, label=label, guidance=guidance
    )
    x, sigma = torch.randn(2, 8, 8, generator=generator), torch.tensor(0.5)
    expected = 0.5 * x + 0.5 * 0.5 / 0.5**0.5 * outputs
    torch.testing.assert_close(prior(x, sigma), expected)
    assert prior.num_calls == (4 if guidance == 3 else 2)


@pytest.mark.parametrize(
    ("rows", "info", "label", "guidance", "match"),
    [
        (
            3,
            {"classes": ["T1", "T2"]},
            None,
            1,
            "label: this prior needs one of its classes T1, T2",
        ),
        (3, {"classes": ["T1", "T2"]}, "T3", 1, "label: expected one of T1, T2, got 'T3'"),
        (3, {"classes": ["T1", "T2"]}, 2, 1, "label: expected one of T1, T2, got 2"),
        (3, {}, -1, 1, "label: expected one of 0, 1, 2, got -1"),
        (3, {}, 0, 2, "guidance: expected 1 for a prior that knows no null class, got 2"),
        (3, {"class_dropout": True}, 0, 2, "guidance: expected 1 for a prior that knows no null"),
        (3, {"classes": ["T1"]}, 0, 1, "prior: 1 classes for a network of 3 labels"),
        (3, {"classes": ["a", "a", "b"]}, 0, 1, "prior: expected classes of different names"),
        (3, {"classes": "abc"}, 0, 1, "prior: expected classes of different names"),
        (3, {}, 0, float("nan"), "guidance: expected a finite number"),
        (None, {}, "T1", 1, "label: this prior has no classes, got T1"),
        (None, {}, None, 2, "label: this prior has no classes"),
        (None, {"classes": ["a"]}, None, 1, "prior: 1 classes for a network of no labels"),
    ],
)
def test_refuses_labels_that_the_network_does_not_know(rows, info, label, guidance, match):
    with pytest.raises(ValueError, match=match):
        PretrainedPrior(TwoLabels(rows), EDM(), info=info, label=label, guidance=guidance)


@pytest.fixture
def unet():
    return UNet2DModel(
        sample_size=16, in_channels=1, out_channels=1, block_out_channels=(8, 8),
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
        layers_per_block=1, norm_num_groups=4, num_class_embeds=3,
    )  # fmt: skip


def test_networks_of_diffusers_are_told_their_label(unet, tmp_path, generator):
    unet.save_pretrained(tmp_path / "unet")
    DDPMScheduler(prediction_type="sample").save_pretrained(tmp_path / "scheduler")
    (tmp_path / "prior.json").write_text(json.dumps({"classes": ["T1", "T2"]}))
    x, sigma = torch.randn(1, 16, 16, generator=generator), torch.tensor(1.0)
    prior = load_prior(tmp_path, label="T2", channels_last=False)
    time = prior.preconditioning.time(sigma.reshape(1))
    direct = [
        unet.eval()(x[:, None] / 2**0.5, time, torch.tensor([k]), return_dict=False)[0][:, 0]
        for k in (1, 2)
    ]
    torch.testing.assert_close(prior(x, sigma), direct[0])
    guided = load_prior(tmp_path, label="T2", guidance=2, channels_last=False)
    torch.testing.assert_close(guided(x, sigma), 2 * direct[0] - direct[1])
    with pytest.raises(ValueError, match="needs one of its classes T1, T2"):
        load_prior(tmp_path)


def test_pipelines_and_shards_of_diffusers(unet, tmp_path, generator):
    unet.save_pretrained(tmp_path / "unet", max_shard_size="4KB")
    assert len(list((tmp_path / "unet").glob("*.safetensors"))) > 1
    DDPMScheduler().save_pretrained(tmp_path / "scheduler")
    index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    found = load_prior(tmp_path, label=0).network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in unet.state_dict().items())
    rewrite(tmp_path / "model_index.json", vqvae=["diffusers", "VQModel"])
    with pytest.raises(ValueError, match="a pipeline with vqvae"):
        load_prior(tmp_path, label=0)


def test_refuses_a_network_alone(unet, tmp_path):
    unet.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"a network alone: .* scheduler/scheduler_config\.json"):
        load_prior(tmp_path)
