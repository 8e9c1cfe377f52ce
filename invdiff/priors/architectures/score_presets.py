"""Settings of published networks of score SDEs."""

from __future__ import annotations

from invdiff.priors.architectures.ncsnpp_settings import NCSNppSettings
from invdiff.priors.architectures.song_settings import SongSettings

__all__ = ["NCSNPP_PRESETS", "SONG_PRESETS"]

_PYRAMIDS = NCSNppSettings(
    image_size=256, ch_mult=(1, 1, 2, 2, 2, 2, 2), num_res_blocks=2, progressive="output_skip",
    progressive_input="input_skip", sigma_max=348.0, num_scales=2000,
)  # fmt: skip

NCSNPP_PRESETS: dict[str, NCSNppSettings] = {
    "cifar10_ncsnpp_continuous_ve": NCSNppSettings(image_size=32, progressive_input="residual"),
    "celebahq_256_ncsnpp_continuous_ve": _PYRAMIDS,
    "ffhq_256_ncsnpp_continuous_ve": _PYRAMIDS,
    "bedroom_256_ncsnpp_continuous_ve": NCSNppSettings(
        image_size=256, ch_mult=(1, 1, 2, 2, 2, 2, 2), num_res_blocks=2, progressive="output_skip",
        progressive_input="input_skip", sigma_max=378.0, num_scales=2000,
    ),
    "cifar10_ddpmpp_continuous_vp": NCSNppSettings(
        image_size=32, fir=False, embedding_type="positional", scale_by_sigma=False, centered=True,
        sde="vp",
    ),
    # score-MRI and DiffusionMBIR
    "fastmri_knee_320_ncsnpp_continuous_ve": NCSNppSettings(
        image_size=320, num_channels=1, progressive_input="residual", sigma_max=378.0,
        num_scales=2000,
    ),
    "aapm_256_ncsnpp_continuous_ve": NCSNppSettings(
        image_size=256, num_channels=1, progressive_input="residual", sigma_max=378.0,
        num_scales=2000,
    ),
}  # fmt: skip

SONG_PRESETS: dict[str, SongSettings] = {
    "cifar10_ddpmpp_edm": SongSettings(augment_dim=9),
    "cifar10_ncsnpp_edm": SongSettings(
        augment_dim=9, embedding_type="fourier", channel_mult_noise=2, encoder_type="residual",
        resample_filter=(1, 3, 3, 1),
    ),
    "ffhq_64_ddpmpp_edm": SongSettings(
        img_resolution=64, augment_dim=9, channel_mult=(1, 2, 2, 2)
    ),
    "ffhq_64_ncsnpp_edm": SongSettings(
        img_resolution=64, augment_dim=9, channel_mult=(1, 2, 2, 2), embedding_type="fourier",
        channel_mult_noise=2, encoder_type="residual", resample_filter=(1, 3, 3, 1),
    ),
}  # fmt: skip
