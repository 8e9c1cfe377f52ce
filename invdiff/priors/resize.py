"""The same network at another image size."""

from __future__ import annotations

from invdiff.priors.denoiser import Denoiser, Rescaled
from invdiff.priors.experts import RoutedPrior
from invdiff.priors.pretrained import PretrainedPrior

__all__ = ["resized"]


def resized(denoiser: Denoiser, size: tuple[int, int]) -> Denoiser:
    """Return a network's denoiser for images of another size, which shares its weights.

    Calls are counted by each size for itself.

    Args:
        denoiser: A ``PretrainedPrior`` of one channel, a ``RoutedPrior`` of such, one of these in
            other units, or a prior that takes any shape.
        size: Rows and columns, which the poolings of the network divide.

    Raises:
        ValueError: A prior whose size is part of it, or of several channels.
    """
    if denoiser.image_shape is None:
        return denoiser
    if isinstance(denoiser, Rescaled):
        return Rescaled(resized(denoiser.denoiser, size), *denoiser.data_range)
    if isinstance(denoiser, RoutedPrior):
        experts = [resized(expert, size) for expert in denoiser.experts]
        return RoutedPrior(experts, denoiser.router, top=denoiser.top, info=denoiser.info)
    if not isinstance(denoiser, PretrainedPrior) or len(denoiser.image_shape) != 2:
        raise ValueError(
            f"resized: expected a network of one channel, got a {type(denoiser).__name__} of "
            f"images of {denoiser.image_shape}"
        )
    return PretrainedPrior(
        denoiser.network,
        denoiser.preconditioning,
        data_range=denoiser.data_range,
        chunk_size=denoiser.chunk_size,
        info=denoiser.info,
        size=size,
        label=denoiser.label,
        guidance=denoiser.guidance,
    )
