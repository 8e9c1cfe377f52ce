"""ADM networks with random weights against the published formulas, straight from a state dict."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as f

from invdiff.priors import load_prior
from invdiff.priors.architectures.adm import ADMSettings, ADMUNet
from invdiff.priors.architectures.adm_shapes import ADM_PRESETS, adm_preconditioning, infer_adm
from invdiff.priors.conversion import convert_checkpoint

SMALL = ADMSettings(
    16, in_channels=1, model_channels=32, num_res_blocks=1, channel_mult=(1, 2),
    attention_factors=(2,), num_heads=2, diffusion_steps=100,
)  # fmt: skip
VARIANTS = {
    "legacy": SMALL,
    "new order": replace(SMALL, use_new_attention_order=True, num_head_channels=16),
    "added time": replace(SMALL, use_scale_shift_norm=False, noise_schedule="cosine"),
    "convolutions": replace(SMALL, resblock_updown=False, attention_factors=(1, 2)),
    "classes": replace(
        SMALL, num_classes=3, in_channels=3, channel_mult=(0.5, 1), model_channels=64
    ),
    "improved": replace(SMALL, rescale_timesteps=True, diffusion_steps=400, learn_sigma=False),
    "one level": replace(SMALL, channel_mult=(1,), num_res_blocks=2, attention_factors=()),
    "x0": replace(SMALL, predict_xstart=True, channel_mult=(1, 2, 3), num_res_blocks=2),
}  # fmt: skip
UNSAID = ("image_size", "num_heads", "num_head_channels", "use_new_attention_order",
          "noise_schedule", "diffusion_steps", "rescale_timesteps", "predict_xstart")  # fmt: skip
# float32 of networks whose outputs are of size 1
TOLERANCE = 1e-5


def random_weights(settings, generator):
    """Weights of the size that a training leaves: outputs of size 1."""
    weights = {}
    for name, value in ADMUNet(settings).state_dict().items():
        fan_in = math.prod(value.shape[1:]) if value.ndim > 1 else 25
        weights[name] = torch.randn(value.shape, generator=generator) / math.sqrt(fan_in)
        if value.ndim == 1 and name.endswith("weight"):
            weights[name] += 1
    return weights


class Original:
    """The formulas of guided_diffusion/unet.py, from names and shapes alone."""

    def __init__(self, weights, settings):
        self.w, self.settings = weights, settings

    def norm(self, name, x):
        groups = x.reshape(len(x), 32, -1)
        mean, var = groups.mean(-1, keepdim=True), groups.var(-1, correction=0, keepdim=True)
        unit = ((groups - mean) / (var + 1e-5).sqrt()).reshape(x.shape)
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return unit * self.w[f"{name}.weight"].view(shape) + self.w[f"{name}.bias"].view(shape)

    def conv(self, name, x, stride=1):
        weight = self.w[f"{name}.weight"]
        return f.conv2d(x, weight, self.w[f"{name}.bias"], stride, weight.shape[-1] // 2)

    def linear(self, name, x):
        return torch.einsum("bi,oi->bo", x, self.w[f"{name}.weight"]) + self.w[f"{name}.bias"]

    @staticmethod
    def silu(x):
        return x * torch.sigmoid(x)

    @staticmethod
    def pool(x):
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    @staticmethod
    def double(x):
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    def residual(self, name, x, emb, resample):
        h = resample(self.silu(self.norm(f"{name}.in_layers.0", x)))
        h = self.conv(f"{name}.in_layers.2", h)
        x = resample(x)
        told = self.linear(f"{name}.emb_layers.1", self.silu(emb))[..., None, None]
        if told.shape[1] == 2 * h.shape[1]:
            scale, shift = told[:, : h.shape[1]], told[:, h.shape[1] :]
            h = self.norm(f"{name}.out_layers.0", h) * (1 + scale) + shift
        else:
            h = self.norm(f"{name}.out_layers.0", h + told)
        h = self.conv(f"{name}.out_layers.3", self.silu(h))
        skip = f"{name}.skip_connection"
        return h + (self.conv(skip, x) if f"{skip}.weight" in self.w else x)

    def attention(self, name, x):
        batch, channels = x.shape[:2]
        flat = x.reshape(batch, channels, -1)
        qkv = torch.einsum(
            "oi,bit->bot", self.w[f"{name}.qkv.weight"][..., 0], self.norm(f"{name}.norm", flat)
        ) + self.w[f"{name}.qkv.bias"].view(1, -1, 1)
        s = self.settings
        heads = channels // s.num_head_channels if s.num_head_channels else s.num_heads
        size = channels // heads
        parts = []
        for head in range(heads):
            if s.use_new_attention_order:
                start = [head * size, channels + head * size, 2 * channels + head * size]
            else:
                start = [(3 * head + part) * size for part in range(3)]
            q, k, v = (qkv[:, i : i + size] for i in start)
            scale = size**-0.25
            mix = torch.einsum("bct,bcs->bts", q * scale, k * scale).softmax(-1)
            parts.append(torch.einsum("bts,bcs->bct", mix, v))
        out = torch.einsum("oi,bit->bot", self.w[f"{name}.proj_out.weight"][..., 0],
                           torch.cat(parts, 1))  # fmt: skip
        return (flat + out + self.w[f"{name}.proj_out.bias"].view(1, -1, 1)).reshape(x.shape)

    def layers(self, block, x, emb, resampling):
        for i in range(3):
            name = f"{block}.{i}"
            if f"{name}.qkv.weight" in self.w:
                x = self.attention(name, x)
            elif f"{name}.in_layers.2.weight" in self.w:
                # alone in a block of the way down, or after another one on the way up
                changes = resampling and (i > 0) == block.startswith("output")
                move = self.double if block.startswith("output") else self.pool
                x = self.residual(name, x, emb, move if changes else lambda v: v)
            elif f"{name}.op.weight" in self.w:
                x = self.conv(f"{name}.op", x, stride=2)
            elif f"{name}.conv.weight" in self.w:
                x = self.conv(f"{name}.conv", self.double(x))
        return x

    def __call__(self, x, t, label=None):
        s = self.settings
        t = t * (1000.0 / s.diffusion_steps) if s.rescale_timesteps else t
        half = s.model_channels // 2
        args = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        emb = self.linear("time_embed.0", torch.cat([args.cos(), args.sin()], -1))
        emb = self.linear("time_embed.2", self.silu(emb))
        if label is not None:
            emb = emb + self.w["label_emb.weight"][label]
        levels, blocks = len(s.channel_mult), s.num_res_blocks
        x = self.conv("input_blocks.0.0", x)
        kept = [x]
        for i in range(1, levels * (blocks + 1)):
            x = self.layers(f"input_blocks.{i}", x, emb, i % (blocks + 1) == 0)
            kept.append(x)
        x = self.residual("middle_block.0", x, emb, lambda v: v)
        x = self.residual("middle_block.2", self.attention("middle_block.1", x), emb, lambda v: v)
        for i in range(levels * (blocks + 1)):
            last = (i + 1) % (blocks + 1) == 0
            x = self.layers(f"output_blocks.{i}", torch.cat([x, kept.pop()], 1), emb, last)
        return self.conv("out.2", self.silu(self.norm("out.0", x)))


def betas_of(settings):
    steps = settings.diffusion_steps
    if settings.noise_schedule == "linear":
        scale = 1000 / steps
        return torch.linspace(scale * 0.0001, scale * 0.02, steps, dtype=torch.float64)
    bar = [math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(steps + 1)]
    return torch.tensor([min(1 - bar[i + 1] / bar[i], 0.999) for i in range(steps)]).double()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_converted_prior_is_the_posterior_mean_of_the_original(tmp_path, generator, name):
    settings = VARIANTS[name]
    weights = random_weights(settings, generator)
    save_file(weights, tmp_path / "weights.safetensors")
    given = {key: getattr(settings, key) for key in UNSAID}
    folder = convert_checkpoint(tmp_path / "weights.safetensors", tmp_path / "prior", "adm", given)
    label = None if settings.num_classes is None else 1
    prior = load_prior(folder, label=label, channels_last=False)
    assert prior.network.settings == settings
    channels = settings.in_channels
    x0 = torch.rand(1, channels, 16, 16, generator=generator) * 2 - 1
    noise = torch.randn(x0.shape, generator=generator)
    for t in (3, 60):
        abar = torch.cumprod(1 - betas_of(settings), 0)[t]
        x_t = (abar.sqrt() * x0 + (1 - abar).sqrt() * noise).float()
        output = Original(weights, settings)(x_t, torch.tensor([float(t)]), label)[:, :channels]
        mean = output
        if not settings.predict_xstart:
            mean = (x_t - (1 - abar).sqrt() * output) / abar.sqrt()
        sigma = ((1 - abar) / abar).sqrt()
        ours = prior((x_t / abar.sqrt()).float().squeeze(int(channels == 1)), sigma)
        # the noise enters D with the factor sigma
        error = (ours.reshape(mean.shape) - mean).abs().max() / max(1, float(sigma))
        assert error < TOLERANCE
        assert 0.1 < output.std() < 10


@pytest.mark.parametrize("name", VARIANTS)
def test_the_shapes_say_all_but_heads_and_noise(name):
    settings = VARIANTS[name]
    inferred = infer_adm(ADMUNet(settings).state_dict())
    given = {key: getattr(settings, key) for key in UNSAID}
    assert ADMSettings(**given, **inferred) == settings


# those with classes: Dhariwal and Nichol's table of models; a file has four bytes a number
@pytest.mark.parametrize(
    ("name", "millions"),
    [("64x64_diffusion", 296), ("128x128_diffusion", 422), ("256x256_diffusion", 554),
     ("512x512_diffusion", 559), ("256x256_diffusion_uncond", 553), ("ffhq_10m", 94)],
)  # fmt: skip
def test_presets_have_the_published_numbers_of_parameters(name, millions):
    with torch.device("meta"):
        network = ADMUNet(ADM_PRESETS[name])
    count = sum(p.numel() for p in network.parameters())
    assert round(count / 1e6) == millions
    inferred = infer_adm(network.state_dict())
    assert all(getattr(ADM_PRESETS[name], key) == value for key, value in inferred.items())


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_noise_is_that_of_the_project(schedule):
    settings = replace(SMALL, diffusion_steps=500, noise_schedule=schedule)
    abar = torch.cumprod(1 - betas_of(settings), 0)
    expected = ((1 - abar) / abar).sqrt()
    found = torch.tensor(adm_preconditioning(settings).sigmas, dtype=torch.float64)
    # diffusers keeps the betas, from 4e-5 on, and their sums in single precision
    torch.testing.assert_close(found, expected[: len(found)], rtol=3e-4, atol=0)


def test_refuses_heads_that_do_not_divide_and_a_missing_label():
    with pytest.raises(ValueError, match="adm: 64 channels don't divide into 7 heads"):
        ADMUNet(replace(SMALL, num_heads=7))
    network = ADMUNet(replace(SMALL, num_classes=2))
    with pytest.raises(ValueError, match="this network has classes"):
        network(torch.zeros(1, 1, 16, 16), torch.zeros(1))
    with pytest.raises(ValueError, match="expected diffusion_steps >= 2, got 1"):
        adm_preconditioning(replace(SMALL, diffusion_steps=1))
