"""EDM's Dhariwal networks with random weights against their formulas, from a state dict alone."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as f

from invdiff.priors import load_prior
from invdiff.priors.architectures.edm_unet import DhariwalSettings, DhariwalUNet, infer_dhariwal
from invdiff.priors.conversion import convert_checkpoint

SMALL = DhariwalSettings(
    16, in_channels=1, model_channels=32, channel_mult=(1, 2), num_blocks=1, attn_resolutions=(8,)
)
VARIANTS = {
    "plain": SMALL,
    "classes": replace(SMALL, label_dim=3, in_channels=3, channel_mult_emb=2),
    "augmented": replace(SMALL, augment_dim=9, sigma_data=0.7),
    "deep": replace(
        SMALL, model_channels=64, channel_mult=(1, 2, 2), num_blocks=2, attn_resolutions=(16, 4)
    ),
}
TOLERANCE = 1e-5


def random_weights(settings, generator):
    weights = {}
    for name, value in DhariwalUNet(settings).state_dict().items():
        fan_in = math.prod(value.shape[1:]) if value.ndim > 1 else 25
        weights[name] = torch.randn(value.shape, generator=generator) / math.sqrt(fan_in)
        if name.endswith("resample_filter"):
            weights[name] = torch.full((1, 1, 2, 2), 0.25)
        elif value.ndim == 1 and name.endswith("weight"):
            weights[name] += 1
    return weights


class Original:
    """The formulas of EDM's networks.py."""

    def __init__(self, weights, settings):
        self.w, self.settings = weights, settings

    def norm(self, name, x):
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        groups = x.reshape(len(x), min(32, x.shape[1] // 4), -1)
        mean, var = groups.mean(-1, keepdim=True), groups.var(-1, correction=0, keepdim=True)
        unit = ((groups - mean) / (var + 1e-5).sqrt()).reshape(x.shape)
        return unit * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

    def conv(self, name, x, direction=None):
        kernel = self.w.get(f"{name}.resample_filter")
        assert (kernel is None) == (direction is None)
        if direction is not None:
            filters = kernel.tile([x.shape[1], 1, 1, 1])
            if direction == "up":
                x = f.conv_transpose2d(x, 4 * filters, groups=x.shape[1], stride=2)
            else:
                x = f.conv2d(x, filters, groups=x.shape[1], stride=2)
        weight = self.w.get(f"{name}.weight")
        if weight is None:
            return x
        return f.conv2d(x, weight, padding=weight.shape[-1] // 2) + self.w[f"{name}.bias"].view(
            1, -1, 1, 1
        )

    def linear(self, name, x):
        return x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", 0)

    def block(self, name, x, emb, direction=None):
        h = self.conv(f"{name}.conv0", f.silu(self.norm(f"{name}.norm0", x)), direction)
        params = self.linear(f"{name}.affine", emb)[..., None, None]
        scale, shift = params.chunk(2, 1)
        h = f.silu(shift + self.norm(f"{name}.norm1", h) * (scale + 1))
        h = self.conv(f"{name}.conv1", h)
        skipped = any(key.startswith(f"{name}.skip.") for key in self.w)
        x = h + (self.conv(f"{name}.skip", x, direction) if skipped else x)
        if f"{name}.qkv.weight" in self.w:
            batch, channels = x.shape[:2]
            heads = channels // 64
            qkv = self.conv(f"{name}.qkv", self.norm(f"{name}.norm2", x))
            q, k, v = qkv.reshape(batch * heads, channels // heads, 3, -1).unbind(2)
            mix = torch.einsum("ncq,nck->nqk", q, k / math.sqrt(k.shape[1])).softmax(2)
            x = x + self.conv(f"{name}.proj", torch.einsum("nqk,nck->ncq", mix, v).reshape(x.shape))
        return x

    def network(self, x, noise, label):
        s = self.settings
        freqs = (1 / 10000) ** (torch.arange(s.model_channels // 2) / (s.model_channels // 2))
        angles = noise[:, None] * freqs
        emb = torch.cat([angles.cos(), angles.sin()], 1)
        emb = self.linear("map_layer1", f.silu(self.linear("map_layer0", emb)))
        if s.label_dim:
            emb = emb + self.linear("map_label", label)
        emb = f.silu(emb)
        sizes = [s.img_resolution >> level for level in range(len(s.channel_mult))]
        skips = []
        for size in sizes:
            top = size == sizes[0]
            x = (
                self.conv(f"enc.{size}x{size}_conv", x)
                if top
                else self.block(f"enc.{size}x{size}_down", x, emb, "down")
            )
            skips.append(x)
            for i in range(s.num_blocks):
                x = self.block(f"enc.{size}x{size}_block{i}", x, emb)
                skips.append(x)
        for size in reversed(sizes):
            if size == sizes[-1]:
                x = self.block(f"dec.{size}x{size}_in0", x, emb)
                x = self.block(f"dec.{size}x{size}_in1", x, emb)
            else:
                x = self.block(f"dec.{size}x{size}_up", x, emb, "up")
            for i in range(s.num_blocks + 1):
                x = self.block(f"dec.{size}x{size}_block{i}", torch.cat([x, skips.pop()], 1), emb)
        return self.conv("out_conv", f.silu(self.norm("out_norm", x)))

    def __call__(self, x, sigma, label=None):
        data = self.settings.sigma_data
        skip = data**2 / (sigma**2 + data**2)
        out = sigma * data / math.sqrt(sigma**2 + data**2)
        scale = 1 / math.sqrt(data**2 + sigma**2)
        noise = torch.tensor([math.log(sigma) / 4])
        return skip * x + out * self.network(scale * x, noise, label)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_converted_prior_is_the_denoiser_of_the_original(tmp_path, generator, name):
    settings = VARIANTS[name]
    weights = random_weights(settings, generator)
    # EDMPrecond keeps its network as "model"
    torch.save({f"model.{key}": value for key, value in weights.items()}, tmp_path / "net.pt")
    folder = convert_checkpoint(
        tmp_path / "net.pt", tmp_path / "prior", "dhariwal", {"sigma_data": settings.sigma_data}
    )
    label = 2 if settings.label_dim else None
    prior = load_prior(folder, label=label, channels_last=False)
    # levels whose blocks are narrower than a head have no attention to see
    assert prior.network.settings == settings
    vector = f.one_hot(torch.tensor([2]), 3).float() if settings.label_dim else None
    for sigma in (0.02, 0.8, 30.0):
        noise = torch.randn(1, settings.in_channels, 16, 16, generator=generator)
        x = sigma * noise
        expected = Original(weights, settings)(x, sigma, vector)
        ours = prior(x.squeeze(int(settings.in_channels == 1)), torch.tensor(sigma))
        assert (ours.reshape(expected.shape) - expected).abs().max() < TOLERANCE


def test_guidance_is_measured_from_the_label_of_zeros(tmp_path, generator):
    settings = VARIANTS["classes"]
    weights = random_weights(settings, generator)
    save_file(weights, tmp_path / "net.safetensors")
    info = {"classes": ["T1", "T2", "PD"], "class_dropout": True}
    folder = convert_checkpoint(
        tmp_path / "net.safetensors", tmp_path / "prior", "dhariwal", info=info
    )
    x = torch.randn(1, 3, 16, 16, generator=generator)
    original = Original(weights, settings)
    none, told = (original(x, 0.5, v) for v in (torch.zeros(1, 3), torch.eye(3)[1:2]))
    for guidance in (0.0, 1.0, 2.5):
        prior = load_prior(folder, label="T2", guidance=guidance, channels_last=False)
        expected = none + guidance * (told - none)
        assert (prior(x, torch.tensor(0.5)) - expected).abs().max() < TOLERANCE
        assert prior.num_calls == (2 if guidance == 2.5 else 1)


def test_the_published_network_has_the_published_names():
    with torch.device("meta"):
        network = DhariwalUNet(DhariwalSettings(label_dim=1000))
    state = network.state_dict()
    assert {"map_label.weight", "enc.64x64_conv.weight", "enc.32x32_down.skip.resample_filter",
            "dec.8x8_in0.qkv.weight", "dec.64x64_block3.skip.weight"} <= state.keys()  # fmt: skip
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == 296
    assert DhariwalSettings(**infer_dhariwal(state)) == DhariwalSettings(label_dim=1000)


def test_refuses_a_missing_label():
    network = DhariwalUNet(VARIANTS["classes"])
    with pytest.raises(ValueError, match="dhariwal: this network has classes"):
        network(torch.zeros(1, 3, 16, 16), torch.zeros(1))
