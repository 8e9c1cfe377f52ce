r"""
Adjoints, spectra and null spaces
=================================

Every reconstruction applies :math:`A^H`. This script shows how an adjoint is tested, what a nearly
right one does to a solver, what the singular values say about an operator, and which part of an
image the data don't see: the part that a prior has to fill in.
"""

import dataclasses
import math

import matplotlib.pyplot as plt
import torch

from invdiff.data import MU_WATER, fill, hu_to_mu, read_dicom, sample_path
from invdiff.linalg import cg_iterates
from invdiff.metrics import nrmse
from invdiff.rng import derive_generator
from operators import (
    Blur,
    ImageGrid,
    LinearOperator,
    ParallelBeam2D,
    ParallelGeometry,
    SingleCoilMRI,
    cartesian_lines,
    gaussian_psf,
)
from operators.testing import dot_test, to_dense

# %%
# The dot test
# ------------
# A and B are adjoint if :math:`\langle A x, y \rangle = \langle x, B y \rangle` for all x and y.
# Two random vectors are enough to find a mistake. The wrong operator projects along one scan and
# back-projects along another, whose detector is moved by half an element: a common mistake of
# conventions.

size = 64
image = fill(read_dicom(sample_path("sts-044")).middle(), size)
truth = torch.from_numpy(hu_to_mu(image.values[0])).double() / MU_WATER
grid = ImageGrid((size, size))
geometry = ParallelGeometry.covering(grid, 60)
scan = ParallelBeam2D(grid, geometry).double()
moved = ParallelBeam2D(grid, dataclasses.replace(geometry, detector_offset=0.5)).double()


class Mismatched(LinearOperator):
    """Projection along one scan, back-projection along another."""

    def __init__(self):
        super().__init__(scan.in_shape, scan.out_shape)

    def _forward(self, x):
        return scan(x)

    def _adjoint(self, y):
        return moved.adjoint(y)


for name, operator in {"exact": scan, "half an element off": Mismatched()}.items():
    error = dot_test(operator, generator=derive_generator(0, "dot"))
    print(f"{name}: passes {error < 1e-10}, dot test {error:.0e}")

# %%
# What a wrong adjoint does
# -------------------------
# Conjugate gradients on :math:`A^H A x = A^H y`, for data without noise. With the exact adjoint the
# error falls at every step. With the other one the map isn't symmetric any more: the error falls at
# first, then the iteration diverges. At step 5 little is to be seen yet, and a solver that stops
# there hides the mistake.

data = scan(truth)
figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (name, back), colour in zip(
    {"exact adjoint": scan, "half an element off": moved}.items(),
    ("#2f6f9f", "#b5482a"),
    strict=True,
):
    iterates = cg_iterates(
        lambda x, back=back: back.adjoint(scan(x)), back.adjoint(data), num_dims=2
    )
    images = [next(iterates)[0] for _ in range(61)]
    errors = [float(nrmse(x, truth)) for x in images]
    axis.semilogy(errors, color=colour, label=name)
    print(
        f"{name}: error {errors[5]:.3f} at step 5, "
        f"{min(errors):.3f} at best, {errors[60]:.2g} at 60"
    )
axis.set(xlabel="steps of conjugate gradients", ylabel="NRMSE", ylim=(None, 10))
axis.legend(frameon=False)

# %%
# Singular values
# ---------------
# The matrices of small operators, 24 x 24 pixels, each scaled to a largest singular value of 1. A
# blur falls smoothly: nothing is lost, all is damped. MRI has only ones and zeros: a coordinate is
# measured or not. A full CT scan falls slowly; a limited arc has a tail of values that are small
# but not zero, and few views stop where the equations do.

small = ImageGrid((24, 24))
mask = cartesian_lines((24, 24), 3, 0.2, generator=derive_generator(0, "mask"))
operators = {
    "blur": Blur(gaussian_psf(1.0, 9), (24, 24)),
    "MRI, a third of the lines": SingleCoilMRI(mask),
    "CT, 36 views": ParallelBeam2D(small, ParallelGeometry.covering(small, 36)),
    "CT, 36 views within 90°": ParallelBeam2D(
        small, ParallelGeometry.covering(small, 36, arc=math.pi / 2)
    ),
    "CT, 8 views": ParallelBeam2D(small, ParallelGeometry.covering(small, 8)),
}
figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
colours = ("#5b8c3e", "#8a5aa3", "#2f6f9f", "#b5482a", "#667085")
for (name, operator), colour in zip(operators.items(), colours, strict=True):
    spectrum = torch.linalg.svdvals(to_dense(operator))
    spectrum = spectrum / spectrum[0]
    padded = torch.zeros(576, dtype=torch.float64)
    padded[: min(576, len(spectrum))] = spectrum[:576]
    axis.semilogy(padded.clamp_min(1e-6), color=colour, label=name)
    usable = int((padded > 1e-2).sum())
    print(f"{name}: {usable} of 576 singular values above 0.01 of the largest")
axis.set(xlabel="index", ylabel="singular value", ylim=(3e-4, 2))
axis.legend(frameon=False, fontsize=8)

# %%
# What the data cannot see
# ------------------------
# The right singular vectors of positive values span what is measured; the rest of the image is in
# the null space. With 8 views of 48 x 48 pixels the image splits into a measured part, which is the
# least-squares solution of smallest norm, and an unseen one. The unseen part has little energy, and
# it has the edges. Adding it a second time changes the picture and not a single datum. The window
# of the third image is shifted: grey is 0.

coarse = fill(read_dicom(sample_path("sts-044")).middle(), 48)
x = torch.from_numpy(hu_to_mu(coarse.values[0])).double() / MU_WATER
grid = ImageGrid((48, 48))
few = ParallelBeam2D(grid, ParallelGeometry.covering(grid, 8)).double()
_, s, Vh = torch.linalg.svd(to_dense(few), full_matrices=False)
V = Vh[s > 1e-8 * s[0]].T
seen = (V @ (V.T @ x.flatten())).reshape(48, 48)
unseen = x - seen
print(f"rank {V.shape[1]} of {x.numel()} unknowns")
print(f"energy in the null space: {float(unseen.square().sum() / x.square().sum()):.1%}")
change = float(nrmse(few(x + unseen), few(x)))
print(f"data of the image and of the altered image differ by less than 1e-10: {change < 1e-10}")

figure, axes = plt.subplots(1, 4, figsize=(11, 3.2), layout="constrained")
shown = {"image": x, "seen": seen, "unseen": unseen, "image + unseen": x + unseen}
for axis, (name, values) in zip(axes, shown.items(), strict=True):
    low = -1 if name == "unseen" else 0
    axis.imshow(values.numpy(), cmap="gray", vmin=low, vmax=low + 2)
    axis.set_title(name)
    axis.axis("off")
