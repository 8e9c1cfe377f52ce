r"""
MRI from a quarter of k-space
=============================

Magnetic resonance measures the Fourier transform of the image, line by line, and a line costs time.
With a quarter of the lines the missing ones have to come from somewhere: from zeros, from an
assumption about variation, or from a prior of head images.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.classical import total_variation, zero_filled
from invdiff.data import orient, read_dicom, sample_path, to_spacing
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.priors import load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff
from operators import GaussianNoise, RealToComplex, SingleCoilMRI, cartesian_lines

# %%
# The measurement
# ---------------
# One uniform coil, a real image of 192 x 160 pixels of 1 mm, and a mask of whole lines: all of the
# centre, where the contrast is, and others at random. A quarter from one coil is little: real
# scanners have many coils. The noise is 1 % of the range of the image.

image = to_spacing(orient(read_dicom(sample_path("head-t1"))), 256, 1.0).middle()
values = torch.from_numpy(image.values[0]).float()
truth = (values / values.quantile(0.997)).clamp(0, 1)[32:224, 48:208]
mask = cartesian_lines(truth.shape, 4.0, 0.12, generator=derive_generator(0, "mask"))
operator = SingleCoilMRI(mask) @ RealToComplex(truth.shape)
noise = GaussianNoise(0.01)
y = noise.sample(operator(truth), generator=derive_generator(0, "noise"))
likelihood = Likelihood(operator, noise, y)
print(f"{float(mask.float().mean()):.0%} of k-space measured")

spectrum = (
    torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(truth), norm="ortho")).abs().log10()
)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
axes[0].imshow(truth.numpy(), cmap="gray", vmin=0, vmax=1)
axes[1].imshow(spectrum.numpy(), cmap="gray", vmin=-2, vmax=1.5)
axes[2].imshow(torch.where(mask, spectrum, -2.0).numpy(), cmap="gray", vmin=-2, vmax=1.5)
for axis, title in zip(axes, ("truth", "its k-space, log", "measured"), strict=True):
    axis.set(title=title, xticks=[], yticks=[])

# %%
# Three reconstructions
# ---------------------
# The missing lines run from top to bottom, so that zeros in their place repeat the head from left
# to right.

prior = rescale(load_prior("brain-mr-256", size=(192, 160)), 0.0, 1.0)
samples = RedDiff(num_steps=40).sample(
    likelihood, prior, 1, generator=derive_generator(0, "sampler")
)
results = {
    "zero-filled": zero_filled(likelihood),
    "total variation": total_variation(likelihood, low=0.0, num_steps=200),
    "RED-diff": samples.mean(),
}
figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
for column, (name, result) in zip(axes.T, results.items(), strict=True):
    print(f"{name}: {float(psnr(result, truth, data_range=1.0)):.1f} dB")
    column[0].imshow(result.numpy(), cmap="gray", vmin=0, vmax=1)
    column[0].set_title(name)
    shown = column[1].imshow((result - truth).numpy(), cmap="RdBu_r", vmin=-0.3, vmax=0.3)
    for axis in column:
        axis.set(xticks=[], yticks=[])
figure.colorbar(shown, ax=axes[1], label="error", shrink=0.9)

# %%
# Where the error is
# ------------------
# Total variation and the prior reproduce the measured lines to within their noise. Zero filling
# does not: it takes the real part of its image, which halves every line whose mirror image is
# missing. What a prior adds is in the lines that nobody measured, and there most of the error is
# left.

full = SingleCoilMRI(torch.ones_like(mask)) @ RealToComplex(truth.shape)
there = mask.flatten()
for name, result in results.items():
    error = full(result - truth).abs().flatten() / 2**0.5
    rms = [float((error[part] ** 2).mean().sqrt()) for part in (there, ~there)]
    print(f"{name}: error {rms[0]:.3f} where measured, {rms[1]:.3f} where not")
