r"""
CT from few photons
===================

A detector counts photons, :math:`y \sim \mathrm{Poisson}(I_0 e^{-A x})`. The logarithm of the
counts is a line integral with noise that grows as the ray is absorbed. Here one sees what the
logarithm does to low counts, which weights belong to it, and what the weights are worth in a
reconstruction.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from invdiff.classical import fbp, least_squares, total_variation
from invdiff.data import MU_WATER, fill, hu_to_mu, mu_to_hu, read_dicom, sample_path
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.rng import derive_generator
from operators import (
    FanBeam2D,
    FanGeometry,
    GaussianNoise,
    ImageGrid,
    TransmissionNoise,
)

image = fill(read_dicom(sample_path("sts-044")).middle(), 128)
truth = torch.from_numpy(hu_to_mu(image.values[0])).float()  # 1/mm
grid = ImageGrid((128, 128), image.spacing[1:])
geometry = FanGeometry.covering(grid, 180, source_to_axis=500.0, source_to_detector=1000.0)
scan = FanBeam2D(grid, geometry)

# %%
# Counts, line integrals, weights
# -------------------------------
# ``noise.quadratic(y)`` turns counts into the line integrals t and the weights w of a Gaussian
# surrogate, :math:`\tfrac12 \sum_i w_i |(A x)_i - t_i|^2`: a ray of y counts has a variance of
# about 1 / y, so that its weight is about y. An unattenuated ray has 4000 photons on average.

noise = TransmissionNoise(photons=4000.0)
counts = noise.sample(scan(truth), generator=derive_generator(0, "counts"))
likelihood = Likelihood(scan, noise, counts)
print(f"counts: {int(counts.min())} to {int(counts.max())}")

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
shown = {
    "counts y": counts,
    "line integrals t": likelihood.target,
    "weights w": likelihood.precision,
}
for axis, (title, values) in zip(axes, shown.items(), strict=True):
    picture = axis.imshow(values.numpy(), cmap="gray", aspect="auto")
    axis.set(title=title, xlabel="detector", ylabel="view")
    figure.colorbar(picture, ax=axis)

# %%
# The logarithm of few counts
# ---------------------------
# Rays with m expected counts, 20000 draws for each m. The mean of :math:`-\log(y / I_0)` is off by
# about :math:`1 / 2 m`, and empty rays have no logarithm at all (they are set to half a count
# here). What matters to a reconstruction is the mean of the score, :math:`w (t - A x)`, and the
# surrogate keeps it near 0. The figure shows it over :math:`\sqrt m`, the spread of the exact
# score; 20000 draws leave an uncertainty of 0.007.

rates = torch.tensor([2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0])
clean = torch.log(noise.photons / rates).repeat(20000, 1)
draws = noise.sample(clean, generator=derive_generator(0, "rates"))
target, weight = noise.quadratic(draws)
logarithm = -torch.log(draws.clamp_min(0.5) / noise.photons)
biases = {
    "log, weight y": draws * (logarithm - clean),
    "log, one weight": rates * (logarithm - clean),
    "surrogate": weight * (target - clean),
}
figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
colours = ("#b5482a", "#5b8c3e", "#2f6f9f")
for (name, score), colour in zip(biases.items(), colours, strict=True):
    mean = score.mean(0) / rates.sqrt()
    axis.plot(rates, mean, "o-", color=colour, label=name)
    print(
        f"{name}: "
        + ", ".join(f"{m:.3f} at m = {r:g}" for m, r in zip(mean[:4], rates, strict=False))
    )
axis.axhline(0, color="#667085", linewidth=0.8)
axis.set(xscale="log", xlabel="expected counts m", ylabel="mean score / spread")
axis.legend(frameon=False)

# %%
# What the weights are worth
# --------------------------
# The same counts, reconstructed in four ways. Filtered back-projection treats all rays alike, and
# so does least squares with one weight, that of the mean variance; both are noisy, as the few
# counts of the long paths decide. With the weights, least squares is smooth but blurred: it is
# stopped where the noise is reached, and the many bright rays beside the body get there long before
# the dark ones that carry the detail. Total variation with the same weights looks for the image of
# least variation that explains the data, and keeps edges instead.

variance = (1 / likelihood.precision.clamp_min(1)).mean()
alike = Likelihood(scan, GaussianNoise(float(variance.sqrt())), likelihood.target)
results = {
    "FBP": fbp(likelihood),
    "one weight": least_squares(alike),
    "weighted": least_squares(likelihood),
    "weighted, TV": total_variation(likelihood, low=0.0, num_steps=200),
}


def decibels(values):
    """PSNR over the range of the bundled CT prior, -1000 to 1500 HU."""
    return float(psnr(values, truth, data_range=2.5 * MU_WATER))


figure, axes = plt.subplots(1, 5, figsize=(12, 2.8), layout="constrained")
for axis, (name, values) in zip(axes, {"truth": truth, **results}.items(), strict=True):
    title = name if name == "truth" else f"{name}\n{decibels(values):.1f} dB"
    axis.imshow(mu_to_hu(values.numpy()), cmap="gray", vmin=-300, vmax=500)
    axis.set_title(title, fontsize=10)
    axis.axis("off")
for name, values in results.items():
    print(f"{name}: {decibels(values):.1f} dB")

# %%
# Dose
# ----
# FBP and weighted total variation from 300 to 30000 photons a ray, one draw each. The gain of the
# weights and of the regularisation grows as the dose falls.

doses = np.array([300.0, 1000.0, 3000.0, 10000.0, 30000.0])
curves = {"FBP": [], "weighted, TV": []}
for photons in doses:
    model = TransmissionNoise(photons)
    y = model.sample(scan(truth), generator=derive_generator(0, "dose", int(photons)))
    problem = Likelihood(scan, model, y)
    curves["FBP"].append(decibels(fbp(problem)))
    curves["weighted, TV"].append(decibels(total_variation(problem, low=0.0, num_steps=100)))
figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (name, curve), colour in zip(curves.items(), ("#b5482a", "#2f6f9f"), strict=True):
    axis.plot(doses, curve, "o-", color=colour, label=name)
    print(f"{name}: " + ", ".join(f"{value:.1f}" for value in curve))
axis.set(xscale="log", xlabel="photons a ray", ylabel="PSNR (dB)")
axis.legend(frameon=False)
