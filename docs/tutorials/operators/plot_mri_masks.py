"""
Sampling masks of MRI
=====================

Cartesian MRI is accelerated by leaving samples of k-space out. The pattern decides what the missing
samples do to the image: copies, smears or noise. Six patterns keep about a quarter of k-space;
their point spread functions, their zero-filled images and the result of CG-SENSE with eight coils
are compared.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.classical import cg_sense, zero_filled
from invdiff.data import fill, orient, read_dicom, sample_path, to_spacing
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.rng import derive_generator
from operators import (
    CartesianMRI,
    GaussianNoise,
    birdcage_maps,
    caipirinha_lattice,
    cartesian_lines,
    equispaced_lines,
    poisson_disc_points,
    variable_density_lines,
    variable_density_points,
)
from operators.fourier import ifft

head = fill(to_spacing(orient(read_dicom(sample_path("head-t1"))).middle(), 256, 1.0), 128)
values = torch.from_numpy(head.values[0]).float()
truth = (values / values.quantile(0.997)).clamp(0, 1).to(torch.complex64)


def stream(label):
    """Make the random numbers of one pattern."""
    return derive_generator(0, label)


# %%
# Six patterns and their point spread functions
# ---------------------------------------------
# The point spread function is the Fourier transform of the mask: where the energy of one pixel
# goes. Lines spread it along the one direction that is undersampled: evenly spaced ones into a few
# strong copies, random ones all along the row. Points spread it over the plane, like noise. The
# lattice leaves sharp copies, placed far apart. The lattice and the points are for volumes, whose
# two phase-encoding axes are shown. All have a full centre, on which coil maps are estimated. The
# printed side lobe is the largest value more than 16 pixels from the peak, which is 1.

shape = (128, 128)
masks = {
    "even lines": equispaced_lines(shape, 4, 0.08),
    "random lines": cartesian_lines(shape, 4, 0.08, generator=stream("random")),
    "denser in the centre": variable_density_lines(
        shape, 4, 0.08, power=3, generator=stream("lines")
    ),
    "shifted lattice": caipirinha_lattice(shape, (2, 2), 1, center_fraction=0.08),
    "points": variable_density_points(shape, 4, 0.08, power=3, generator=stream("points")),
    "Poisson disc": poisson_disc_points(shape, 4, 0.08, edge_ratio=3, generator=stream("disc")),
}
figure, axes = plt.subplots(2, 6, figsize=(12, 4.3), layout="constrained")
for (name, mask), (above, below) in zip(masks.items(), axes.T, strict=True):
    spread = ifft(mask.to(torch.complex64), (-2, -1)).abs()
    spread = spread / spread.max()
    above.imshow(mask.numpy(), cmap="gray")
    above.set_title(name, fontsize=10)
    below.imshow(spread.clamp_min(1e-3).log10().numpy(), cmap="gray", vmin=-3, vmax=0)
    spread[48:81, 48:81] = 0
    print(f"{name}: {int(mask.sum())} samples, highest side lobe {float(spread.max()):.2f}")
for axis in axes.flat:
    axis.axis("off")

# %%
# One coil: the image of zeros
# ----------------------------
# The adjoint, with zeros for the missing samples. What is missing looks like blur and smears from
# lines, like a veil of copies from the lattice, and like noise from points. The noise is 0.01 per
# sample, for images in [0, 1].

noise = GaussianNoise(0.01)


def problem(name, mask, maps=None):
    """Simulate a scan."""
    scan = CartesianMRI(mask, maps)
    y = noise.sample(scan(truth), generator=derive_generator(1, name))
    return Likelihood(scan, noise, y)


def show(axes, images):
    """Show magnitudes in one window, with their PSNR."""
    for axis, (name, image) in zip(axes, images.items(), strict=True):
        quality = float(psnr(image.abs(), truth.abs(), data_range=1.0))
        axis.imshow(image.abs().numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"{name}\n{quality:.1f} dB", fontsize=10)
        axis.axis("off")
        print(f"{name}: {quality:.1f} dB")


figure, axes = plt.subplots(1, 6, figsize=(12, 2.6), layout="constrained")
show(axes, {name: zero_filled(problem(name, mask)) for name, mask in masks.items()})

# %%
# Eight coils: CG-SENSE
# ---------------------
# Coils see the copies with different weights and can tell them apart. Least squares, stopped where
# the data are explained up to their noise, gains little from lines, whose copies lie along one
# direction, and more where they are spread over both: most for the Poisson disc and the lattice.
# The simulated maps are smoother than those of real coils, which makes these gains smaller than
# they can be.

maps = birdcage_maps(shape, 8)
figure, axes = plt.subplots(1, 6, figsize=(12, 2.6), layout="constrained")
show(axes, {name: cg_sense(problem(name, mask, maps)) for name, mask in masks.items()})
