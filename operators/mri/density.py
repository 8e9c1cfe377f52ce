"""Density compensation: the area of k-space that each sample stands for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators.mri.checks import checked_trajectory
from operators.mri.kaiser_bessel import AxisKernel, fast_even_size, interpolation_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

# of the convolution: wider ones converge more slowly, narrower ones fold into the field of view
_OVERSAMPLING, _WIDTH = 2, 4


def density_compensation(
    trajectory: Tensor, image_shape: Sequence[int], *, num_steps: int = 30
) -> Tensor:
    r"""Find weights that make the density of any trajectory uniform :cite:p:`pipe1999`.

    .. math:: w \leftarrow \frac{w}{C C^T w}

    with C the Kaiser-Bessel interpolation from a grid of twice the image, divided by the kernel's
    integral. At convergence w is the area around each sample, in units of 1 / N of k-space, so that
    A^H diag(w) y approximates x wherever the trajectory is dense enough for the field of view.

    Args:
        trajectory: Real (..., ndim) in cycles per pixel; see :class:`operators.mri.nufft.NUFFT`.
        image_shape: Pixels along each axis of the field of view.
        num_steps: At least 1.

    Returns:
        Positive w (m), in the precision and on the device of the trajectory; multiply y by it.

    Raises:
        ValueError: As NUFFT for the trajectory, and for less than one iteration.
    """
    name = "density_compensation"
    points = checked_trajectory(name, trajectory, image_shape)
    if num_steps < 1:
        raise ValueError(f"{name}: expected at least one iteration, got {num_steps}")
    kernels = [AxisKernel(n, fast_even_size(_OVERSAMPLING * n), _WIDTH) for n in image_shape]
    origin = torch.zeros((), dtype=torch.float64)
    integral = math.prod(kernel.transform(origin).item() for kernel in kernels)
    matrix = interpolation_matrix(points.double(), kernels, centred=False) / integral
    transpose = matrix.T.tocsr()
    weights = torch.ones(len(points), dtype=torch.float64).numpy()
    for _ in range(num_steps):
        weights = weights / (matrix @ (transpose @ weights))
    cells = math.prod(kernel.grid_size for kernel in kernels)
    return torch.from_numpy(weights * (math.prod(image_shape) / cells)).to(points)


def radial_density(trajectory: Tensor, image_shape: Sequence[int]) -> Tensor:
    r"""Return the ramp that compensates the density of evenly spread diameters.

    .. math:: w = N \frac{\pi |k| \Delta}{S} \;\text{(2D)}, \qquad
        w = N \frac{2 \pi |k|^2 \Delta}{S} \;\text{(3D)}

    for S diameters with samples :math:`\Delta` apart: an equal share of the circle or sphere of
    radius \|k\|. In 2D the centre gets :math:`N \pi \Delta^2 / (6 S)`, which cancels the leading
    error of summing :math:`|k| f(k)` (Euler and Maclaurin); in 3D it gets nothing. The spiral
    phyllotaxis, denser about its equator, needs :func:`density_compensation` instead.

    Args:
        trajectory: Real (spokes, samples, ndim) in cycles per pixel, each spoke a diameter through
            the centre with equal steps, as ``radial_trajectory`` and
            ``radial_trajectory_3d`` give them.
        image_shape: Pixels along each of two or three axes.

    Returns:
        w (spokes * samples), in units of 1 / N of k-space like :func:`density_compensation`.

    Raises:
        ValueError: As NUFFT for the trajectory, and if it is not of that kind.
    """
    name = "radial_density"
    checked_trajectory(name, trajectory, image_shape)
    if trajectory.ndim != 3 or trajectory.shape[-1] == 1 or trajectory.shape[1] < 2:
        raise ValueError(
            f"{name}: expected a trajectory (spokes, samples, 2 or 3), "
            f"got {tuple(trajectory.shape)}"
        )
    step = _common_step(name, trajectory)
    radius, num_spokes = trajectory.norm(dim=-1), trajectory.shape[0]
    if trajectory.shape[-1] == 2:
        area = math.pi * step * radius
        area[radius < step / 2] = math.pi * step**2 / 6
    else:
        area = 2 * math.pi * step * radius**2
    return (area * (math.prod(image_shape) / num_spokes)).flatten()


def _common_step(name: str, trajectory: Tensor) -> float:
    steps = trajectory.diff(dim=1)
    step = steps.norm(dim=-1).mean().item()
    # rounding of a float32 trajectory is 1e-7 of its reach
    even = (steps - steps[:, :1]).abs().max().item() < 1e-5 * step + 1e-6
    # otherwise the spokes are lines, but past the centre
    through = trajectory.norm(dim=-1).amin(dim=1).max().item() < 1e-6
    if not (even and through and step > 0):
        raise ValueError(f"{name}: expected diameters through the centre with equal steps")
    return step
