"""A prior of real images for complex ones, whose imaginary part is small."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser

__all__ = ["ComplexPrior"]


class ComplexPrior:
    r"""x = u + i v, u from a prior of real images and v a Gaussian of mean 0, independent.

    .. math:: D(z, \sigma) = D_u(\operatorname{Re} z, \sigma)
        + i\, \frac{\tau^2}{\tau^2 + \sigma^2} \operatorname{Im} z

    This is the exact posterior mean of that model, the noise having standard deviation sigma in
    the real and in the imaginary part. MR images follow it once their smooth phase is part of the
    coil maps: what is left in v is the phase that is not smooth, such as that of fat.

    Args:
        real: The denoiser of u.
        imaginary_std: tau, in the units of x: a positive number, or one per pixel, which may be 0
            where x is known to be real; of a volume also ``(rows, columns)``, for all slices.

    Attributes:
        data_range: That of u.
        image_shape: That of u.

    Raises:
        ValueError: tau is negative, not finite, or of another shape.
    """

    def __init__(self, real: Denoiser, imaginary_std: Tensor | float) -> None:
        std = torch.as_tensor(imaginary_std)
        if not (std.isfinite().all() and (std >= 0).all()):
            raise ValueError("ComplexPrior: imaginary_std must be finite and not negative")
        shape = real.image_shape
        if std.ndim and shape is not None and tuple(std.shape) not in (shape, shape[-2:]):
            raise ValueError(
                f"ComplexPrior: expected imaginary_std of shape {shape} or a number, "
                f"got {tuple(std.shape)}"
            )
        self.real, self._variance = real, std**2
        self.data_range, self.image_shape = real.data_range, real.image_shape

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean for complex x ``(*batch, *image)``; sigma is 0-dimensional or ``batch``.

        Raises:
            ValueError: x is real.
        """
        if not x.is_complex():
            raise ValueError(f"ComplexPrior: expected complex images, got {x.dtype}")
        mean = self.real(x.real.contiguous(), sigma)
        level = expand_right(sigma, x.ndim - sigma.ndim)
        added, own = level.to(mean) ** 2, self._variance.to(mean)
        # where both are 0 the imaginary part is known to be 0
        share = torch.where(own > 0, own / (own + added), 0.0)
        return torch.complex(mean, share * x.imag)
