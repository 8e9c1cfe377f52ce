r"""
A first reconstruction: CT from 30 views
========================================

A slice of a leg is scanned with 30 views, where a scanner takes hundreds, and reconstructed three
ways: by filtered back-projection, by total variation, and with a trained prior that has never seen
this patient. What each of them assumes about the image shows in its errors.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.classical import fbp, total_variation
from invdiff.data import MU_WATER, fit, hu_to_mu, read_dicom, sample_path
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.priors import load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff
from operators import GaussianNoise, ImageGrid, ParallelBeam2D, ParallelGeometry

# %%
# The measurement
# ---------------
# The operator A takes the integral of the attenuation along every ray, and the noise has 0.5 % of
# the largest integral. A sinogram has one row for each view; operator, noise and data together are
# the likelihood.

image = fit(read_dicom(sample_path("sts-044")).middle(), 128)
truth = torch.from_numpy(hu_to_mu(image.values[0])).float()
grid = ImageGrid((128, 128), image.spacing[1:])
scan = ParallelBeam2D(grid, ParallelGeometry.covering(grid, num_views=30))
clean = scan(truth)
noise = GaussianNoise(sigma=0.005 * float(clean.max()))
y = noise.sample(clean, generator=derive_generator(0, "noise"))
likelihood = Likelihood(scan, noise, y)
print(f"{y.numel()} numbers measured, {truth.numel()} pixels asked for")

high = 1.8 * MU_WATER
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
axes[0].imshow(truth.numpy(), cmap="gray", vmin=0, vmax=high)
axes[0].set(title="truth", xticks=[], yticks=[])
axes[1].imshow(y.numpy(), cmap="gray", aspect="auto", interpolation="nearest")
axes[1].set(title="sinogram", xlabel="detector", ylabel="view")

# %%
# Three reconstructions
# ---------------------
# Filtered back-projection inverts the operator of infinitely many views, and leaves streaks where
# there are few. Total variation takes the image of least variation among those that explain the
# data. RED-diff takes one on which the data and the denoiser of the prior agree.

prior = rescale(load_prior("ct-256", size=(128, 128)), 0.0, 2.5 * MU_WATER)
samples = RedDiff(num_steps=30).sample(
    likelihood, prior, 1, generator=derive_generator(0, "sampler")
)
results = {
    "FBP": fbp(likelihood),
    "total variation": total_variation(likelihood, low=0.0, num_steps=200),
    "RED-diff": samples.mean(),
}
for name, result in results.items():
    value = float(psnr(result, truth, data_range=2.5 * MU_WATER))
    misfit = float(likelihood.residual_over_noise(result))
    print(f"{name}: {value:.1f} dB, residual {misfit:.1f} times the noise")

# %%
# Each image above its error, in shares of the attenuation of water. The last two both explain the
# data to within their noise, RED-diff somewhat more closely than the true image does; they differ
# in what the data leave open.

figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
for column, (name, result) in zip(axes.T, results.items(), strict=True):
    column[0].imshow(result.numpy(), cmap="gray", vmin=0, vmax=high)
    column[0].set_title(name)
    shown = column[1].imshow(
        ((result - truth) / MU_WATER).numpy(), cmap="RdBu_r", vmin=-0.3, vmax=0.3
    )
    for axis in column:
        axis.set(xticks=[], yticks=[])
figure.colorbar(shown, ax=axes[1], label="error / water", shrink=0.9)
