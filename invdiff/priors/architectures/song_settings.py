"""What EDM's U-Nets "ddpmpp" and "ncsnpp" are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["SongSettings"]


@dataclass(frozen=True)
class SongSettings:
    """What decides a ``SongUNet`` and what its output means, by the names of its project.

    Args:
        img_resolution: Rows and columns; the names of the tensors say it.
        in_channels: Channels of an image.
        label_dim: Number of classes; 0 for a network without.
        augment_dim: Numbers that described the augmentation in training; zero in use.
        model_channels: Channels of the first level.
        channel_mult: Channels of each level, in ``model_channels``.
        channel_mult_emb: Channels of the embedding, in ``model_channels``.
        num_blocks: Residual blocks of a level.
        attn_resolutions: Rows of the levels with attention.
        embedding_type: "positional" of "ddpmpp", "fourier" of "ncsnpp".
        channel_mult_noise: Channels of the waves, in ``model_channels``.
        encoder_type: How the input reaches the lower levels.
        decoder_type: Whether all levels add to the output, or the first only.
        resample_filter: Taps of one axis, see ``fir_kernel``.
        preconditioning: What the output means: "edm", "vp", "ve" or "iddpm".
        sigma_data: Standard deviation of the images, of "edm".

    Raises:
        ValueError: A size that the levels don't divide, or a word that isn't known.
    """

    img_resolution: int = 32
    in_channels: int = 3
    label_dim: int = 0
    augment_dim: int = 0
    model_channels: int = 128
    channel_mult: tuple[int, ...] = (2, 2, 2)
    channel_mult_emb: int = 4
    num_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)
    embedding_type: Literal["positional", "fourier"] = "positional"
    channel_mult_noise: int = 1
    encoder_type: Literal["standard", "skip", "residual"] = "standard"
    decoder_type: Literal["standard", "skip"] = "standard"
    resample_filter: tuple[int, ...] = (1, 1)
    preconditioning: Literal["edm", "vp", "ve", "iddpm"] = "edm"
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if self.img_resolution % 2 ** (len(self.channel_mult) - 1):
            raise ValueError(
                f"song: expected an img_resolution that {len(self.channel_mult)} levels divide, "
                f"got {self.img_resolution}"
            )
        for name, known in _WORDS.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"song: expected {name} of {', '.join(known)}, got {getattr(self, name)!r}"
                )

    @property
    def out_channels(self) -> int:
        """Channels of the output, twice those of the image where it also has a variance."""
        return self.in_channels * (2 if self.preconditioning == "iddpm" else 1)

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Return the rows and the channels of each level."""
        return [
            (self.img_resolution >> level, self.model_channels * mult)
            for level, mult in enumerate(self.channel_mult)
        ]


_WORDS = {
    "embedding_type": ("positional", "fourier"),
    "encoder_type": ("standard", "skip", "residual"),
    "decoder_type": ("standard", "skip"),
    "preconditioning": ("edm", "vp", "ve", "iddpm"),
}
