"""Other packages behind one interface; each is imported only when its turn comes."""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from invdiff.bench.contender import Contender, Unavailable
from invdiff.bench.setups import BlurSetup, MRISetup, ScanSetup
from operators import ConeGeometry, FanGeometry, VolumeGrid, to_astra_vectors

__all__ = [
    "astra_cone",
    "astra_scan",
    "deepinv_blur",
    "deepinv_mri",
    "deepinv_scan",
    "imported",
    "sigpy_mri",
]


def imported(name: str) -> Any:
    """Import a peer, or say that it is not here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        raise Unavailable("not installed") from None


def astra_scan(setup: ScanSetup, model: Literal["linear", "strip", "line"]) -> Contender:
    """ASTRA's projectors on a CPU; the batch is a loop, as it takes one image at a time."""
    if setup.x.device.type != "cpu":
        raise Unavailable("CPU model")
    astra = imported("astra")
    (rows, columns), pixel = setup.grid.shape, setup.grid.pixel_size[1]
    volume = astra.create_vol_geom(rows, columns)
    geometry = setup.geometry
    kind: str = model
    angles = np.asarray(geometry.angles)
    spacing = geometry.detector_spacing / pixel
    if isinstance(geometry, FanGeometry):
        kind = f"{model}_fanflat"
        near = geometry.source_to_axis / pixel
        far = geometry.source_to_detector / pixel - near
        scan = astra.create_proj_geom("fanflat", spacing, geometry.num_detectors, angles, near, far)
    else:
        scan = astra.create_proj_geom("parallel", spacing, geometry.num_detectors, angles)
    projector = astra.OpTomo(astra.create_projector(kind, scan, volume))
    return Contender.of(
        f"ASTRA {model}",
        lambda x: np.stack([projector.FP(image) for image in x]),
        lambda y: np.stack([projector.BP(sinogram) for sinogram in y]),
        setup.x.numpy(),
    )


def astra_cone(grid: VolumeGrid, geometry: ConeGeometry, x: Tensor) -> Contender:
    """ASTRA's cone beam on a GPU, whose back-projector is not the adjoint of its projector."""
    if x.device.type != "cuda":
        raise Unavailable("needs CUDA")
    astra = imported("astra")
    (slices, rows, columns), size = grid.shape, grid.voxel_size
    if len(set(size)) != 1:
        raise Unavailable("cubic voxels only")
    volume = astra.create_vol_geom(rows, columns, slices)
    vectors = to_astra_vectors(geometry) / size[0]
    scan = astra.create_proj_geom("cone_vec", *geometry.detector_shape, vectors)
    projector = astra.OpTomo(astra.create_projector("cuda3d", scan, volume))
    return Contender.of("ASTRA CUDA", projector.FP, projector.BP, x.cpu().numpy())


def deepinv_scan(setup: ScanSetup) -> Contender:
    """Use deepinv's Tomography, the adjoint by autograd (its default)."""
    deepinv = imported("deepinv")
    geometry, width = setup.geometry, setup.grid.shape[1]
    options: dict[str, Any] = {}
    if isinstance(geometry, FanGeometry):
        pixel = setup.grid.pixel_size[1]
        options["fan_beam"] = True
        # any one unit of length: only ratios matter
        options["fan_parameters"] = {
            "pixel_spacing": pixel,
            "source_radius": geometry.source_to_axis,
            "detector_radius": geometry.source_to_detector - geometry.source_to_axis,
            "n_detector_pixels": geometry.num_detectors,
            "detector_spacing": geometry.detector_spacing,
        }
    physics = deepinv.physics.Tomography(
        angles=torch.tensor(geometry.angles) * (180 / math.pi),
        img_width=width,
        circle=False,
        normalize=False,
        device=setup.x.device,
        **options,
    )
    return Contender.of("deepinv", physics.A, physics.A_adjoint, setup.x.unsqueeze(1))


def deepinv_mri(setup: MRISetup) -> Contender:
    """Use deepinv's MultiCoilMRI, images as two real channels."""
    deepinv = imported("deepinv")
    physics = deepinv.physics.MultiCoilMRI(
        mask=setup.mask.float(),
        coil_maps=setup.maps.unsqueeze(0),
        img_size=(2, *setup.mask.shape),
        device=setup.x.device,
    )
    x = torch.view_as_real(setup.x).movedim(-1, 1).contiguous()
    return Contender.of("deepinv", physics.A, physics.A_adjoint, x)


def deepinv_blur(setup: BlurSetup) -> Contender:
    """Use deepinv's BlurFFT."""
    deepinv = imported("deepinv")
    kernel = setup.psf.to(setup.x).expand(1, 1, *setup.psf.shape)
    physics = deepinv.physics.BlurFFT(
        img_size=tuple(setup.x.shape[1:]), filter=kernel, device=setup.x.device
    )
    return Contender.of("deepinv", physics.A, physics.A_adjoint, setup.x)


def sigpy_mri(setup: MRISetup) -> Contender:
    """Chain sigpy's linear operators over the whole batch: maps, FFT, mask."""
    if setup.x.device.type != "cpu":
        raise Unavailable("needs cupy on a GPU")
    linop = imported("sigpy.linop")
    x, maps = setup.x.numpy()[:, None], setup.maps.to(setup.x.dtype).numpy()
    mask = setup.mask.numpy().astype(np.float32)
    sense = linop.Multiply(x.shape, maps)
    fourier = linop.FFT(sense.oshape, axes=(-2, -1))
    operator = linop.Multiply(fourier.oshape, mask) * fourier * sense
    return Contender.of("sigpy", operator, operator.H, x)
