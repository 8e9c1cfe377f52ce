"""One list of small operators; every law is checked on every one of them."""

from __future__ import annotations

import scipy.sparse
import torch
from torch import Tensor

from operators import (
    Blur,
    CartesianMRI,
    Composition,
    Diagonal,
    Downsample,
    DynamicMRI,
    FanBeam2D,
    FanGeometry,
    FiniteDifferences,
    Identity,
    ImageGrid,
    LinearOperator,
    Mask,
    ParallelBeam2D,
    ParallelGeometry,
    RealToComplex,
    ReflectiveBlur,
    Scaled,
    SingleCoilDynamicMRI,
    SingleCoilMRI,
    SparseOperator,
    Stack,
    Sum,
    birdcage_maps,
    cartesian_lines,
    gaussian_psf,
)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _mask(*shape: int, share: float = 0.5) -> Tensor:
    return torch.rand(shape, generator=_generator(3)) < share


def _psf(*shape: int) -> Tensor:
    return torch.rand(shape, generator=_generator(4), dtype=torch.float64) - 0.2


def _maps(*shape: int, coils: int = 3) -> Tensor:
    return birdcage_maps(shape, coils).to(torch.complex128)


def _lines(*shape: int, axis: int) -> Tensor:
    return cartesian_lines(shape, 2, 0.2, axis=axis, generator=_generator(5))


def _weights(*shape: int) -> Tensor:
    weights = torch.randn(shape, generator=_generator(6), dtype=torch.complex128)
    weights[..., 0] = 0
    return weights


def _offset_parallel(grid: ImageGrid) -> ParallelBeam2D:
    return ParallelBeam2D(grid, ParallelGeometry((0.0, 0.4, 2.0), 7, 1.1, 0.3))


def _fan(grid: ImageGrid, num_views: int) -> FanBeam2D:
    distances = {"source_to_axis": 9.0, "source_to_detector": 14.0}
    return FanBeam2D(grid, FanGeometry.covering(grid, num_views, **distances))


def _sparse(*shape: int) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix((_psf(*shape) * _mask(*shape)).numpy())


def instances() -> dict[str, LinearOperator]:
    """Return new operators by name; a class may appear more than once."""
    blur = Blur(_psf(3, 2), (5, 6))
    lines = CartesianMRI(_lines(6, 8, axis=-1), _maps(6, 8))
    grid = ImageGrid((5, 5))
    return {
        "identity": Identity((4, 3)),
        "identity-complex": Identity((4,), complex_valued=True),
        "real-to-complex": RealToComplex((3, 4)),
        "diagonal": Diagonal(_weights(3, 4).real),
        "diagonal-complex": Diagonal(_weights(3, 4)),
        "mask": Mask(_mask(4, 5)),
        "mask-3d-complex": Mask(_mask(3, 2, 4), complex_valued=True),
        "blur-odd": Blur(_psf(3, 3), (5, 7)),
        "blur-even": Blur(_psf(2, 4), (4, 6)),
        "blur-1d": Blur(_psf(3), (6,)),
        "blur-3d": Blur(_psf(2, 3, 2), (4, 3, 5)),
        "blur-gaussian": Blur(gaussian_psf(0.6, 5), (8, 5)),
        "reflective-odd": ReflectiveBlur(_psf(3, 5), (5, 6)),
        "reflective-even": ReflectiveBlur(_psf(4, 2), (4, 5)),
        "reflective-3d": ReflectiveBlur(_psf(3, 1, 2), (3, 4, 5)),
        "downsample-bicubic": Downsample((8, 12), 4),
        "downsample-lanczos": Downsample((6, 9), 3, "lanczos3"),
        "downsample-slices": Downsample((6, 4, 3), (2, 1, 1), "box"),
        "differences": FiniteDifferences((3, 4, 5), 2),
        "differences-complex": FiniteDifferences((4, 1), complex_valued=True),
        "mri-columns": lines,
        "mri-rows": CartesianMRI(_lines(7, 5, axis=0), _maps(7, 5)),
        "mri-points": CartesianMRI(_mask(6, 5), _maps(6, 5)),
        "mri-full": CartesianMRI(_mask(5, 4, share=1.1), _maps(5, 4, coils=1)),
        "mri-one-coil": CartesianMRI(_mask(4, 6)),
        "mri-3d-points": CartesianMRI(_mask(3, 4, 3), _maps(3, 4, 3)),
        "mri-3d-depth-readout": CartesianMRI(_mask(4, 5), _maps(2, 4, 5)),
        "mri-3d-middle-readout": CartesianMRI(_mask(3, 1, 4).expand(3, 2, 4), _maps(3, 2, 4)),
        "mri-3d-two-readouts": CartesianMRI(_lines(4, 3, axis=0)[:, None].expand(4, 2, 3)),
        "dynamic-points": DynamicMRI(_mask(3, 4, 3), _maps(4, 3)),
        "dynamic-columns": DynamicMRI(_mask(3, 1, 5).expand(3, 2, 5), _maps(2, 5)),
        "dynamic-rows": DynamicMRI(_mask(3, 4, 1).expand(3, 4, 2), _maps(4, 2)),
        "dynamic-3d": DynamicMRI(_mask(2, 3, 4), _maps(2, 3, 4, coils=2)),
        "single-coil-dynamic": SingleCoilDynamicMRI(_mask(2, 4, 1).expand(2, 4, 3)),
        "single-coil-3d": SingleCoilMRI(_mask(3, 2, 4)),
        "single-coil-lines": SingleCoilMRI(_lines(6, 5, axis=-2)),
        "single-coil-points": SingleCoilMRI(_mask(5, 6)),
        "ct-parallel": ParallelBeam2D(grid, ParallelGeometry.covering(grid, 5)),
        "ct-fan": _fan(grid, 4),
        "ct-parallel-anisotropic": _offset_parallel(ImageGrid((3, 6), (2.0, 0.5))),
        "ct-fan-anisotropic": _fan(ImageGrid((6, 3), (0.7, 1.6)), 3),
        "sparse": SparseOperator(_sparse(7, 6), (2, 3), (7,)),
        "composition": Composition(Downsample((4, 6), 2), ReflectiveBlur(_psf(3, 3), (4, 6))),
        "composition-real-mri": lines @ RealToComplex((6, 8)),
        "sum": Sum(blur, Identity((5, 6))),
        "scaled": Scaled(-0.5, blur),
        "stack": Stack([Mask(_mask(4, 5)), FiniteDifferences((4, 5)), Identity((4, 5))]),
    }
