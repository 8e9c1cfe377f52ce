"""What an NCSN++ is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["NCSNppSettings"]


@dataclass(frozen=True)
class NCSNppSettings:
    """The switches of an NCSN++ or DDPM++, by their names in the configurations of score_sde.

    Args:
        image_size: Rows and columns of the training: where the attention stands depends on it.
        num_channels: Channels of an image.
        nf: Channels at full resolution.
        ch_mult: Channels of each resolution, as multiples of ``nf``.
        num_res_blocks: Blocks of each resolution.
        attn_resolutions: Rows of the feature maps with self-attention.
        resamp_with_conv: Resample with a convolution; of "ddpm" blocks only.
        conditional: Tell the blocks the noise level.
        fir: Resample with ``fir_kernel``, else with a kernel of two equal taps.
        fir_kernel: Taps of one axis.
        skip_rescale: Divide sums with a shortcut by the square root of 2.
        resblock_type: "biggan" blocks resample inside; "ddpm" blocks have layers for it between.
        progressive: How the output is gathered from the resolutions.
        progressive_input: How the input reaches the lower resolutions.
        progressive_combine: Add or stack the input of "input_skip".
        embedding_type: "fourier" of log sigma, or "positional" of a time.
        scale_by_sigma: Divide the output by sigma; of a positional network by
            entry number t of its buffer ``sigmas``.
        centered: The images are in [-1, 1]; else in [0, 1], and the network moves them.
        sigma_min: The lowest of ``sigmas``, in the units of the images.
        sigma_max: The highest.
        num_scales: How many.
        sde: "ve" for a network that gives the score given sigma, "vp" for one that gives the noise
            given 999 t.

    Raises:
        ValueError: A size that the resolutions don't divide, or a word that isn't known.
    """

    image_size: int
    num_channels: int = 3
    nf: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 2, 2)
    num_res_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)
    resamp_with_conv: bool = True
    conditional: bool = True
    fir: bool = True
    fir_kernel: tuple[int, ...] = (1, 3, 3, 1)
    skip_rescale: bool = True
    resblock_type: Literal["biggan", "ddpm"] = "biggan"
    progressive: Literal["none", "output_skip", "residual"] = "none"
    progressive_input: Literal["none", "input_skip", "residual"] = "none"
    progressive_combine: Literal["sum", "cat"] = "sum"
    embedding_type: Literal["fourier", "positional"] = "fourier"
    scale_by_sigma: bool = True
    centered: bool = False
    sigma_min: float = 0.01
    sigma_max: float = 50.0
    num_scales: int = 1000
    sde: Literal["ve", "vp"] = "ve"

    def __post_init__(self) -> None:
        if not self.ch_mult or self.image_size % self.divisor:
            raise ValueError(
                f"ncsnpp: expected an image_size that {len(self.ch_mult)} resolutions divide, "
                f"got {self.image_size}"
            )
        for name, known in _WORDS.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"ncsnpp: expected {name} of {', '.join(known)}, got {getattr(self, name)!r}"
                )

    @property
    def divisor(self) -> int:
        """What the rows and columns of an image are a multiple of."""
        return int(2 ** (len(self.ch_mult) - 1))

    @property
    def taps(self) -> tuple[int, ...]:
        """Return the taps of the kernel that resamples."""
        return self.fir_kernel if self.fir else (1, 1)

    def attends(self, level: int) -> bool:
        """Tell whether the blocks of a level, 0 at full resolution, have self-attention."""
        return self.image_size // 2**level in self.attn_resolutions


_WORDS = {
    "resblock_type": ("biggan", "ddpm"),
    "progressive": ("none", "output_skip", "residual"),
    "progressive_input": ("none", "input_skip", "residual"),
    "progressive_combine": ("sum", "cat"),
    "embedding_type": ("fourier", "positional"),
    "sde": ("ve", "vp"),
}
