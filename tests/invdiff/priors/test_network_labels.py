"""Networks that know images without a label, and those that don't."""

from __future__ import annotations

import pytest
import torch

from invdiff.priors.architectures.adm import ADMSettings, ADMUNet
from invdiff.priors.architectures.edm_meanings import edm_preconditioning
from invdiff.priors.architectures.edm_unet import DhariwalSettings, DhariwalUNet
from invdiff.priors.architectures.song_settings import SongSettings
from invdiff.priors.architectures.song_unet import SongUNet
from invdiff.priors.pretrained import PretrainedPrior

DROPPED = {"class_dropout": True}
SONG = SongSettings(
    img_resolution=8, in_channels=1, label_dim=3, model_channels=8, channel_mult=(1, 1),
    num_blocks=1, attn_resolutions=(),
)  # fmt: skip
DHARIWAL = DhariwalSettings(
    img_resolution=8, in_channels=1, label_dim=3, model_channels=8, channel_mult=(1, 1),
    num_blocks=1, attn_resolutions=(),
)  # fmt: skip


@pytest.mark.parametrize("network", [SongUNet(SONG), DhariwalUNet(DHARIWAL)])
def test_guidance_of_networks_of_edm_starts_at_no_label(
    network: SongUNet | DhariwalUNet, generator: torch.Generator
) -> None:
    for parameter in network.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    meaning = edm_preconditioning(network.settings)
    x, sigma = torch.randn(2, 8, 8, generator=generator), torch.tensor(0.5)

    def denoised(label: int) -> torch.Tensor:
        labels = torch.full((2,), label)
        level = sigma.expand(2, 1, 1, 1)
        return meaning.denoise(lambda v, t: network(v, t, labels)[0], x[:, None], level)[:, 0]

    prior = PretrainedPrior(network, meaning, info=DROPPED, label=1, guidance=3.0)
    expected = denoised(3) + 3 * (denoised(1) - denoised(3))
    assert (denoised(3) - denoised(1)).abs().max() > 1e-3
    torch.testing.assert_close(prior(x, sigma), expected)
    assert prior.num_calls == 4


def test_adm_has_no_label_after_the_last() -> None:
    settings = ADMSettings(
        8, in_channels=1, model_channels=32, num_res_blocks=1, channel_mult=(1, 1),
        attention_factors=(), num_classes=3,
    )  # fmt: skip
    with pytest.raises(ValueError, match="knows no null class, got 2"):
        PretrainedPrior(
            ADMUNet(settings), edm_preconditioning(SONG), info=DROPPED, label=0, guidance=2.0
        )


@pytest.mark.parametrize("settings", [SONG, DHARIWAL])
def test_variance_takes_as_many_channels_as_the_image(
    settings: SongSettings | DhariwalSettings,
) -> None:
    kind = type(settings)
    assert settings.out_channels == 1
    assert kind(in_channels=2, preconditioning="iddpm").out_channels == 4
