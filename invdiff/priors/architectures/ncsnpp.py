"""NCSN++ and DDPM++ of score_sde, weight for weight."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from invdiff.priors.architectures.image_network import ImageNetwork, NetworkConfig
from invdiff.priors.architectures.ncsnpp_blocks import Attention, FourierFeatures, ResidualBlock
from invdiff.priors.architectures.ncsnpp_paths import Numbered, WayDown, WayUp
from invdiff.priors.architectures.ncsnpp_settings import NCSNppSettings
from invdiff.priors.architectures.ncsnpp_shapes import ncsnpp_tables
from invdiff.priors.architectures.noise_embedding import positional_embedding

__all__ = ["NCSNpp"]


class NCSNpp(ImageNetwork):
    """The networks of :cite:t:`song2021`, with the names of their checkpoints: ``all_modules.N``.

    Without dropout: it denoises as the published network does once that is trained.

    Args:
        settings: Its switches.
    """

    sigmas: Tensor

    def __init__(self, settings: NCSNppSettings) -> None:
        size, channels = settings.image_size, settings.num_channels
        super().__init__(NetworkConfig(size, channels, channels))
        self.settings = settings
        numbered, nf = Numbered(), settings.nf
        self._fourier, self._dense = None, None
        if settings.embedding_type == "fourier":
            self._fourier = (numbered.add(FourierFeatures(nf)),)
        if settings.conditional:
            waves = 2 * nf if self._fourier else nf
            self._dense = (
                numbered.add(nn.Linear(waves, 4 * nf)),
                numbered.add(nn.Linear(4 * nf, 4 * nf)),
            )
        self._down = WayDown(settings, numbered)
        width = self._down.channels[-1]
        self._middle = (
            numbered.add(ResidualBlock(width, width, settings)),
            numbered.add(Attention(width, settings)),
            numbered.add(ResidualBlock(width, width, settings)),
        )
        self._up = WayUp(settings, self._down.channels, numbered)
        self.all_modules = nn.ModuleList(numbered.layers)
        for name, table in ncsnpp_tables(settings).items():
            self.register_buffer(name, table)

    def _output(self, sample: Tensor, timestep: Tensor, class_labels: Tensor | None) -> Tensor:
        """Return the output for images in the range that ``centered`` says, without labels.

        The timestep is sigma for a network with Fourier features, else the time.
        """
        divisor = self.settings.divisor
        if class_labels is not None or sample.shape[-1] % divisor or sample.shape[-2] % divisor:
            raise ValueError(
                f"ncsnpp: expected no labels and a size divisible by {divisor}, "
                f"got {tuple(sample.shape)}"
            )
        x = sample if self.settings.centered else 2 * sample - 1
        # frequencies in single precision don't make it a network of that
        x = x.to(self._down.first.weight.dtype)
        embedding = self._embedding(timestep)
        features = self._down(x, embedding)
        before, attention, after = self._middle
        h = after(attention(before(features[-1], embedding)), embedding)
        h = self._up(h, features, embedding)
        if self.settings.scale_by_sigma:
            h = h / self._sigma(timestep).to(h.dtype)[:, None, None, None]
        return h

    def _embedding(self, timestep: Tensor) -> Tensor | None:
        if self._dense is None:
            return None
        waves = (
            self._fourier[0](timestep)
            if self._fourier is not None
            else positional_embedding(timestep, self.settings.nf)
        )
        first, second = self._dense
        embedding: Tensor = second(F.silu(first(waves.to(first.weight.dtype))))
        return embedding

    def _sigma(self, timestep: Tensor) -> Tensor:
        return timestep if self._fourier is not None else self.sigmas[timestep.long()]
