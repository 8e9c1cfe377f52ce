"""Non-uniform transforms of many weighted images at once, by gridding."""

from __future__ import annotations

import abc
import math
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from operators.mri.kaiser_bessel import apodisation, design_kernels, interpolation_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import scipy.sparse as sp

# entries of oversampled k-space that are held at once: larger ones leave the processor's cache
CACHE_ENTRIES = 2**20
# images transformed together even where they leave it, as the matrix is read for each group
_LEAST_COLUMNS = 4
_INT32_LIMIT = 2**31 - 1


class NonUniformTransform(nn.Module, abc.ABC):
    """The pair of maps between weighted images and samples; carries no gradients itself.

    Args:
        image_shape: Pixels along each axis.
        num_samples: m.
        num_entries: Complex numbers that one image takes while it is transformed.

    Attributes:
        scaling: Real (*image_shape): what the weights given to encode and decode must contain.
    """

    scaling: Tensor

    def __init__(self, image_shape: Sequence[int], num_samples: int, num_entries: int) -> None:
        super().__init__()
        self.image_shape, self.num_samples = tuple(image_shape), num_samples
        self._num_entries = num_entries

    @abc.abstractmethod
    def _encode(self, x: Tensor, weights: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _decode(self, y: Tensor, weights: Tensor) -> Tensor: ...

    def encode(self, x: Tensor, weights: Tensor) -> Tensor:
        """Map images (b, *image_shape), times weights (*image_shape, c), to samples (b, c, m)."""
        num_images, num_weights = x.shape[0], weights.shape[-1]
        y = x.new_empty(num_images, num_weights, self.num_samples)
        for rows, columns in self._groups(num_images, num_weights):
            y[rows, columns] = self._encode(x[rows], weights[..., columns])
        return y

    def decode(self, y: Tensor, weights: Tensor) -> Tensor:
        """Map samples (b, c, m) to images (b, *image_shape): the adjoint of encode."""
        num_images, num_weights = y.shape[0], weights.shape[-1]
        x = y.new_zeros(num_images, *self.image_shape)
        for rows, columns in self._groups(num_images, num_weights):
            x[rows] += self._decode(y[rows, columns], weights[..., columns])
        return x

    def _groups(self, num_images: int, num_weights: int) -> Iterator[tuple[slice, slice]]:
        columns = min(num_weights, max(_LEAST_COLUMNS, CACHE_ENTRIES // self._num_entries))
        rows = max(1, CACHE_ENTRIES // (self._num_entries * columns))
        for i in range(0, num_images, rows):
            for j in range(0, num_weights, columns):
                yield slice(i, i + rows), slice(j, j + columns)


class GriddedTransform(NonUniformTransform):
    """FFT on an oversampled grid and a sparse interpolation, kept in CSR both ways.

    Images and weights lie innermost, so that the matrix is read once for all of them.

    Args:
        trajectory: (m, ndim) in cycles per pixel.
        image_shape: Pixels along each axis.
        tolerance: Relative error, as :func:`operators.mri.kaiser_bessel.design_kernels`.
        oversampling: As there.
    """

    def __init__(
        self,
        trajectory: Tensor,
        image_shape: Sequence[int],
        tolerance: float,
        oversampling: float | None = None,
    ) -> None:
        kernels = design_kernels(image_shape, tolerance, oversampling)
        self._grid = tuple(kernel.grid_size for kernel in kernels)
        super().__init__(image_shape, trajectory.shape[0], math.prod(self._grid))
        self._window = tuple(
            slice(g // 2 - n // 2, g // 2 - n // 2 + n)
            for g, n in zip(self._grid, image_shape, strict=True)
        )
        device = trajectory.device
        scaling = apodisation(kernels, device) / math.sqrt(math.prod(image_shape))
        self.register_buffer("scaling", scaling)
        matrix = interpolation_matrix(trajectory, kernels, centred=True)
        self._register_csr("rows", matrix, device)
        self._register_csr("columns", matrix.T.tocsr(), device)

    def _register_csr(self, name: str, matrix: sp.csr_matrix, device: torch.device) -> None:
        # MKL multiplies with 32-bit indices; 64-bit ones would be converted at every call
        index = torch.int32 if matrix.nnz < _INT32_LIMIT else torch.int64
        parts = {
            "start": torch.from_numpy(matrix.indptr).to(index),
            "index": torch.from_numpy(matrix.indices).to(index),
            "value": torch.from_numpy(matrix.data),
        }
        for part, tensor in parts.items():
            self.register_buffer(f"_{name}_{part}", tensor.to(device))

    def _multiply(self, name: str, v: Tensor, num_out: int) -> Tensor:
        """Apply the real matrix to complex v (num_in, ...) as to twice as many real columns."""
        start, index, value = (getattr(self, f"_{name}_{k}") for k in ("start", "index", "value"))
        columns = torch.view_as_real(v.contiguous()).flatten(1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            matrix = torch.sparse_csr_tensor(
                start, index, value.to(columns.dtype), (num_out, v.shape[0]), check_invariants=False
            )
        return torch.view_as_complex((matrix @ columns).reshape(num_out, *v.shape[1:], 2))

    def _encode(self, x: Tensor, weights: Tensor) -> Tensor:
        dims = tuple(range(len(self._grid)))
        grid = x.new_zeros(*self._grid, x.shape[0], weights.shape[-1])
        torch.mul(x.movedim(0, -1).unsqueeze(-1), weights.unsqueeze(-2), out=grid[self._window])
        spectrum = torch.fft.fftn(grid, dim=dims)
        return self._multiply("rows", spectrum.flatten(0, -3), self.num_samples).permute(1, 2, 0)

    def _decode(self, y: Tensor, weights: Tensor) -> Tensor:
        dims = tuple(range(len(self._grid)))
        spectrum = self._multiply("columns", y.permute(2, 0, 1), math.prod(self._grid))
        spectrum = spectrum.reshape(*self._grid, *y.shape[:2])
        images = torch.fft.ifftn(spectrum, dim=dims, norm="forward")[self._window]
        return (images * weights.conj().unsqueeze(-2)).sum(-1).movedim(-1, 0)
