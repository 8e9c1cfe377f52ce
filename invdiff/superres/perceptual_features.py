"""How far images are from each other in the features of the prior's own network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from invdiff.priors.denoiser import half_range
from invdiff.priors.pretrained import PretrainedPrior
from invdiff.superres.network_prior import ConditionedNetwork, SuperResolutionPrior

__all__ = ["FeatureDistance", "UNetEncoder", "map_distance"]

# constants of a channel as a share of the mean power of its level: dead channels tell nothing
_FLOOR = 1e-3
# keeps flat images finite; images and features are of order 1
_TINY = 1e-8


class FeatureDistance:
    r"""The distance of images in the features of a prior's encoder, after DISTS.

    .. math:: \rho(x, x^*) = \frac{1}{L + 1} \sum_{l=0}^{L} d\bigl(f_l(x), f_l(x^*)\bigr),
        \qquad f_0(x) = x

    with d of ``map_distance`` and :math:`f_l` the output of the l-th block of the UNet on the way
    down, which is called on the image as if it had a little noise. :cite:t:`ding2022` take a
    classifier of photographs and learn the weights; here the network has seen the kind of image
    in question, and the weights are equal. Zero for equal images and only for those, symmetric,
    and differentiable, also at equality. A super-resolution prior sees each image beside its own
    coarse version. Nothing is added to ``num_calls``: no image is made.

    Args:
        prior: A prior of one channel; images are in the units of its ``data_range`` and of any
            size that its poolings divide.
        structure: Weight of where the details of a texture lie, in (0, 1]: 1 asks for the very
            same noise, small values for noise of the same statistics.
        noise: Level at which the network is called, in half data ranges.

    Raises:
        ValueError: A weight or level out of range, or images of several channels.
        TypeError: Another kind of prior.
    """

    def __init__(
        self,
        prior: PretrainedPrior | SuperResolutionPrior,
        *,
        structure: float = 0.1,
        noise: float = 0.05,
    ) -> None:
        if not 0 < structure <= 1:
            raise ValueError(f"FeatureDistance: expected 0 < structure <= 1, got {structure}")
        if not noise > 0:
            raise ValueError(f"FeatureDistance: expected noise > 0, got {noise}")
        if not isinstance(prior, PretrainedPrior | SuperResolutionPrior):
            raise TypeError(f"FeatureDistance: no encoder is known in a {type(prior).__name__}")
        if isinstance(prior, PretrainedPrior) and len(prior.image_shape) != 2:
            raise ValueError(f"FeatureDistance: expected one channel, got {prior.image_shape}")
        self.prior, self.structure, self.noise = prior, structure, noise
        self._unit = half_range(prior)

    def __call__(self, image: Tensor, truth: Tensor) -> Tensor:
        """Return the distance of each pair, in the shape to which the batches broadcast."""
        levels = zip(self.features(image), self.features(truth), strict=True)
        distances = [map_distance(f, g, structure=self.structure) for f, g in levels]
        return torch.stack(distances).mean(0).to(image.dtype)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the image and its features, each ``(*batch, channel, rows, columns)``.

        Raises:
            ValueError: Complex images, fewer than two axes, or sides that don't fit the prior.
        """
        if image.ndim < 2 or image.is_complex():
            raise ValueError(
                f"FeatureDistance: expected real images (*batch, height, width), got "
                f"{image.dtype} {tuple(image.shape)}"
            )
        images = image.reshape(-1, 1, *image.shape[-2:]).float()
        size = self.prior.chunk_size or (1 if images.device.type == "cpu" else 64)
        chunks = [[part, *self._encoded(part)] for part in torch.split(images, size)]
        levels = [torch.cat(parts) for parts in zip(*chunks, strict=True)]
        return [level.reshape(*image.shape[:-2], *level.shape[1:]) for level in levels]

    def _encoded(self, images: Tensor) -> list[Tensor]:
        prior, encoder = self.prior, UNetEncoder(self.prior.network)
        sigma = torch.full_like(images[:, :, :1, :1], self.noise * self._unit)
        if isinstance(prior, SuperResolutionPrior):
            up = prior.center(prior.operator((images.shape[-2], images.shape[-1]))(images))
            network = ConditionedNetwork(encoder, up, prior.patch)
            prior.preconditioning.denoise(network, pixel_unshuffle(images - up, prior.patch), sigma)
        else:
            prior.preconditioning.denoise(lambda x, t: encoder(x, t)[0], images, sigma)
        return encoder.features


class UNetEncoder(nn.Module):
    """The way down of a ``UNet2DModel``, in the place of the network but without the way up.

    Args:
        network: A ``UNet2DModel`` that sees an image and a time only.

    Attributes:
        features: Outputs of the blocks at the last call, from fine to coarse, float32.

    Raises:
        ValueError: A network of classes, or whose blocks hand on the image itself.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        unet: Any = network
        if unet.class_embedding is not None or hasattr(unet.down_blocks[0], "skip_conv"):
            raise ValueError("UNetEncoder: expected a network of image and time only")
        self.network, self.features = network, list[Tensor]()

    def forward(self, x: Tensor, time: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """Fill ``features`` and return x, which stands for what the network would predict."""
        unet: Any = self.network
        dtype = next(unet.parameters()).dtype
        embedding = unet.time_embedding(unet.time_proj(time.expand(len(x))).to(dtype))
        hidden = unet.conv_in((2 * x - 1 if unet.config.center_input_sample else x).to(dtype))
        self.features = []
        for block in unet.down_blocks:
            hidden, _ = block(hidden_states=hidden, temb=embedding)
            self.features.append(hidden.float())
        return (x[:, : unet.config.out_channels],)


def map_distance(f: Tensor, g: Tensor, *, structure: float) -> Tensor:
    r"""Return how far two feature maps are from each other in mean, spread and structure.

    .. math:: d = \frac{1}{C} \sum_{c=1}^{C}
        \frac{(\mu_f - \mu_g)^2}{\overline{f^2} + \overline{g^2}}
        + \frac{(1 - w)\, (s_f - s_g)^2 + w\, (s_f^2 + s_g^2 - 2 s_{fg})}{s_f^2 + s_g^2}

    with the means, deviations and covariance of a channel over the map. At w = 1 the second term
    is one minus the structure term of :cite:t:`ding2022`; what two draws of the same texture
    differ in, the place of its details, counts by w only. Symmetric, and 0 for equal maps
    only; a small floor under the denominators keeps dead channels from counting.

    Args:
        f: Features, ``(*batch, channel, rows, columns)``.
        g: Of the other image; the batches broadcast.
        structure: w, in (0, 1].
    """
    axes = (-2, -1)
    mean_f, mean_g = f.mean(axes, keepdim=True), g.mean(axes, keepdim=True)
    var_f, var_g = (f - mean_f).square().mean(axes), (g - mean_g).square().mean(axes)
    power = var_f + var_g + (mean_f.square() + mean_g.square()).sum(axes)
    spread = ((var_f + _TINY).sqrt() - (var_g + _TINY).sqrt()).square()
    # the mean square of the centred difference, which unlike its expansion is 0 for equal maps
    difference = ((f - mean_f) - (g - mean_g)).square().mean(axes)
    level = (mean_f - mean_g).square().sum(axes) / _floored(power)
    detail = ((1 - structure) * spread + structure * difference) / _floored(var_f + var_g)
    return (level + detail).mean(-1)


def _floored(power: Tensor) -> Tensor:
    return power + _FLOOR * power.mean(-1, keepdim=True) + _TINY
