r"""
What a denoiser knows
=====================

The prior of every sampler here is a denoiser: D(x, sigma) is the mean of all images that could have
become x under noise of standard deviation sigma. At low noise there is one such image, and D finds
it; at high noise there are many, and their mean is blurred. The shipped CT prior shows both.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.data import MU_WATER, fit, hu_to_mu, read_dicom, sample_path
from invdiff.priors import load_prior
from invdiff.rng import derive_generator

# %%
# One slice at four noise levels
# ------------------------------
# The patient was not in the training data. Images of the prior run from -1 to 1, and sigma counts
# in the same units: at sigma = 1 the noise is as strong as half the range.

image = fit(read_dicom(sample_path("sts-044")).middle(), 128)
truth = torch.from_numpy(hu_to_mu(image.values[0])).float() / (2.5 * MU_WATER) * 2 - 1
prior = load_prior("ct-256", size=(128, 128))
noise = torch.randn(truth.shape, generator=derive_generator(0, "noise"))

levels = (0.05, 0.2, 0.7, 2.0)
figure, axes = plt.subplots(3, 4, figsize=(10, 7.6), layout="constrained")
for column, level in zip(axes.T, levels, strict=True):
    noisy = truth + level * noise
    clean = prior(noisy, torch.tensor(level))
    column[0].imshow(noisy.numpy(), cmap="gray", vmin=-1, vmax=0.5)
    column[1].imshow(clean.numpy(), cmap="gray", vmin=-1, vmax=0.5)
    shown = column[2].imshow((clean - truth).numpy(), cmap="RdBu_r", vmin=-0.3, vmax=0.3)
    column[0].set_title(f"sigma = {level}")
    for axis in column:
        axis.set(xticks=[], yticks=[])
    error = float((clean - truth).square().mean().sqrt())
    print(f"sigma {level}: error {error:.3f}, {error / level:.0%} of the noise")
for axis, name in zip(axes[:, 0], ("noisy", "denoised", "error"), strict=True):
    axis.set_ylabel(name)
figure.colorbar(shown, ax=axes[2], shrink=0.9)

# %%
# The error without the truth
# ---------------------------
# The noise that was taken away, x - D, and the trace of the Jacobian of D tell the square error
# without knowing x0 (Stein's estimate):
#
# .. math:: E \|D - x_0\|^2 = E \|x - D\|^2 - \sigma^2 \dim + 2 \sigma^2 E \operatorname{tr} J
#
# The trace is that along one random direction, by a difference of two calls. Of 128 x 128 pixels
# the square error is told to about 1 % of sigma squared: of use below sigma = 0.4. Beside it stands
# the error of the best denoiser that knows only the mean and the variance of the pixels.

grid = torch.logspace(-1.5, 0.5, 9)
measured, estimated = [], []
probe = torch.randn(truth.shape, generator=derive_generator(0, "probe"))
for i, sigma in enumerate(grid):
    fresh = torch.randn(truth.shape, generator=derive_generator(0, "stein", i))
    noisy = truth + sigma * fresh
    step = 0.03 * sigma
    clean, moved = prior(torch.stack([noisy, noisy + step * probe]), sigma)
    trace = (probe * (moved - clean)).mean() / step
    measured.append(float((clean - truth).square().mean().sqrt()))
    stein = (noisy - clean).square().mean() - sigma**2 + 2 * sigma**2 * trace
    if sigma < 0.4:
        estimated.append(float(stein.sqrt()))

spread = float(truth.std())
figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
axis.loglog(grid.numpy(), grid.numpy(), color="#98a2b3", label="noise")
shrunk = grid * spread / (grid**2 + spread**2).sqrt()
axis.loglog(grid.numpy(), shrunk.numpy(), color="#667085", label="mean and variance only")
axis.loglog(grid.numpy(), measured, color="#b5482a", label="error of D")
axis.loglog(
    grid[: len(estimated)].numpy(),
    estimated,
    "o",
    color="#2f6f9f",
    label="estimated without the truth",
)
axis.set(xlabel="sigma", title="root mean square error")
axis.legend()
for sigma, error, guess in zip(grid.tolist(), measured, estimated, strict=False):
    print(f"sigma {sigma:.3f}: error {error:.4f}, estimated {guess:.4f}")
