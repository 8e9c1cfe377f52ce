r"""
An uncertainty map and what it is worth
=======================================

Samples of one reconstruction give a standard deviation for every pixel. Is the error large where
the map is bright, and as large as the map says? Here the truth is known, so both can be measured:
the correlation of spread and error, a reliability diagram, and how often intervals hold.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.data import MU_WATER, fill, hu_to_mu, orient, read_dicom, sample_path
from invdiff.likelihood import Likelihood
from invdiff.priors import load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.samplers import DiffPIR
from invdiff.uncertainty import coverage_curve, spread_error_correlation, z_scores
from operators import GaussianNoise, ImageGrid, ParallelBeam2D, ParallelGeometry

# %%
# Sixteen samples from 12 views
# -----------------------------
# DiffPIR with both of its weights at 1, the settings of the experiment ``ct_uncertainty``.

scan = fill(orient(read_dicom(sample_path("sts-044"))), 64)
truth = torch.from_numpy(hu_to_mu(scan.values[2])).float()
grid = ImageGrid((64, 64), scan.spacing[1:])
operator = ParallelBeam2D(grid, ParallelGeometry.covering(grid, num_views=12))
noise = GaussianNoise(0.005 * operator(truth).max().item())
y = noise.sample(operator(truth), generator=derive_generator(0, "noise"))
likelihood = Likelihood(operator, noise, y)
prior = rescale(load_prior("ct-256", size=(64, 64)), 0.0, 2.5 * MU_WATER)

samples = DiffPIR(num_steps=20, regularization=1.0, noise_fraction=1.0).sample(
    likelihood, prior, 16, generator=derive_generator(0, "sampler")
)
to_hu = 1000 / MU_WATER
mean, spread = samples.mean(), samples.std()
error = (mean - truth).abs()
body = truth > 0.5 * MU_WATER

panels = {"truth": truth, "mean of 16": mean, "one sample": samples.values[0]}
maps = {"standard deviation": spread, "absolute error": error}
figure, axes = plt.subplots(1, 5, figsize=(13, 2.8), layout="constrained")
for axis, (title, values) in zip(axes, (panels | maps).items(), strict=True):
    window = (0, 300) if title in maps else (800, 1400)
    shown = axis.imshow((to_hu * values).numpy(), cmap="gray", vmin=window[0], vmax=window[1])
    axis.set_title(title)
    axis.axis("off")
figure.colorbar(shown, ax=axes[3:], label="HU", shrink=0.8)

# %%
# Where, and how much
# -------------------
# Pixels of the body are sorted by their standard deviation into ten bins of as many. In each the
# root mean square error of the mean is compared with what the spread predicts. On the right,
# how often central intervals hold the truth. Sixteen samples can state at most 15/17.

correlation = spread_error_correlation(samples, truth, body)
scores = z_scores(samples, truth)[body]
order = spread[body].argsort()
stated = [to_hu * part.square().mean().sqrt().item() for part in spread[body][order].chunk(10)]
found = [to_hu * part.square().mean().sqrt().item() for part in error[body][order].chunk(10)]
levels = [0.1, 0.25, 0.5, 0.75, 0.85]
covered = coverage_curve(samples, truth, levels, body)
print(f"residual over noise of the mean: {likelihood.residual_over_noise(mean):.2f}")
print(f"rank correlation of spread and error: {correlation:.2f}")
print(f"standard deviation of z-scores: {scores.std():.2f}")
print(f"z-scores beyond 3: {(scores.abs() > 3).float().mean():.1%}")
print("stated error (HU): " + " ".join(f"{s:4.0f}" for s in stated))
print("found error (HU):  " + " ".join(f"{f:4.0f}" for f in found))
for level, part in zip(levels, covered.tolist(), strict=True):
    print(f"intervals of {level:.0%} hold {part:.0%} of the body")

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
points = (to_hu * spread[body]).numpy(), (to_hu * error[body]).numpy()
axes[0].plot(*points, ".", color="#2f6f9f", markersize=2)
axes[0].set(title="pixels of the body", xlabel="standard deviation (HU)")
axes[0].set_ylabel("absolute error (HU)")
limit = 1.05 * max(stated + found)
axes[1].plot([0, limit], [0, limit], color="#667085", linestyle="--", linewidth=1)
axes[1].plot(stated, found, "o-", color="#b5482a")
axes[1].set(title="ten bins of spread", xlabel="stated error (HU)", ylabel="found error (HU)")
axes[2].plot([0, 1], [0, 1], color="#667085", linestyle="--", linewidth=1)
axes[2].plot(levels, covered.numpy(), "o-", color="#b5482a")
axes[2].set(title="intervals", xlabel="stated probability", ylabel="share that holds the truth")

# %%
# The map ranks the errors, loosely: the brightest tenth of the pixels has the largest error. But
# the errors are two to three times what the map states, since the samples agree with each other too
# well, along edges above all. The map says where to look and not how far to trust; only a
# calibration on images whose truth is known turns it into a number.
