r"""
What moves RED-diff
===================

RED-diff goes through the noise levels once, from high to low, and at each of them moves its image
towards a compromise between the data and a denoised image. How much each side counts at each level
is a weight, and the weight decides what the result looks like.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.data import MU_WATER, fit, hu_to_mu, read_dicom, sample_path
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.priors import load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff, karras_sigmas, snr_weight
from operators import GaussianNoise, ImageGrid, ParallelBeam2D, ParallelGeometry

image = fit(read_dicom(sample_path("sts-044")).middle(), 64)
truth = torch.from_numpy(hu_to_mu(image.values[0])).float()
grid = ImageGrid((64, 64), image.spacing[1:])
scan = ParallelBeam2D(grid, ParallelGeometry.covering(grid, num_views=12))
clean = scan(truth)
noise = GaussianNoise(sigma=0.01 * float(clean.max()))
likelihood = Likelihood(scan, noise, noise.sample(clean, generator=derive_generator(0, "noise")))
prior = rescale(load_prior("ct-256", size=(64, 64)), 0.0, 2.5 * MU_WATER)


def quality(result):
    return float(psnr(result, truth, data_range=2.5 * MU_WATER))


# %%
# The iterates
# ------------
# The first image is a least-squares one, with all its streaks. Most is gained at low levels, where
# the prior counts most; the residual rises there towards that of the noise. A callback sees the
# image after every step.

seen = []
samples = RedDiff(num_steps=40).sample(
    likelihood,
    prior,
    1,
    generator=derive_generator(0, "sampler"),
    callback=lambda progress: seen.append((progress.sigma, progress.misfit, progress.image[0])),
)
half = 2.5 * MU_WATER / 2
figure, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
for axis, step in zip(axes, (0, 4, 12, 24, 39), strict=True):
    sigma, _, picture = seen[step]
    axis.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1.8 * MU_WATER)
    title = f"step {step + 1}, $\\sigma$ = {float(sigma) / half:.2f}"
    axis.set(title=title, xticks=[], yticks=[])

figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
levels = [float(sigma) / half for sigma, _, _ in seen]
axes[0].semilogx(levels, [quality(picture) for _, _, picture in seen], color="#b5482a")
axes[0].set(title="PSNR of the iterates, dB", xlabel="sigma, half data ranges")
axes[1].loglog(levels, [float(misfit) for _, misfit, _ in seen], color="#2f6f9f")
axes[1].axhline(1, color="#667085", linewidth=0.8)
axes[1].set(title="residual over noise", xlabel="sigma, half data ranges")
for axis in axes:
    axis.invert_xaxis()

# %%
# The weights
# -----------
# The prior's term is multiplied by lambda f(sigma) / sigma. The default f is the inverse square:
# a denoised image at a low level is trusted much more than one at a high level. With the other
# three the low levels count less, and after this many steps more of the streaks are left.

sigmas = karras_sigmas(40, 1.0, 0.015)
names = ("inverse_square", "constant", "sqrt", "linear")
colours = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3")
figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, colour in zip(names, colours, strict=True):
    weight = snr_weight(name, sigmas) / sigmas
    axis.loglog(sigmas.numpy(), weight.numpy(), color=colour, label=name)
axis.set(xlabel="sigma, half data ranges", title="f(sigma) / sigma")
axis.invert_xaxis()
axis.legend()

# %%
# The same data under each weight. Lambda is chosen for each by the truth, from four values a factor
# of ten apart, which no scan can do: the comparison is of the shapes, not of their scale.

results = {}
for name in names:
    best = max(
        (
            RedDiff(num_steps=12, weighting=name, regularization=strength)
            .sample(likelihood, prior, 1, generator=derive_generator(0, "sampler"))
            .mean()
            for strength in (0.03, 0.3, 3.0, 30.0)
        ),
        key=quality,
    )
    results[name] = best
figure, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
for axis, (name, picture) in zip(axes, {"truth": truth, **results}.items(), strict=True):
    axis.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1.8 * MU_WATER)
    axis.set(title=name, xticks=[], yticks=[])
for name, picture in results.items():
    misfit = float(likelihood.residual_over_noise(picture))
    print(f"{name}: {quality(picture):.1f} dB, residual {misfit:.2f} times the noise")
