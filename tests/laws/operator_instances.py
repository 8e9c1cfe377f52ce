"""One list of small operators; every law is checked on every one of them."""

from __future__ import annotations

import os
from typing import Any

import scipy.sparse
import torch
from torch import Tensor

from operators import (
    NUFFT,
    Blur,
    CartesianMRI,
    Composition,
    ConeBeam3D,
    DetectorShift,
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
    Matrix,
    MatrixFreeBeam2D,
    NonCartesianMRI,
    OffResonanceMRI,
    ParallelBeam2D,
    ParallelBeam3D,
    ParallelGeometry,
    RandomProjection,
    RealToComplex,
    ReflectiveBlur,
    Resample,
    Scaled,
    SingleCoilDynamicMRI,
    SingleCoilMRI,
    SliceStack,
    SpaceVaryingBlur,
    SparseOperator,
    Stack,
    StructuredRandomProjection,
    Sum,
    ToeplitzNormal,
    VectorBeam2D,
    VolumeGrid,
    VolumeProjector,
    Whitening,
    birdcage_maps,
    cartesian_lines,
    gaussian_psf,
    interpolation_weights,
)
from tests.operators.volume_scans import WrittenOut, cone_scan, parallel_scan


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


def _points(number: int, ndim: int) -> Tensor:
    return torch.rand(number, ndim, generator=_generator(7), dtype=torch.float64) - 0.5


def _off_resonance(*shape: int, num_segments: int, **options: object) -> OffResonanceMRI:
    field = 40 * torch.randn(shape, generator=_generator(8), dtype=torch.float64)
    times = torch.linspace(0.001, 0.02, 9, dtype=torch.float64)
    return OffResonanceMRI(_points(9, len(shape)), field, times, num_segments, **options)


def _offset_parallel(grid: ImageGrid) -> ParallelBeam2D:
    return ParallelBeam2D(grid, ParallelGeometry((0.0, 0.4, 2.0), 7, 1.1, 0.3))


def _fan(grid: ImageGrid, num_views: int, **detector: Any) -> FanBeam2D:
    distances = {"source_to_axis": 9.0, "source_to_detector": 14.0}
    return FanBeam2D(grid, FanGeometry.covering(grid, num_views, **distances, **detector))


def _vectors(projector: ParallelBeam2D | FanBeam2D) -> VectorBeam2D:
    return VectorBeam2D(projector.grid, projector.geometry.vectors())


def _matrix_free_fan(grid: ImageGrid) -> MatrixFreeBeam2D:
    distances = {"source_to_axis": 6.0, "source_to_detector": 9.0}
    operator = MatrixFreeBeam2D(grid, FanGeometry((0.3, 2.0), 3, 1.9, 0.1, **distances))
    # interpreted where there is no GPU: see conftest
    return operator if os.environ["TRITON_INTERPRET"] == "1" else operator.to("cuda")


def _sparse(*shape: int) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix((_psf(*shape) * _mask(*shape)).numpy())


def _space_varying(boundary: str) -> SpaceVaryingBlur:
    weights = interpolation_weights([[1.0, 3.0], [0.5, 2.0, 4.0]], (5, 6))
    return SpaceVaryingBlur(_psf(6, 3, 2), weights, boundary)


def _covariance(size: int) -> Tensor:
    factor = torch.randn(size, size, generator=_generator(7), dtype=torch.complex128)
    return factor @ factor.mH + torch.eye(size)


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
        "space-varying-circular": _space_varying("circular"),
        "space-varying-reflective": _space_varying("reflective"),
        "space-varying-3d": SpaceVaryingBlur(_psf(2, 2, 3, 1), _psf(2, 3, 4, 2), "reflective"),
        "resample-down": Resample((7, 9), (5, 4)),
        "resample-up": Resample((4, 5), (7, 6), "lanczos3"),
        "resample-mixed": Resample((5, 3, 6), (3, 5, 6), "linear"),
        "resample-area": Resample((7, 4), (5, 6), "box"),
        "matrix": Matrix(torch.randn(5, 12, generator=_generator(5)), (3, 4)),
        "matrix-tall": Matrix(torch.randn(6, 4, generator=_generator(5)), out_shape=(2, 3)),
        "matrix-complex": Matrix(
            torch.randn(5, 12, generator=_generator(5), dtype=torch.complex128), (3, 4)
        ),
        "random-projection": RandomProjection((3, 4), 7, generator=_generator(8)),
        "structured-projection": StructuredRandomProjection((4, 5), 9, generator=_generator(9)),
        "structured-projection-odd": StructuredRandomProjection((7,), 7, generator=_generator(9)),
        "structured-projection-complex": StructuredRandomProjection(
            (3, 5), 8, generator=_generator(9), complex_valued=True
        ),
        "whitening": Whitening(_covariance(3), (3, 5), complex_valued=True),
        "whitening-real": Whitening(_covariance(4).real, (2, 4), -1),
        "whitening-real-of-complex": Whitening(
            _covariance(3).real, (3, 2, 2), -3, complex_valued=True
        ),
        "differences": FiniteDifferences((3, 4, 5), 2),
        "differences-complex": FiniteDifferences((4, 1), complex_valued=True),
        "differences-oblong": FiniteDifferences((2, 3, 4), spacing=(3.0, 0.5, 0.7)),
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
        "nufft-1d": NUFFT(_points(7, 1), (6,)),
        "nufft-2d": NUFFT(_points(9, 2), (4, 5), tolerance=1e-3),
        "nufft-3d": NUFFT(_points(8, 3), (3, 4, 2), tolerance=1e-9),
        "nufft-finufft": NUFFT(_points(9, 2), (4, 5), backend="finufft"),
        "mri-radial": NonCartesianMRI(_points(9, 2), (5, 4), _maps(5, 4)),
        "mri-radial-one-coil": NonCartesianMRI(_points(7, 3), (3, 2, 4), tolerance=1e-2),
        # the convolution is the normal operator as far as the transform is exact
        "mri-toeplitz": NonCartesianMRI(
            _points(9, 2), (5, 4), _maps(5, 4), tolerance=1e-13, toeplitz=True
        ),
        "mri-finufft": NonCartesianMRI(_points(8, 2), (3, 4), _maps(3, 4), backend="finufft"),
        "mri-off-resonance": _off_resonance(4, 5, num_segments=4, maps=_maps(4, 5)),
        "mri-off-resonance-3d": _off_resonance(2, 3, 4, num_segments=1),
        "toeplitz": ToeplitzNormal(_points(9, 2), (4, 5), weights=_weights(3, 3).real),
        "toeplitz-coils": ToeplitzNormal(_points(8, 2), (3, 4), _maps(3, 4)),
        "ct-parallel": ParallelBeam2D(grid, ParallelGeometry.covering(grid, 5)),
        "ct-fan": _fan(grid, 4),
        "ct-parallel-anisotropic": _offset_parallel(ImageGrid((3, 6), (2.0, 0.5))),
        "ct-fan-anisotropic": _fan(ImageGrid((6, 3), (0.7, 1.6)), 3),
        "ct-fan-curved": _fan(ImageGrid((4, 5)), 3, detector="curved"),
        "ct-fan-tilted": _fan(ImageGrid((4, 5)), 3, detector_tilt=0.2),
        "ct-vectors-parallel": _vectors(_offset_parallel(ImageGrid((4, 3)))),
        "ct-vectors-fan": _vectors(_fan(grid, 3)),
        "ct-fan-matrix-free": _matrix_free_fan(ImageGrid((2, 3), (1.2, 0.9))),
        "detector-shift": DetectorShift((3, 7), 0.8, 1.3),
        "detector-shift-whole": DetectorShift((2, 2, 4), -1.0, 0.5),
        "ct-parallel-half": ParallelBeam2D(
            grid, ParallelGeometry.covering(grid, 5), storage=torch.float16
        ),
        "ct-fan-bfloat": FanBeam2D(grid, _fan(grid, 4).geometry, storage=torch.bfloat16),
        "ct-parallel-3d": ParallelBeam3D(
            VolumeGrid((3, 4, 5)), WrittenOut(parallel_scan((0.0, 0.9, 2.2), (4, 6)))
        ),
        "ct-parallel-3d-tilted": VolumeProjector(
            VolumeGrid((4, 3, 3), (0.5, 1.0, 1.5)), parallel_scan((0.3, 2.0), (5, 4), tilt=2.5)
        ),
        "ct-parallel-3d-one-slice": VolumeProjector(
            VolumeGrid((1, 5, 4)), parallel_scan((0.0, 0.7), (1, 6))
        ),
        "ct-cone": ConeBeam3D(
            VolumeGrid((3, 5, 4)),
            WrittenOut(cone_scan((0.0, 1.0, 4.0), (4, 5), (1.2, 1.4), (9.0, 14.0))),
        ),
        "ct-helix": VolumeProjector(
            VolumeGrid((5, 3, 3), (1.0, 0.7, 1.2)),
            cone_scan((0.0, 2.0, 5.0, 8.0), (3, 4), (1.0, 1.5), (6.0, 10.0), pitch=2.0),
        ),
        "sparse": SparseOperator(_sparse(7, 6), (2, 3), (7,)),
        "composition": Composition(Downsample((4, 6), 2), ReflectiveBlur(_psf(3, 3), (4, 6))),
        "composition-real-mri": lines @ RealToComplex((6, 8)),
        "sum": Sum(blur, Identity((5, 6))),
        "scaled": Scaled(-0.5, blur),
        "slice-stack": SliceStack(blur, 3),
        "stack": Stack([Mask(_mask(4, 5)), FiniteDifferences((4, 5)), Identity((4, 5))]),
    }
