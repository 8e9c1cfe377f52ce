"""What a network of another project is to a prior."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["ImageNetwork", "NetworkConfig"]


@dataclass(frozen=True)
class NetworkConfig:
    """Shapes of a network, by the names of diffusers.

    Args:
        sample_size: Rows and columns of its images.
        in_channels: Channels of an image.
        out_channels: Channels of the output; twice as many where it also learns a variance.
        num_classes: Labels that it is told; None for a network without.
    """

    sample_size: int
    in_channels: int
    out_channels: int
    num_classes: int | None = None


class ImageNetwork(nn.Module, abc.ABC):
    """A network that is called as a ``UNet2DModel`` is.

    Its parameters have the names and shapes of the checkpoints of the project that it is from.

    Args:
        config: Its shapes.

    Attributes:
        accepts_no_label: Whether the label after the last, ``num_classes``, stands for none.
    """

    accepts_no_label = False

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        class_labels: Tensor | None = None,
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """Return the output ``(batch, out_channels, height, width)`` as the only entry.

        Args:
            sample: ``(batch, in_channels, height, width)``.
            timestep: ``(batch,)``, in the convention of the network.
            class_labels: ``(batch,)`` int64, of a network with classes.
            return_dict: Must be False; it is there for those who call networks of diffusers.

        Raises:
            ValueError: Labels that the network needs or doesn't take, or a size that it can't.
        """
        return (self._output(sample, timestep, class_labels),)

    @abc.abstractmethod
    def _output(self, sample: Tensor, timestep: Tensor, class_labels: Tensor | None) -> Tensor: ...
