"""EDM's U-Nets against their description, run straight from the names of a state dict."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from invdiff.priors.architectures.edm_meanings import edm_preconditioning
from invdiff.priors.architectures.score_presets import SONG_PRESETS
from invdiff.priors.architectures.song_settings import SongSettings
from invdiff.priors.architectures.song_shapes import infer_song
from invdiff.priors.architectures.song_unet import SongUNet
from invdiff.priors.pretrained import PretrainedPrior

TINY = SongSettings(
    img_resolution=8, in_channels=2, model_channels=8, channel_mult=(1, 2, 2), num_blocks=1,
    attn_resolutions=(4,),
)  # fmt: skip
NCSNPP = {"embedding_type": "fourier", "channel_mult_noise": 2, "encoder_type": "residual",
          "resample_filter": (1, 3, 3, 1)}  # fmt: skip
VARIANTS = {
    "ddpmpp": {},
    "ncsnpp": NCSNPP,
    "skips": {"encoder_type": "skip", "decoder_type": "skip", "resample_filter": (1, 3, 3, 1)},
    "skip_out": {**NCSNPP, "decoder_type": "skip", "num_blocks": 2},
    "labels": {"label_dim": 3, "augment_dim": 9, "attn_resolutions": (8, 2)},
    "iddpm": {"preconditioning": "iddpm", "channel_mult_emb": 2},
}
# what the settings must be told, for the tensors don't say it
UNSAID = {"preconditioning", "sigma_data"}


def _network(settings: SongSettings, dtype: torch.dtype = torch.float64) -> SongUNet:
    """Give the network random weights of a size that keeps the features near 1."""
    network, draw = SongUNet(settings).to(dtype), torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 4
        parameter.data = torch.randn(parameter.shape, generator=draw, dtype=dtype) / math.sqrt(fan)
    return network.eval()


def _norm(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    groups = min(32, x.shape[1] // 4)
    return F.group_norm(x, groups, w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)


def _conv(w: dict[str, Tensor], name: str, x: Tensor, change: str = "") -> Tensor:
    """Resample by the kernel of the checkpoint, then convolve with the weight if there is one."""
    channels = x.shape[1]
    if change:
        f = w[f"{name}.resample_filter"]
        pad, tiled = (f.shape[-1] - 1) // 2, f.tile(channels, 1, 1, 1)
        move = F.conv_transpose2d if change == "up" else F.conv2d
        gain = 4 if change == "up" else 1
        x = move(x, gain * tiled, groups=channels, stride=2, padding=pad)
    if f"{name}.weight" not in w:
        return x
    weight = w[f"{name}.weight"]
    return F.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)


def _fused(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, f = w[f"{name}.weight"], w[f"{name}.resample_filter"]
    pad = weight.shape[-1] // 2 + (f.shape[-1] - 1) // 2
    x = F.conv2d(x, weight, padding=pad)
    x = F.conv2d(x, f.tile(len(weight), 1, 1, 1), groups=len(weight), stride=2)
    return x + w[f"{name}.bias"][:, None, None]


def _block(w: dict[str, Tensor], name: str, x: Tensor, emb: Tensor) -> Tensor:
    change = "up" if name.endswith("_up") else "down" if name.endswith("_down") else ""
    h = _conv(w, f"{name}.conv0", F.silu(_norm(w, f"{name}.norm0", x)), change)
    h = h + F.linear(emb, w[f"{name}.affine.weight"], w[f"{name}.affine.bias"])[:, :, None, None]
    h = _conv(w, f"{name}.conv1", F.silu(_norm(w, f"{name}.norm1", h)))
    if f"{name}.skip.weight" in w:
        x = _conv(w, f"{name}.skip", x, change)
    x = (x + h) * math.sqrt(0.5)
    if f"{name}.qkv.weight" not in w:
        return x
    h = _conv(w, f"{name}.qkv", _norm(w, f"{name}.norm2", x))
    q, k, v = h.reshape(len(x), x.shape[1], 3, -1).unbind(2)
    share = torch.einsum("ncq,nck->nqk", q, k / math.sqrt(k.shape[1])).softmax(dim=2)
    h = torch.einsum("nqk,nck->ncq", share, v).reshape(x.shape)
    return (x + _conv(w, f"{name}.proj", h)) * math.sqrt(0.5)


def _embedding(s: SongSettings, w: dict[str, Tensor], t: Tensor, known: Tensor) -> Tensor:
    half = s.model_channels * s.channel_mult_noise // 2
    if s.embedding_type == "fourier":
        phase = torch.outer(t, 2 * math.pi * w["map_noise.freqs"])
    else:
        ends = torch.arange(half, dtype=t.dtype) / (half - 1)
        phase = torch.outer(t, (1 / 10000) ** ends)
    emb = torch.cat([phase.cos(), phase.sin()], dim=1)
    # the two halves change places
    emb = emb.reshape(len(t), 2, -1).flip(1).reshape(len(t), -1)
    if s.label_dim:
        emb = emb + F.linear(
            known * math.sqrt(s.label_dim), w["map_label.weight"], w["map_label.bias"]
        )
    for layer in ("map_layer0", "map_layer1"):
        emb = F.silu(F.linear(emb, w[f"{layer}.weight"], w[f"{layer}.bias"]))
    return emb


def _published(
    s: SongSettings, w: dict[str, Tensor], x: Tensor, t: Tensor, known: Tensor
) -> Tensor:
    emb, aux, skips = _embedding(s, w, t, known), x, []
    for level in range(len(s.channel_mult)):
        name = f"enc.{s.img_resolution >> level}x{s.img_resolution >> level}"
        x = _block(w, f"{name}_down", x, emb) if level else _conv(w, f"{name}_conv", x)
        if level and s.encoder_type == "skip":
            aux = _conv(w, f"{name}_aux_down", aux, "down")
            x = x + _conv(w, f"{name}_aux_skip", aux)
        if level and s.encoder_type == "residual":
            x = aux = (x + _fused(w, f"{name}_aux_residual", aux)) / math.sqrt(2)
        skips.append(x)
        for i in range(s.num_blocks):
            x = _block(w, f"{name}_block{i}", x, emb)
            skips.append(x)
    output = None
    for level in reversed(range(len(s.channel_mult))):
        name = f"dec.{s.img_resolution >> level}x{s.img_resolution >> level}"
        lowest = level == len(s.channel_mult) - 1
        for part in ("in0", "in1") if lowest else ("up",):
            x = _block(w, f"{name}_{part}", x, emb)
        for i in range(s.num_blocks + 1):
            x = _block(w, f"{name}_block{i}", torch.cat([x, skips.pop()], dim=1), emb)
        if s.decoder_type == "skip" or level == 0:
            h = _conv(w, f"{name}_aux_conv", F.silu(_norm(w, f"{name}_aux_norm", x)))
            if output is not None:
                h = h + _conv(w, f"{name}_aux_up", output, "up")
            output = h
    assert output is not None
    return output


@pytest.fixture(params=VARIANTS)
def settings(request: pytest.FixtureRequest) -> SongSettings:
    return dataclasses.replace(TINY, **VARIANTS[request.param])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_network_is_the_published_one(
    settings: SongSettings, dtype: torch.dtype, generator: torch.Generator
) -> None:
    network = _network(settings, dtype)
    x = torch.randn(3, 2, 8, 8, generator=generator, dtype=dtype)
    t = torch.tensor([-1.2, 0.3, 5.0], dtype=dtype)
    labels = torch.tensor([2, 0, 3]) if settings.label_dim else None
    # the third label stands for none
    known = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 0, 0]], dtype=dtype)
    expected = _published(settings, dict(network.state_dict()), x, t, known)
    assert expected.shape[1] == settings.out_channels
    assert expected.abs().max() > 0.01
    output = network(x, t, labels)[0]
    # each image on its own: one of a low level is not hidden by the others
    error = (output - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    assert error.max() < (1e-5 if dtype == torch.float32 else 1e-13)


def test_half_precision_keeps_the_frequencies() -> None:
    network = _network(dataclasses.replace(TINY, **NCSNPP), torch.float32)
    frequencies = network.map_noise.freqs.clone()
    assert torch.equal(network.to(torch.bfloat16).map_noise.freqs, frequencies)
    assert network.map_layer0.weight.dtype == torch.bfloat16
    assert network(torch.zeros(1, 2, 8, 8).bfloat16(), torch.ones(1))[0].dtype == torch.bfloat16
    assert network.double().map_noise.freqs.dtype == torch.float64


def test_settings_are_read_from_the_tensors(settings: SongSettings) -> None:
    found = infer_song(SongUNet(settings).state_dict())
    assert set(found) == {field.name for field in dataclasses.fields(settings)} - UNSAID
    assert dataclasses.replace(settings, **found) == settings


@pytest.mark.parametrize("name", SONG_PRESETS)
def test_preset_makes_a_network_whose_names_tell_it(name: str) -> None:
    with torch.device("meta"):
        weights = SongUNet(SONG_PRESETS[name]).state_dict()
    # kernels have values, which the meta device has not
    weights = {k: v for k, v in weights.items() if not k.endswith("resample_filter")}
    found = infer_song(weights) | {"resample_filter": SONG_PRESETS[name].resample_filter}
    assert dataclasses.replace(SONG_PRESETS[name], **found) == SONG_PRESETS[name]


@pytest.mark.parametrize("meaning", ["edm", "vp", "ve", "iddpm"])
def test_denoiser_is_the_published_formula(meaning: str, generator: torch.Generator) -> None:
    settings = dataclasses.replace(TINY, preconditioning=meaning)
    network = _network(settings, torch.float32)
    prior = PretrainedPrior(network, edm_preconditioning(settings))
    x = torch.randn(3, 2, 8, 8, generator=generator)
    sigma = torch.tensor([0.05, 0.7, 12.0])
    s = sigma[:, None, None, None]
    if meaning == "edm":
        skip, out = 0.25 / (s**2 + 0.25), s * 0.5 / (s**2 + 0.25).sqrt()
        inside, label = 1 / (0.25 + s**2).sqrt(), sigma.log() / 4
    elif meaning == "vp":
        skip, out, inside = 1, -s, 1 / (s**2 + 1).sqrt()
        root = (0.1**2 + 2 * 19.9 * (1 + sigma.double() ** 2).log()).sqrt()
        label = (999 * (root - 0.1) / 19.9).float()
    elif meaning == "ve":
        skip, out, inside, label = 1, s, 1, (0.5 * sigma).log()
    else:
        skip, out, inside, label = 1, -s, 1 / (s**2 + 1).sqrt(), _iddpm_labels(sigma)
    output = _published(settings, dict(network.state_dict()), inside * x, label, x)[:, :2]
    expected = skip * x + out * output
    assert (prior(x, sigma) - expected).abs().max() < 1e-5 * expected.abs().max()


def _iddpm_labels(sigma: Tensor) -> Tensor:
    j = torch.arange(1001, dtype=torch.float64)
    alpha_bar = (0.5 * math.pi * j / 1000 / 1.008).sin() ** 2
    u = torch.zeros(1001, dtype=torch.float64)
    for i in range(1000, 0, -1):
        ratio = (alpha_bar[i - 1] / alpha_bar[i]).clip(min=0.001)
        u[i - 1] = ((u[i] ** 2 + 1) / ratio - 1).sqrt()
    return (999 - (sigma[:, None] - u).abs().argmin(dim=1)).float()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img_resolution": 10}, "3 levels divide, got 10"),
        ({"encoder_type": "u"}, "encoder_type of standard, skip, residual, got 'u'"),
        ({"preconditioning": "flow"}, "preconditioning of edm, vp, ve, iddpm, got 'flow'"),
    ],
)
def test_unknown_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)


@pytest.mark.parametrize(("classes", "labels"), [(0, torch.zeros(1).long()), (3, None)])
def test_labels_without_classes_are_refused(classes: int, labels: Tensor | None) -> None:
    network = SongUNet(dataclasses.replace(TINY, label_dim=classes))
    with pytest.raises(ValueError, match=f"labels of {classes} classes, got"):
        network(torch.zeros(1, 2, 8, 8), torch.ones(1), labels)


def test_foreign_tensors_are_refused() -> None:
    with pytest.raises(KeyError, match="enc"):
        infer_song({"conv.weight": torch.zeros(1)})
