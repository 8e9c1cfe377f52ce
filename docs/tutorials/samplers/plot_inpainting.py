r"""
Many answers for one hole
=========================

A square of a head image is missing. The data say nothing about what was there, so that a sampler of
the posterior gives another answer each time. Where samples differ the data do not decide,
and no single one of them is a finding; where they agree, data or prior may be the reason.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.data import orient, read_dicom, sample_path, to_spacing
from invdiff.likelihood import Likelihood
from invdiff.priors import load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.samplers import DDNM, RedDiff
from operators import GaussianNoise, Mask

# %%
# An image with a hole
# --------------------
# A part of 64 x 64 pixels of 1 mm, of which a square of 14 x 14 is missing. The others are measured
# with noise of 2 % of the range.

image = to_spacing(orient(read_dicom(sample_path("head-t1"))), 256, 1.0).middle()
values = torch.from_numpy(image.values[0]).float()
truth = (values / values.quantile(0.997)).clamp(0, 1)[96:160, 64:128]
known = torch.ones(64, 64, dtype=torch.bool)
known[25:39, 25:39] = False
operator, noise = Mask(known), GaussianNoise(0.02)
y = noise.sample(operator(truth), generator=derive_generator(0, "noise"))
likelihood = Likelihood(operator, noise, y)

# %%
# Six samples
# -----------
# DDNM denoises, puts what was measured in its place and adds noise again, from high noise to low.
# In the hole this is a draw from the prior given the surroundings; where data are it follows them
# too closely, and its spread there is less than the posterior's.

prior = rescale(load_prior("brain-mr-256", size=(64, 64)), 0.0, 1.0)
sampler = DDNM(num_steps=40, sigma_max=3.0)
samples = sampler.sample(likelihood, prior, 6, generator=derive_generator(0, "sampler"))

figure, axes = plt.subplots(2, 4, figsize=(9, 4.7), layout="constrained")
pictures = [truth, torch.where(known, operator.adjoint(y), 1.0), *samples.values]
titles = ["truth", "measured", *(f"sample {i + 1}" for i in range(6))]
for axis, picture, title in zip(axes.flat, pictures, titles, strict=True):
    axis.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])

# %%
# Their mean and spread
# ---------------------
# Away from the hole the samples agree, and in it they differ. But the error of their mean is about
# twice their spread: where all six continue the bright tissue the truth does not, and a spread near
# 0 is no promise there. RED-diff looks for one image; its repetitions differ only by the
# algorithm's own noise, and their spread says less still.

single = RedDiff(num_steps=40).sample(likelihood, prior, 6, generator=derive_generator(0, "single"))
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
axes[0].imshow(samples.mean().numpy(), cmap="gray", vmin=0, vmax=1)
axes[1].imshow((samples.mean() - truth).abs().numpy(), cmap="magma", vmin=0, vmax=0.3)
axes[2].imshow(samples.std().numpy(), cmap="magma", vmin=0, vmax=0.3)
shown = axes[3].imshow(single.std().numpy(), cmap="magma", vmin=0, vmax=0.3)
titles = ("mean of the samples", "its error", "spread of the samples", "spread, RED-diff")
for axis, title in zip(axes, titles, strict=True):
    axis.set(title=title, xticks=[], yticks=[])
figure.colorbar(shown, ax=axes)

for name, found in (("DDNM", samples), ("RED-diff", single)):
    spread, error = found.std(), (found.mean() - truth) ** 2
    print(
        f"{name}: spread {spread[known].mean():.3f} where measured, {spread[~known].mean():.3f} in "
        f"the hole, where the error of the mean is {error[~known].mean().sqrt():.3f}"
    )
