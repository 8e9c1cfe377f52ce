r"""
Two images with the same data
=============================

An operator with fewer measurements than pixels has a null space: images that it doesn't see. Add
one to any reconstruction, and the data are explained as well as before. What is decided there is
decided by the prior. Here the null space of a CT scan is computed, a lesion is split into what the
scan sees and what it doesn't, and the differences between samples are split alike.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.data import MU_WATER, fill, hu_to_mu, orient, read_dicom, sample_path
from invdiff.likelihood import Likelihood
from invdiff.priors import load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.samplers import DiffPIR
from operators import GaussianNoise, ImageGrid, ParallelBeam2D, ParallelGeometry
from operators.testing import to_dense

# %%
# What a scan sees
# ----------------
# At 64 x 64 pixels the matrix of a scan is small enough for its singular value decomposition. A
# component of the image along the singular vector v is seen if it changes the data by more than
# their noise: here by more than sigma for a component of 10 HU times the square root of the number
# of pixels. What is left is the null space, for this noise.

scan = fill(orient(read_dicom(sample_path("sts-044"))), 64)
truth = torch.from_numpy(hu_to_mu(scan.values[2])).float()
grid = ImageGrid((64, 64), scan.spacing[1:])
rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
lesion = 0.2 * MU_WATER * ((rows - 38) ** 2 + (columns - 24) ** 2 <= 3.2**2)


def scan_with(num_views):
    """Return the operator and the noise of a scan."""
    operator = ParallelBeam2D(grid, ParallelGeometry.covering(grid, num_views))
    return operator, GaussianNoise(0.005 * operator(truth).max().item())


def seen_directions(operator, noise):
    """Orthonormal images that a component of 10 HU on average is seen along, ``(k, n)``."""
    matrix = to_dense(operator).double()
    values, vectors = torch.linalg.eigh(matrix @ matrix.T)  # of the squared singular values
    strength = 0.01 * MU_WATER * truth.numel() ** 0.5 * values.clamp(min=0).sqrt()
    kept = strength > noise.sigma
    return (matrix.T @ (vectors[:, kept] / values[kept].sqrt())).T


def seen(image, basis):
    """Return the part of images that the scan sees; the rest is in the null space."""
    flat = image.flatten(-2).double()
    return (flat @ basis.T @ basis).reshape(image.shape).float()


bases = {n: seen_directions(*scan_with(n)) for n in (4, 8, 16)}
print("views  measurements  directions seen  lesion seen  slice seen")
for n, basis in bases.items():
    parts = [
        (seen(image, basis).square().sum() / image.square().sum()).item()
        for image in (lesion, truth)
    ]
    count = scan_with(n)[0].out_shape
    share = len(basis) / truth.numel()
    print(f"{n:5} {count[0] * count[1]:13} {share:16.0%} {parts[0]:12.0%} {parts[1]:11.1%}")

# %%
# The shares of lesion and slice are of squared pixels. A slice is smooth, and nearly all of it is
# seen; what is small and sharp is not.
#
# The same data, twice
# --------------------
# The slice with the lesion, and the same minus what 8 views don't see of the lesion. Their data
# differ by far less than the noise, so no method can tell from them which was scanned: a prior that
# takes one for likelier than the other decides.

operator, noise = scan_with(8)
with_lesion = truth + lesion
hidden = lesion - seen(lesion, bases[8])
other = with_lesion - hidden
difference = operator(other) - operator(with_lesion)
change = difference.square().mean().sqrt() / noise.sigma
print(f"root mean square change of the data: {change:.3f} sigma")
print(f"largest change of the image: {1000 * hidden.abs().max() / MU_WATER:.0f} HU")

WINDOW = {"cmap": "gray", "vmin": 0.8 * MU_WATER, "vmax": 1.4 * MU_WATER}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.5), layout="constrained")
panels = {"one image": with_lesion, "the same data": other, "one minus the other": hidden}
half = {"cmap": "gray", "vmin": -0.2 * MU_WATER, "vmax": 0.2 * MU_WATER}
for axis, (title, values) in zip(axes, panels.items(), strict=True):
    axis.imshow(values.numpy(), **(half if values is hidden else WINDOW))
    axis.set_title(title)
    axis.axis("off")

# %%
# Where samples differ
# --------------------
# Eight samples from 8 views. Their deviations from the mean, and the error of the mean, are split:
# what the scan sees is fixed by the data, what it doesn't is filled by the prior.

y = noise.sample(operator(truth), generator=derive_generator(0, "noise"))
likelihood = Likelihood(operator, noise, y)
prior = rescale(load_prior("ct-256", size=(64, 64)), 0.0, 2.5 * MU_WATER)
samples = DiffPIR(num_steps=20, regularization=1.0, noise_fraction=1.0).sample(
    likelihood, prior, 8, generator=derive_generator(0, "sampler")
)
mean = samples.mean()
deviations = samples.values - mean
splits = {"deviation of samples": deviations, "error of the mean": (mean - truth)[None]}
figure, axes = plt.subplots(2, 3, figsize=(8.5, 5.4), layout="constrained")
for row, (name, values) in zip(axes, splits.items(), strict=True):
    visible = seen(values, bases[8])
    root = [
        1000 / MU_WATER * part.square().mean().sqrt().item()
        for part in (values, visible, values - visible)
    ]
    print(f"{name}: {root[0]:.0f} HU in all, {root[1]:.0f} HU seen, {root[2]:.0f} HU not seen")
    parts = {name: values[0], "seen by the scan": visible[0], "not seen": (values - visible)[0]}
    for axis, (title, image) in zip(row, parts.items(), strict=True):
        shown = axis.imshow(1000 / MU_WATER * image.numpy(), cmap="gray", vmin=-300, vmax=300)
        axis.set_title(title)
        axis.axis("off")
figure.colorbar(shown, ax=axes, label="HU", shrink=0.7)

# %%
# The error lies mostly where the scan doesn't see, along edges. The samples differ there as well,
# but by about a third of the error: the prior is surer of what it fills in than it should be.
