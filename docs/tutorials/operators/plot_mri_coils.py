"""
Coils and their sensitivities
=============================

Each coil of an array sees the object through its own sensitivity. ESPIRiT finds the sensitivities
in the fully sampled centre of k-space, and an eigenvalue says where to believe them. The data are
measured: eight coils, a head, an eighth of k-space.
"""

import math

import matplotlib.pyplot as plt
import torch

from invdiff.classical import cg_sense
from invdiff.data import read_kspace_array, sample_path
from invdiff.likelihood import Likelihood
from operators import (
    CartesianMRI,
    GaussianNoise,
    calibration_region,
    compression_matrix,
    espirit_maps,
    mix_channels,
)
from operators.fourier import ifft

scan = read_kspace_array(sample_path("brain-8coil"))
mask = torch.from_numpy(scan.mask)
kspace = torch.from_numpy(scan.data[0])
kspace = kspace / kspace.abs().max()
print(f"{kspace.shape[0]} coils, {mask.float().mean():.1%} of {tuple(mask.shape)} sampled")

# %%
# Eight views of one head
# -----------------------
# The centre of k-space that is sampled without gaps gives coarse images, one for each coil. Their
# brightness falls away from the coil.

region = calibration_region(mask)
centre = torch.zeros_like(kspace)
centre[:, *region] = kspace[:, *region]
coarse = ifft(centre, (-2, -1))
print(f"calibration block: {coarse[0, *region].shape[0]} x {coarse[0, *region].shape[1]}")

figure, axes = plt.subplots(1, 8, figsize=(12, 2.1), layout="constrained")
for coil, (axis, image) in enumerate(zip(axes, coarse.abs(), strict=True)):
    axis.imshow(image.numpy(), cmap="gray", vmax=float(coarse.abs().quantile(0.999)))
    axis.set_title(f"coil {coil}", fontsize=10)
    axis.axis("off")

# %%
# Maps and eigenvalue
# -------------------
# The maps are complex: magnitude above, phase below, in colours. The eigenvalue is near 1 in pixels
# where one set of maps explains what all coils saw, and lower where there is only noise. Pixels
# below 0.95 get no maps unless ``crop`` says otherwise.

maps, eigenvalues = espirit_maps(kspace, region)
figure, axes = plt.subplots(2, 8, figsize=(12, 4), layout="constrained")
for (above, below), sensitivity in zip(axes.T, maps, strict=True):
    above.imshow(sensitivity.abs().numpy(), cmap="gray", vmin=0, vmax=1)
    phase = sensitivity.angle().where(eigenvalues > 0.95, torch.nan)
    below.imshow(phase.numpy(), cmap="twilight", vmin=-math.pi, vmax=math.pi)
for axis in axes.flat:
    axis.axis("off")

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
picture = left.imshow(eigenvalues.numpy(), cmap="gray", vmin=0, vmax=1)
left.set_title("eigenvalue")
figure.colorbar(picture, ax=left)
middle.imshow((eigenvalues > 0.95).numpy(), cmap="gray")
middle.set_title("above 0.95: has maps")
for axis in (left, middle):
    axis.axis("off")
right.hist(eigenvalues.flatten().numpy(), bins=60, color="#2f6f9f")
right.axvline(0.95, color="#b5482a")
right.set(xlabel="eigenvalue", ylabel="pixels")
print(f"{float((eigenvalues > 0.95).float().mean()):.0%} of the pixels have maps")

# %%
# Combining the coils
# -------------------
# The root of the sum of squares needs no maps, but it adds the noise of all coils everywhere and
# never falls to zero. Weighting each coil with its map, :math:`\sum_c \bar s_c x_c`, is the best
# linear combination for white noise and keeps the phase; where there are no maps it is 0. Both
# start from k-space filled with zeros, which is denser in the centre, and look blurred. CG-SENSE
# solves for the image that all coils agree on. The noise level is read from the outermost rows of
# k-space, where the signal is weakest.

operator = CartesianMRI(mask, maps)
filled = ifft(kspace, (-2, -1))
rows, columns = mask.shape
corner = torch.zeros_like(mask)
corner[: rows // 8] = True
corner[-(rows // 8) :] = True
outer = kspace[:, corner & mask]
sigma = float(outer.real.abs().median() / 0.6745)
likelihood = Likelihood(operator, GaussianNoise(sigma), operator.sample(kspace))
images = {
    "root sum of squares": filled.abs().square().sum(0).sqrt(),
    "weighted by the maps": operator.adjoint(likelihood.y).abs(),
    "CG-SENSE": cg_sense(likelihood).abs(),
}
outside = eigenvalues < 0.8
figure, axes = plt.subplots(1, 3, figsize=(9, 4.2), layout="constrained")
for axis, (name, image) in zip(axes, images.items(), strict=True):
    axis.imshow(image.numpy(), cmap="gray", vmin=0, vmax=float(image.quantile(0.998)))
    axis.set_title(name, fontsize=10)
    axis.axis("off")
    ratio = float(image[outside].mean() / image[eigenvalues > 0.95].mean())
    print(f"{name}: mean outside over inside {ratio:.3f}")

# %%
# Fewer channels
# --------------
# The signals of neighbouring coils are alike. A unitary mixture sorts them by energy, so that the
# last channels can be dropped, and every later step costs less.

block = kspace[:, *region].flatten(1)
energy = mix_channels(block[..., None], compression_matrix(block, 8), dim=0).abs().square()
share = energy.sum((1, 2)).cumsum(0) / energy.sum()
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.plot(range(1, 9), share.numpy(), "o-", color="#2f6f9f")
axis.set(xlabel="virtual coils kept", ylabel="share of the energy")
print("energy kept: " + ", ".join(f"{value:.3f}" for value in share))
