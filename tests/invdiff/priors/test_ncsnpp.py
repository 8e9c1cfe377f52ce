"""NCSN++ against its description, run straight from the numbered tensors of a state dict."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from invdiff.priors.architectures.ncsnpp import NCSNpp
from invdiff.priors.architectures.ncsnpp_settings import NCSNppSettings
from invdiff.priors.architectures.ncsnpp_shapes import (
    infer_ncsnpp,
    ncsnpp_data_range,
    ncsnpp_preconditioning,
)
from invdiff.priors.architectures.score_presets import NCSNPP_PRESETS
from invdiff.priors.pretrained import PretrainedPrior
from invdiff.priors.score_preconditioning import ContinuousVP, ScoreVE

TINY = NCSNppSettings(
    image_size=8, num_channels=2, nf=8, ch_mult=(1, 2, 2), num_res_blocks=1, attn_resolutions=(4,)
)
VARIANTS = {
    "plain": {},
    "cifar10_ve": {"progressive_input": "residual", "num_res_blocks": 2},
    "ffhq_ve": {"progressive": "output_skip", "progressive_input": "input_skip"},
    "ddpmpp_vp": {
        "fir": False, "embedding_type": "positional", "scale_by_sigma": False, "centered": True,
        "sde": "vp",
    },
    "cat": {"progressive_input": "input_skip", "progressive_combine": "cat"},
    "residual_out": {"progressive": "residual", "progressive_input": "residual"},
    "two_levels_out": {
        "progressive": "residual", "progressive_input": "residual", "ch_mult": (1, 2),
    },
    "ddpm_blocks": {"resblock_type": "ddpm", "fir": False, "skip_rescale": False},
    "ddpm_fir": {"resblock_type": "ddpm", "progressive": "output_skip"},
    "ddpm_no_conv": {"resblock_type": "ddpm", "resamp_with_conv": False},
    "residual_no_fir": {"progressive": "residual", "progressive_input": "residual", "fir": False},
    "unconditional": {"conditional": False, "attn_resolutions": (8, 2)},
    "discrete": {"embedding_type": "positional", "num_scales": 10},
}  # fmt: skip


def _network(settings: NCSNppSettings, dtype: torch.dtype = torch.float64) -> NCSNpp:
    """Give the network random weights of a size that keeps the features near 1."""
    network, draw = NCSNpp(settings).to(dtype), torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        fan = max(1, parameter[0].numel()) if parameter.ndim > 1 else 4
        # the frequencies are those of the publication: their phases lose digits
        fan = 1 / 16**2 if name == "all_modules.0.W" else fan
        parameter.data = torch.randn(parameter.shape, generator=draw, dtype=dtype) / math.sqrt(fan)
    return network.eval()


class _Published:
    """The forward pass of the publication: each layer takes the next number."""

    def __init__(self, s: NCSNppSettings, weights: dict[str, Tensor]) -> None:
        self.s, self.weights, self.number = s, weights, -1

    def take(self) -> Callable[[str], Tensor]:
        self.number += 1
        prefix = f"all_modules.{self.number}."
        return lambda name: self.weights[prefix + name]

    def norm(self, w: Callable[[str], Tensor], x: Tensor, name: str = "") -> Tensor:
        groups = min(x.shape[1] // 4, 32)
        return F.group_norm(x, groups, w(name + "weight"), w(name + "bias"), 1e-6)

    def add(self, x: Tensor, h: Tensor) -> Tensor:
        return (x + h) / 2**0.5 if self.s.skip_rescale else x + h

    def nin(self, w: Callable[[str], Tensor], name: str, x: Tensor) -> Tensor:
        return torch.einsum("bihw,io->bohw", x, w(name + ".W")) + w(name + ".b")[:, None, None]

    def stuff(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        wide = x.new_zeros(b, c, 2 * h, 2 * w)
        wide[:, :, ::2, ::2] = x
        return wide

    def filter(self, x: Tensor, before: int, after: int, gain: float) -> Tensor:
        taps = torch.tensor(self.s.fir_kernel, dtype=x.dtype)
        kernel = gain * torch.outer(taps, taps) / taps.sum() ** 2
        padded = F.pad(x, (before, after, before, after))
        return F.conv2d(padded.flatten(0, 1)[:, None], kernel[None, None])[:, 0].unflatten(
            0, x.shape[:2]
        )

    def up(self, x: Tensor) -> Tensor:
        if not self.s.fir:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        p = len(self.s.fir_kernel) - 2
        return self.filter(self.stuff(x), (p + 1) // 2 + 1, p // 2, 4)

    def down(self, x: Tensor) -> Tensor:
        if not self.s.fir:
            return F.avg_pool2d(x, 2)
        p = len(self.s.fir_kernel) - 2
        return self.filter(x, (p + 1) // 2, p // 2, 1)[:, :, ::2, ::2]

    def up_layer(self, x: Tensor, conv: bool) -> Tensor:
        w = self.take()
        if not conv:
            return self.up(x)
        if not self.s.fir:
            return F.conv2d(self.up(x), w("Conv_0.weight"), w("Conv_0.bias"), padding=1)
        # zeros between and around, a correlation, the filter
        wide = F.conv2d(F.pad(self.stuff(x), (2, 1, 2, 1)), w("Conv2d_0.weight"))
        p = len(self.s.fir_kernel) - 4
        return (
            self.filter(wide, (p + 1) // 2 + 1, p // 2 + 1, 4) + w("Conv2d_0.bias")[:, None, None]
        )

    def down_layer(self, x: Tensor, conv: bool) -> Tensor:
        w = self.take()
        if not conv:
            return self.down(x)
        if not self.s.fir:
            x = F.pad(x, (0, 1, 0, 1))
            return F.conv2d(x, w("Conv_0.weight"), w("Conv_0.bias"), stride=2)
        p = len(self.s.fir_kernel)
        smooth = self.filter(x, (p + 1) // 2, p // 2, 1)
        return F.conv2d(smooth, w("Conv2d_0.weight"), w("Conv2d_0.bias"), stride=2)

    def block(
        self, x: Tensor, temb: Tensor | None, resample: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        w = self.take()
        h = F.silu(self.norm(w, x, "GroupNorm_0."))
        if resample is not None:
            h, x = resample(h), resample(x)
        h = F.conv2d(h, w("Conv_0.weight"), w("Conv_0.bias"), padding=1)
        if temb is not None:
            h = h + F.linear(F.silu(temb), w("Dense_0.weight"), w("Dense_0.bias"))[..., None, None]
        h = F.silu(self.norm(w, h, "GroupNorm_1."))
        h = F.conv2d(h, w("Conv_1.weight"), w("Conv_1.bias"), padding=1)
        if x.shape[1] != h.shape[1] or resample is not None:
            if self.s.resblock_type == "ddpm":
                x = self.nin(w, "NIN_0", x)
            else:
                x = F.conv2d(x, w("Conv_2.weight"), w("Conv_2.bias"))
        return self.add(x, h)

    def attention(self, x: Tensor) -> Tensor:
        w = self.take()
        h = self.norm(w, x, "GroupNorm_0.")
        q, k, v = (self.nin(w, f"NIN_{i}", h).flatten(2) for i in range(3))
        share = (torch.einsum("bcp,bcr->bpr", q, k) * x.shape[1] ** -0.5).softmax(dim=-1)
        h = torch.einsum("bpr,bcr->bcp", share, v).reshape(x.shape)
        return self.add(x, self.nin(w, "NIN_3", h))

    def conv(self, x: Tensor) -> Tensor:
        w = self.take()
        return F.conv2d(x, w("weight"), w("bias"), padding=1)

    def head(self, x: Tensor) -> Tensor:
        return self.conv(F.silu(self.norm(self.take(), x)))

    def embedding(self, t: Tensor) -> Tensor | None:
        if self.s.embedding_type == "fourier":
            phase = t.log()[:, None] * self.take()("W") * 2 * math.pi
        else:
            half = self.s.nf // 2
            rate = math.log(10000) / (half - 1)
            phase = t[:, None] * torch.exp(-rate * torch.arange(half, dtype=t.dtype))
        if not self.s.conditional:
            return None
        h = torch.cat([phase.sin(), phase.cos()], dim=1)
        for number in range(2):
            w = self.take()
            h = F.linear(F.silu(h) if number else h, w("weight"), w("bias"))
        return h

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        s, temb = self.s, self.embedding(t)
        x = x if s.centered else 2 * x - 1
        pyramid, hs, levels = x, [self.conv(x)], len(s.ch_mult)
        for level in range(levels):
            for _ in range(s.num_res_blocks):
                h = self.block(hs[-1], temb)
                hs.append(self.attention(h) if h.shape[-1] in s.attn_resolutions else h)
            if level == levels - 1:
                continue
            if s.resblock_type == "ddpm":
                h = self.down_layer(hs[-1], s.resamp_with_conv)
            else:
                h = self.block(hs[-1], temb, self.down)
            if s.progressive_input == "input_skip":
                pyramid, w = self.down_layer(pyramid, False), self.take()
                mapped = F.conv2d(pyramid, w("Conv.weight"), w("Conv.bias"))
                h = torch.cat([mapped, h], 1) if s.progressive_combine == "cat" else mapped + h
            elif s.progressive_input == "residual":
                h = pyramid = self.add(self.down_layer(pyramid, True), h)
            hs.append(h)
        h = self.block(self.attention(self.block(hs[-1], temb)), temb)
        for level in reversed(range(levels)):
            for _ in range(s.num_res_blocks + 1):
                h = self.block(torch.cat([h, hs.pop()], dim=1), temb)
            h = self.attention(h) if h.shape[-1] in s.attn_resolutions else h
            if s.progressive != "none" and level == levels - 1:
                pyramid = self.head(h)
            elif s.progressive == "output_skip":
                pyramid = self.up_layer(pyramid, False)
                pyramid = pyramid + self.head(h)
            elif s.progressive == "residual":
                h = pyramid = self.add(self.up_layer(pyramid, True), h)
            if level and s.resblock_type == "ddpm":
                h = self.up_layer(h, s.resamp_with_conv)
            elif level:
                h = self.block(h, temb, self.up)
        h = pyramid if s.progressive == "output_skip" else self.head(h)
        assert not hs
        if not s.scale_by_sigma:
            return h
        if s.embedding_type == "positional":
            scales = torch.linspace(math.log(s.sigma_max), math.log(s.sigma_min), s.num_scales)
            t = scales.exp().to(t.dtype)[t.int()]
        return h / t[:, None, None, None]


@pytest.fixture(params=VARIANTS)
def settings(request: pytest.FixtureRequest) -> NCSNppSettings:
    return dataclasses.replace(TINY, **VARIANTS[request.param])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_network_is_the_published_one(
    settings: NCSNppSettings, dtype: torch.dtype, generator: torch.Generator
) -> None:
    network = _network(settings, dtype)
    x = torch.rand(2, 2, 8, 8, generator=generator, dtype=dtype)
    t = torch.tensor([0.01, 9.0], dtype=dtype)
    published = _Published(settings, dict(network.state_dict()))
    expected = published(x, t)
    assert expected.abs().max() > 0.01
    difference = network(x, t)[0] - expected
    # each image on its own: one of a high level is not hidden by the others
    error = difference.flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    assert error.max() < (1e-5 if dtype == torch.float32 else 1e-12)
    last = max(int(name.split(".")[1]) for name in network.state_dict() if "all_m" in name)
    assert published.number == last


def test_checkpoint_has_numbered_layers_and_levels_of_noise(settings: NCSNppSettings) -> None:
    names = NCSNpp(settings).state_dict()
    assert {name.split(".")[0] for name in names} == {"all_modules", "sigmas"}
    # the table of the publication falls
    assert names["sigmas"][0] == pytest.approx(settings.sigma_max, rel=1e-5)
    assert names["sigmas"][-1] == pytest.approx(settings.sigma_min, rel=1e-5)


def test_copy_is_a_network_of_its_own(generator: torch.Generator) -> None:
    network = _network(dataclasses.replace(TINY, **VARIANTS["ffhq_ve"]))
    x = torch.rand(1, 2, 8, 8, generator=generator, dtype=torch.float64)
    sigma = torch.ones(1, dtype=torch.float64)
    before, twin = network(x, sigma)[0], copy.deepcopy(network)
    for parameter in twin.parameters():
        parameter.data.zero_()
    assert not twin(x, sigma)[0].any()
    torch.testing.assert_close(network(x, sigma)[0], before, rtol=0, atol=0)


def test_half_precision_keeps_the_frequencies(generator: torch.Generator) -> None:
    network = _network(TINY, torch.float32)
    network.all_modules[0].W.data *= 32
    low = copy.deepcopy(network).to(torch.bfloat16)
    assert torch.equal(low.all_modules[0].W, network.all_modules[0].W)
    assert low.all_modules[1].weight.dtype == torch.bfloat16
    x, sigma = torch.rand(2, 2, 8, 8, generator=generator), torch.tensor([20.0, 0.01])
    exact, rounded = (PretrainedPrior(n, ScoreVE())(x, sigma) - x for n in (network, low))
    assert (exact - rounded).abs().max() < 0.02 * exact.abs().max()
    assert network.double().all_modules[0].W.dtype == torch.float64


def test_switches_are_read_from_the_tensors(settings: NCSNppSettings) -> None:
    found = infer_ncsnpp(NCSNpp(settings).state_dict())
    unused = set() if settings.progressive_input == "input_skip" else {"progressive_combine"}
    asked = dataclasses.asdict(settings)
    assert found == {name: asked[name] for name in found if name not in unused}


def test_denoiser_adds_the_score_of_images_in_their_own_range(generator: torch.Generator) -> None:
    settings = dataclasses.replace(TINY, **VARIANTS["cifar10_ve"])
    network = _network(settings, torch.float32)
    prior = PretrainedPrior(
        network, ncsnpp_preconditioning(settings), data_range=ncsnpp_data_range(settings)
    )
    assert prior.data_range == (0, 1)
    x = torch.rand(3, 2, 8, 8, generator=generator)
    sigma = torch.tensor([0.01, 0.3, 20.0])
    score = _Published(settings, dict(network.state_dict()))(x, sigma)
    expected = x + sigma[:, None, None, None] ** 2 * score
    assert (prior(x, sigma) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_vp_denoiser_divides_by_the_standard_deviation(generator: torch.Generator) -> None:
    settings = dataclasses.replace(TINY, **VARIANTS["ddpmpp_vp"])
    network = _network(settings)
    assert ncsnpp_data_range(settings) == (-1, 1)
    t = torch.tensor([0.01, 0.4, 0.98], dtype=torch.float64)
    # the mean factor and deviation of x_t, as published
    log_mean = -0.25 * t**2 * (20 - 0.1) - 0.5 * t * 0.1
    alpha, std = log_mean.exp(), (1 - (2 * log_mean).exp()).sqrt()
    at = torch.randn(3, 2, 8, 8, generator=generator, dtype=torch.float64)
    output = _Published(settings, dict(network.state_dict()))(at, 999 * t)
    alpha4, std4 = alpha[:, None, None, None], std[:, None, None, None]
    expected = (at + std4**2 * (-output / std4)) / alpha4
    denoised = ncsnpp_preconditioning(settings).denoise(
        lambda x, label: network(x, label)[0], at / alpha4, std4 / alpha4
    )
    torch.testing.assert_close(denoised, expected)


def test_meaning_follows_the_sde() -> None:
    assert ncsnpp_preconditioning(TINY) == ScoreVE()
    vp = NCSNPP_PRESETS["cifar10_ddpmpp_continuous_vp"]
    assert ncsnpp_preconditioning(vp) == ContinuousVP(0.1, 20, 1000)
    with pytest.raises(ValueError, match="discrete levels"):
        ncsnpp_preconditioning(dataclasses.replace(TINY, embedding_type="positional"))


@pytest.mark.parametrize("name", NCSNPP_PRESETS)
def test_preset_makes_a_network_whose_tensors_tell_it(name: str) -> None:
    with torch.device("meta"):
        weights = NCSNpp(NCSNPP_PRESETS[name]).state_dict()
    found = infer_ncsnpp(weights)
    assert dataclasses.replace(NCSNPP_PRESETS[name], **found) == NCSNPP_PRESETS[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 10}, "3 resolutions divide, got 10"),
        ({"progressive": "skip"}, "progressive of none, output_skip, residual, got 'skip'"),
        ({"sde": "subvp"}, "sde of ve, vp, got 'subvp'"),
    ],
)
def test_unknown_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)


def test_other_sizes_and_labels_are_refused() -> None:
    network = NCSNpp(TINY)
    with pytest.raises(ValueError, match="divisible by 4"):
        network(torch.zeros(1, 2, 8, 10), torch.ones(1))
    with pytest.raises(ValueError, match="no labels"):
        network(torch.zeros(1, 2, 8, 8), torch.ones(1), torch.zeros(1, dtype=torch.long))


def test_foreign_tensors_are_refused() -> None:
    with pytest.raises(KeyError, match="all_modules"):
        infer_ncsnpp({"conv.weight": torch.zeros(1)})
