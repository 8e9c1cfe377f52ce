"""Maps that project any image onto those of a prior, and leave these alone: f(f(x)) = f(x)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from invdiff.priors.subspace import SubspacePrior

__all__ = ["Idempotent", "LearnedProjector", "LinearProjector", "idempotence_error", "moved"]


@runtime_checkable
class Idempotent(Protocol):
    """A projection f onto the images of a prior, and a ``Denoiser`` that ignores its level.

    Attributes:
        data_range: Lowest and highest value of the images, in the units of x.
        image_shape: Trailing shape of x.
    """

    @property
    def data_range(self) -> tuple[float, float]: ...  # noqa: D102

    @property
    def image_shape(self) -> tuple[int, ...] | None: ...  # noqa: D102

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return f(x) whatever sigma is."""
        ...

    def project(self, x: Tensor) -> Tensor:
        """Return f(x) for x ``(*batch, *image_shape)``, in its shape."""
        ...


class LinearProjector:
    r"""The orthogonal projection onto an affine subspace, the ideal of a Gaussian that lies on it.

    .. math:: f(x) = m + B B^T (x - m) = \lim_{\sigma \to 0} D(x, \sigma)

    Args:
        prior: Any distribution on m + B z; only its subspace and its range are used.

    Attributes:
        offset: m, shape ``image_shape``.
        basis: B, shape ``(n, r)``.
        data_range: That of the prior.
        image_shape: Trailing shape of x.
    """

    def __init__(self, prior: SubspacePrior) -> None:
        self.offset, self.basis = prior.offset, prior.basis
        self.image_shape: tuple[int, ...] = prior.image_shape
        self.data_range = prior.data_range

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return f(x) whatever sigma is."""
        return self.project(x)

    def project(self, x: Tensor) -> Tensor:
        """Return f(x) for real x ``(*batch, *image_shape)``, in its shape and dtype.

        Raises:
            ValueError: Complex images, or images of another shape.
        """
        _check_images(x, self.image_shape, "LinearProjector")
        from_offset = (x.to(self.offset) - self.offset).flatten(x.ndim - self.offset.ndim)
        along = from_offset @ self.basis @ self.basis.mT
        return (along.reshape(x.shape) + self.offset).to(x)


class LearnedProjector(nn.Module):
    r"""A network that was trained to be idempotent, see ``train_idempotent``.

    .. math:: f(x) = x + g_\theta(x)

    Args:
        network: g, from ``(batch, *image_shape)`` to the same.
        image_shape: Trailing shape of x.
        data_range: Lowest and highest value of the images that it was trained on.

    Raises:
        ValueError: No axes of the image or an empty one, or a range that isn't one.
    """

    def __init__(
        self, network: nn.Module, image_shape: tuple[int, ...], data_range: tuple[float, float]
    ) -> None:
        super().__init__()
        if min(image_shape, default=0) < 1 or not data_range[0] < data_range[1]:
            raise ValueError(
                "LearnedProjector: expected an image_shape and data_range low < high, got "
                f"{tuple(image_shape)} and {data_range}"
            )
        self.network, self.image_shape, self.data_range = network, tuple(image_shape), data_range

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return f(x) whatever sigma is."""
        return self.project(x)

    def project(self, x: Tensor) -> Tensor:
        """Return f(x) for real x ``(*batch, *image_shape)``, in its shape and dtype.

        Raises:
            ValueError: Complex images, images of another shape, or a network that changes it.
        """
        _check_images(x, self.image_shape, "LearnedProjector")
        weight = next(self.network.parameters(), x)
        images = x.reshape(-1, *self.image_shape).to(weight.dtype)
        return moved(self.network, images).reshape(x.shape).to(x.dtype)


def moved(network: nn.Module, x: Tensor) -> Tensor:
    """Return f(x) = x + g(x) for a batch of images.

    Raises:
        ValueError: The network changes the shape, where a sum might be broadcast.
    """
    move: Tensor = network(x)
    if move.shape != x.shape:
        raise ValueError(
            f"projector: expected a network that keeps the shape {tuple(x.shape)}, it returns "
            f"{tuple(move.shape)}"
        )
    return x + move


def idempotence_error(projector: Idempotent, x: Tensor) -> Tensor:
    r"""Return :math:`\|f(f(x)) - f(x)\| / \sqrt{\dim}` of each image, shape ``batch``.

    Args:
        projector: f.
        x: ``(*batch, *image_shape)``.
    """
    with torch.no_grad():
        once = projector.project(x)
        error = projector.project(once) - once
    num_dims = len(projector.image_shape or x.shape[1:])
    return (error**2).flatten(x.ndim - num_dims).mean(-1).sqrt()


def _check_images(x: Tensor, shape: tuple[int, ...], who: str) -> None:
    start = x.ndim - len(shape)
    if start < 0 or x.shape[start:] != shape or not x.is_floating_point():
        raise ValueError(f"{who}: expected real images {shape}, got {x.dtype} {tuple(x.shape)}")
