"""
Radial and spiral MRI
=====================

Samples of k-space need not lie on a grid. A non-uniform Fourier transform takes them anywhere; the
weights of the density decide how good its adjoint is as an image, and a convolution replaces the
samples in every iteration of a solver.
"""

import time

import matplotlib.pyplot as plt
import torch

from invdiff.classical import least_squares
from invdiff.data import fill, orient, read_dicom, sample_path, to_spacing
from invdiff.likelihood import Likelihood
from invdiff.linalg import cg_iterates
from invdiff.metrics import nrmse, psnr
from invdiff.rng import derive_generator
from operators import (
    GaussianNoise,
    NonCartesianMRI,
    ToeplitzNormal,
    birdcage_maps,
    density_compensation,
    radial_density,
    radial_trajectory,
    spiral_trajectory,
)

head = fill(to_spacing(orient(read_dicom(sample_path("head-t1"))).middle(), 256, 1.0), 128)
values = torch.from_numpy(head.values[0]).float()
truth = (values / values.quantile(0.997)).clamp(0, 1).to(torch.complex64)
shape = (128, 128)

# %%
# Trajectories
# ------------
# Spokes at equal angles, spokes that follow the golden angle (any number of successive ones are
# spread nearly evenly), and a spiral in interleaves. Coordinates are in cycles per pixel.

trajectories = {
    "equal angles": radial_trajectory(32, 256),
    "golden angle": radial_trajectory(32, 256, "golden"),
    "spiral": spiral_trajectory(8, 1024, 8.0),
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for axis, (name, trajectory) in zip(axes, trajectories.items(), strict=True):
    for line in trajectory:
        axis.plot(line[:, 1], line[:, 0], color="#2f6f9f", linewidth=0.6)
    axis.plot(*trajectory[0].T.flip(0), color="#b5482a")
    axis.set(title=name, aspect="equal", xlim=(-0.55, 0.55), ylim=(-0.55, 0.55))

# %%
# Density compensation
# --------------------
# Spokes are dense in the centre. Without weights the adjoint counts its low frequencies many times
# and blurs; with weights it approximates the image. They are the area that a sample stands for: a
# ramp for full spokes, found by iteration for any trajectory :cite:p:`pipe1999`. 201 spokes sample
# the disc fully, :math:`\pi n / 2` for n = 128.

full = radial_trajectory(201, 256, "equispaced")
ramp = radial_density(full, shape).float().flatten()
found = density_compensation(full, shape).float().flatten()
scan = NonCartesianMRI(full, shape, tolerance=1e-4).to(torch.float32)
y = scan(truth)
images = {
    "no weights": scan.adjoint(y),
    "ramp": scan.adjoint(ramp * y),
    "iterated": scan.adjoint(found * y),
}
figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
axes[0].plot(full[0, :, 1], ramp[:256], color="#2f6f9f", label="ramp")
axes[0].plot(full[0, :, 1], found[:256], color="#b5482a", label="iterated")
axes[0].set(xlabel="cycles per pixel", ylabel="weight along a spoke")
axes[0].legend(frameon=False)
for axis, (name, image) in zip(axes[1:], images.items(), strict=True):
    # without weights the scale is arbitrary: the one that fits best is given to all three
    scaled = image * (image.conj() * truth).sum().real / image.abs().square().sum()
    axis.imshow(scaled.abs().numpy(), cmap="gray", vmin=0, vmax=1)
    error = float(nrmse(scaled, truth))
    axis.set_title(f"{name}: NRMSE {error:.3f}", fontsize=10)
    axis.axis("off")
    print(f"{name}: NRMSE {error:.3f}")

# %%
# Few spokes, many coils
# ----------------------
# A sixth as many spokes as needed leave streaks in the gridded image. With the maps of eight coils
# least squares removes most of them; it needs no density weights, which would only count the noise
# of some samples more than that of others.

maps = birdcage_maps(shape, 8)
noise = GaussianNoise(0.01)
figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
for (name, trajectory), (above, below) in zip(trajectories.items(), axes.T, strict=True):
    scan = NonCartesianMRI(trajectory, shape, maps, tolerance=1e-4, toeplitz=True)
    scan = scan.to(torch.float32)
    data = noise.sample(scan(truth), generator=derive_generator(0, name))
    weights = density_compensation(trajectory, shape).float().flatten()
    results = {
        "gridding": scan.adjoint(weights * data).abs(),
        "least squares": least_squares(Likelihood(scan, noise, data)).abs(),
    }
    for axis, (method, image) in zip((above, below), results.items(), strict=True):
        quality = float(psnr(image, truth.abs(), data_range=1.0))
        axis.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"{name}, {method}: {quality:.1f} dB", fontsize=10)
        axis.axis("off")
        print(f"{name}, {method}: {quality:.1f} dB")

# %%
# The normal operator as a convolution
# ------------------------------------
# A solver needs only :math:`A^H A`, which is a convolution with the point spread function of the
# trajectory: two Fourier transforms of twice the size, whatever the number of samples
# :cite:p:`fessler2005`. The density as weights makes :math:`A^H W A` nearly a multiple of the
# identity for a full scan: conjugate gradients are done after one step. With noise the weights have
# a price, since they aren't those of the noise.

plain = NonCartesianMRI(full, shape, maps, tolerance=1e-4).to(torch.float32)
toeplitz = ToeplitzNormal(full, shape, maps, tolerance=1e-4).to(torch.float32)
seconds = {}
for name, normal in {"samples": plain.normal, "convolution": toeplitz}.items():
    normal(truth)
    start = time.perf_counter()
    for _ in range(3):
        product = normal(truth)
    seconds[name] = (time.perf_counter() - start) / 3
difference = float(nrmse(toeplitz(truth), plain.normal(truth)))
print(f"the two products differ by {difference:.0e}")
print(", ".join(f"{name}: {1000 * value:.0f} ms" for name, value in seconds.items()))

data = plain(truth)
weighted = ToeplitzNormal(full, shape, maps, found, tolerance=1e-4).to(torch.float32)
starts = {
    "no weights": (toeplitz, plain.adjoint(data)),
    "density weights": (weighted, plain.adjoint(found * data)),
}
figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (name, (normal, b)), colour in zip(starts.items(), ("#b5482a", "#2f6f9f"), strict=True):
    iterates = cg_iterates(normal, b, num_dims=2)
    errors = [float(nrmse(next(iterates)[0], truth)) for _ in range(16)]
    axis.semilogy(errors, "o-", color=colour, markersize=3, label=name)
    print(f"{name}: error {errors[2]:.3f} after 2 steps, {errors[15]:.4f} after 15")
axis.set(xlabel="steps of conjugate gradients", ylabel="NRMSE")
axis.legend(frameon=False)
