"""Checkpoints of score_sde and EDM as folders, and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from invdiff.priors.architectures.edm_unet import DhariwalSettings, DhariwalUNet
from invdiff.priors.architectures.image_network import ImageNetwork
from invdiff.priors.architectures.ncsnpp import NCSNpp
from invdiff.priors.architectures.ncsnpp_settings import NCSNppSettings
from invdiff.priors.architectures.song_settings import SongSettings
from invdiff.priors.architectures.song_unet import SongUNet
from invdiff.priors.conversion import convert_checkpoint
from invdiff.priors.pretrained import load_prior
from invdiff.priors.score_preconditioning import ImprovedDDPM

NCSNPP = NCSNppSettings(
    image_size=8, num_channels=1, nf=8, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(4,),
    progressive="output_skip", progressive_input="input_skip", num_scales=5,
)  # fmt: skip
SONG = SongSettings(
    img_resolution=8, in_channels=1, model_channels=8, channel_mult=(1, 2), num_blocks=1,
    attn_resolutions=(4,), embedding_type="fourier", encoder_type="residual",
    resample_filter=(1, 3, 3, 1), preconditioning="ve",
)  # fmt: skip


def _output(network: nn.Module, x: Tensor, sigma: Tensor) -> Tensor:
    assert isinstance(network, ImageNetwork)
    with torch.no_grad():
        output = network(x[:, None], sigma)[0]
    return output[:, 0]


def test_training_state_of_score_sde_gives_the_averaged_score(
    tmp_path: Path, generator: torch.Generator
) -> None:
    network = NCSNpp(NCSNPP)
    averages = [p.detach().clone() for p in network.parameters() if p.requires_grad]
    model = {f"module.{name}": torch.zeros_like(v) for name, v in network.state_dict().items()}
    model["module.all_modules.0.W"] = network.state_dict()["all_modules.0.W"]
    # a table of numpy has double precision
    model["module.sigmas"] = network.sigmas.double()
    state = {"model": model, "ema": {"shadow_params": averages, "decay": 0.999}, "step": 3}
    torch.save(state, tmp_path / "checkpoint.pth")
    said = {"image_size": 8, "attn_resolutions": (4,)}
    convert_checkpoint(tmp_path / "checkpoint.pth", tmp_path / "prior", "ncsnpp", said)
    prior = load_prior(tmp_path / "prior")
    assert prior.data_range == (0, 1)
    x = torch.rand(2, 8, 8, generator=generator)
    sigma = torch.tensor([0.1, 2.0])
    expected = x + sigma[:, None, None] ** 2 * _output(network, x, sigma)
    torch.testing.assert_close(prior(x, sigma), expected)


def test_network_of_edm_is_known_by_its_names(tmp_path: Path, generator: torch.Generator) -> None:
    network = SongUNet(SONG)
    weights = {f"model.{name}": value for name, value in network.state_dict().items()}
    save_file(weights, tmp_path / "net.safetensors")
    convert_checkpoint(
        tmp_path / "net.safetensors", tmp_path / "prior", "song", {"preconditioning": "ve"}
    )
    prior = load_prior(tmp_path / "prior")
    assert prior.network.settings == SONG
    assert prior.data_range == (-1, 1)
    x = torch.randn(2, 8, 8, generator=generator)
    sigma = torch.tensor([0.1, 2.0])
    expected = x + sigma[:, None, None] * _output(network, x, (sigma / 2).log())
    torch.testing.assert_close(prior(x, sigma), expected)


def test_switches_against_the_tensors_are_refused(tmp_path: Path) -> None:
    save_file(NCSNpp(NCSNPP).state_dict(), tmp_path / "net.safetensors")
    settings = dataclasses.replace(NCSNPP, progressive="residual")
    with pytest.raises(ValueError, match=r"progressive is output_skip in .*, got residual"):
        convert_checkpoint(tmp_path / "net.safetensors", tmp_path / "prior", "ncsnpp", settings)


def test_each_network_is_told_from_the_other(tmp_path: Path) -> None:
    for network, other in ((NCSNpp(NCSNPP), "song"), (SongUNet(SONG), "ncsnpp")):
        path = tmp_path / f"{other}.safetensors"
        save_file(network.state_dict(), path)
        with pytest.raises(ValueError, match="not a network of this architecture"):
            convert_checkpoint(path, tmp_path / "prior", other, {"image_size": 8})


def test_table_of_noise_levels_may_be_missing(tmp_path: Path) -> None:
    network = NCSNpp(NCSNPP)
    weights = {name: v for name, v in network.state_dict().items() if name != "sigmas"}
    save_file(weights, tmp_path / "net.safetensors")
    said = {"image_size": 8, "attn_resolutions": (4,), "num_scales": 5}
    convert_checkpoint(tmp_path / "net.safetensors", tmp_path / "prior", "ncsnpp", said)
    prior = load_prior(tmp_path / "prior")
    assert prior.network.settings == NCSNPP
    assert torch.equal(prior.network.sigmas, network.sigmas)


def test_levels_beside_a_network_of_edm_are_left_out(
    tmp_path: Path, generator: torch.Generator
) -> None:
    song = dataclasses.replace(SONG, preconditioning="iddpm")
    adm = DhariwalSettings(
        img_resolution=8, in_channels=1, model_channels=64, channel_mult=(1, 1), num_blocks=1,
        attn_resolutions=(4,), preconditioning="iddpm",
    )  # fmt: skip
    meaning = ImprovedDDPM()
    x, sigma = torch.randn(2, 8, 8, generator=generator), torch.tensor([0.1, 2.0])
    for name, network in (("song", SongUNet(song)), ("dhariwal", DhariwalUNet(adm))):
        for parameter in network.parameters():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
        weights = {f"model.{key}": value for key, value in network.state_dict().items()}
        weights["u"] = torch.tensor(meaning.sigmas)
        path = tmp_path / f"{name}.safetensors"
        save_file(weights, path)
        convert_checkpoint(path, tmp_path / name, name, {"preconditioning": "iddpm"})
        prior = load_prior(tmp_path / name)
        assert prior.network.settings == network.settings
        with torch.no_grad():
            inside = x[:, None] / (1 + sigma[:, None, None, None] ** 2).sqrt()
            noise = network(inside, meaning.time(sigma))[0][:, 0]
        torch.testing.assert_close(prior(x, sigma), x - sigma[:, None, None] * noise)
