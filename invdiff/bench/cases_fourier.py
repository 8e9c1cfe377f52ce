"""MRI and blur: what is dominated by Fourier transforms."""

from __future__ import annotations

import torch

from invdiff.bench import peers, peers_nufft
from invdiff.bench.case import Case
from invdiff.bench.machine import Machine
from invdiff.bench.peers_nufft import SpokeSetup
from invdiff.bench.setups import BlurSetup, MRISetup, of_operator, random_images
from operators import (
    Blur,
    CartesianMRI,
    NonCartesianMRI,
    birdcage_maps,
    cartesian_lines,
    radial_trajectory,
    uniform_psf,
)

__all__ = ["blur", "mri", "nufft"]


def mri(size: int, coils: int, batch: int, machine: Machine) -> Case:
    """Undersampled k-space of several coils, beside sigpy and deepinv."""
    generator = torch.Generator().manual_seed(0)
    mask = cartesian_lines((size, size), 4, 0.08, generator=generator)
    maps = birdcage_maps((size, size), coils).to(machine.device)
    x = random_images(batch, size, size, device=machine.device, dtype=torch.complex64)
    setup = MRISetup(mask.to(machine.device), maps, x)
    coil_images = torch.zeros(coils, size, size, dtype=torch.complex64, device=x.device)
    return Case(
        f"MRI {coils} coils {size}^2, 4x, batch {batch}",
        batch,
        # the phase encoding only, of one image that stays in cache: lines left out cost nothing
        lambda machine: batch * machine.seconds(lambda: torch.fft.fft(coil_images)),
        {
            "invdiff": lambda: of_operator("invdiff", CartesianMRI(setup.mask, maps), x),
            "sigpy": lambda: peers.sigpy_mri(setup),
            "deepinv": lambda: peers.deepinv_mri(setup),
        },
    )


def blur(size: int, channels: int, batch: int, machine: Machine) -> Case:
    """Convolve with a box, beside deepinv."""
    psf = uniform_psf((9, 9)).float()
    x = random_images(batch, channels, size, size, device=machine.device)
    operator = Blur(psf, (size, size)).to(machine.device)
    setup = BlurSetup(psf, x)
    return Case(
        f"Blur 9x9, {channels}x{size}^2, batch {batch}",
        batch,
        lambda machine: 2 * x.nbytes / machine.bytes_per_second,
        {
            "invdiff": lambda: of_operator("invdiff", operator, x),
            "deepinv": lambda: peers.deepinv_blur(setup),
        },
    )


def nufft(tolerance: float, size: int, coils: int, spokes: int, machine: Machine) -> Case:
    """Radial k-space of several coils, beside finufft, sigpy and torchkbnufft."""
    device = machine.device
    points = radial_trajectory(spokes, 2 * size).flatten(0, -2)
    maps = birdcage_maps((size, size), coils)
    x = random_images(size, size, device=device, dtype=torch.complex64)
    operator = NonCartesianMRI(points, (size, size), maps, tolerance=tolerance)
    operator = operator.to(torch.float32).to(device)
    setup = SpokeSetup(points, maps.to(device), x, tolerance, machine.threads)
    coil_images = torch.zeros(coils, size, size, dtype=torch.complex64, device=device)
    return Case(
        f"NUFFT {coils} coils {size}^2, {spokes}x{2 * size} radial, {tolerance:g}",
        1,
        lambda machine: machine.seconds(lambda: torch.fft.fft2(coil_images)),
        {
            "invdiff": lambda: of_operator("invdiff", operator, x),
            "finufft": lambda: peers_nufft.finufft_mri(setup),
            "sigpy": lambda: peers_nufft.sigpy_nufft_mri(setup),
            "torchkbnufft": lambda: peers_nufft.torchkbnufft_mri(setup),
        },
    )
