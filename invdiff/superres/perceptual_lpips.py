"""The learned perceptual metric of photographs, where its weights are already on this machine."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

__all__ = ["LPIPS", "Backbone", "lpips_if_present"]

Backbone = Literal["alex", "vgg"]

_BACKBONES = {"alex": "AlexNet_Weights", "vgg": "VGG16_Weights"}


class LPIPS:
    """A ``Metric`` of a network that compares colour photographs of [-1, 1].

    Grey images enter as three equal channels. The network has seen photographs, no scans: see
    ``FeatureDistance`` for a metric that has :cite:p:`zhang2018`.

    Args:
        network: From two batches ``(batch, 3, height, width)`` to one distance for each pair.
        data_range: Lowest and highest value of the images, which become -1 and 1.

    Raises:
        ValueError: ``low < high`` doesn't hold.
    """

    def __init__(
        self, network: Callable[[Tensor, Tensor], Tensor], data_range: tuple[float, float]
    ) -> None:
        low, high = data_range
        if not low < high:
            raise ValueError(f"LPIPS: expected low < high, got {low} and {high}")
        self.network, self.data_range = network, data_range

    def __call__(self, image: Tensor, truth: Tensor) -> Tensor:
        """Return the distance of each pair of ``(*batch, height, width)``, which broadcast."""
        common = torch.broadcast_shapes(image.shape, truth.shape)  # type: ignore[no-untyped-call]
        images, truths = (self._colour(v.expand(common)) for v in (image, truth))
        if isinstance(self.network, nn.Module):
            self.network.to(images.device)
        return self.network(images, truths).reshape(common[:-2]).to(image.dtype)

    def _colour(self, image: Tensor) -> Tensor:
        low, high = self.data_range
        scaled = 2 * (image.float() - low) / (high - low) - 1
        return scaled.reshape(-1, 1, *image.shape[-2:]).expand(-1, 3, -1, -1)


def lpips_if_present(backbone: Backbone = "alex", *, data_range: tuple[float, float]) -> LPIPS:
    """Return the metric if torchvision and the weights of its backbone are installed.

    The linear weights come with torchmetrics. Nothing is ever downloaded.

    Args:
        backbone: Which network's features.
        data_range: Lowest and highest value of the images.

    Raises:
        ValueError: An unknown backbone, or what is missing and where it belongs.
    """
    if backbone not in get_args(Backbone):
        raise ValueError(f"LPIPS: expected one of {', '.join(_BACKBONES)}, got {backbone!r}")
    if find_spec("torchvision") is None:
        raise ValueError("LPIPS: needs the package torchvision, which is not installed")
    models = import_module("torchvision.models")
    # the file that torchvision would download if it weren't there
    name = Path(models.get_weight(f"{_BACKBONES[backbone]}.DEFAULT").url).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        raise ValueError(f"LPIPS: no weights; place torchvision's file {name} at {path}")
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LPIPS(LearnedPerceptualImagePatchSimilarity(net_type=backbone).net, data_range)
