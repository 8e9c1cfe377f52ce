r"""
Blur, and why inverting it amplifies noise
==========================================

A blurred image is the image under a point spread function. Dividing by its transfer function undoes
the blur exactly, and is spoiled by very little noise. The decomposition of the operator shows why,
and what regularisation does about it.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.classical import least_squares, total_variation
from invdiff.data import fill, orient, read_dicom, sample_path, to_spacing
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.rng import derive_generator
from operators import (
    Blur,
    GaussianNoise,
    defocus_psf,
    gaussian_psf,
    motion_psf,
    random_motion_psf,
)
from operators.fourier import fft

head = fill(to_spacing(orient(read_dicom(sample_path("head-t1"))).middle(), 256, 1.0), 128)
values = torch.from_numpy(head.values[0]).double()
truth = (values / values.quantile(0.997)).clamp(0, 1)
shape = (128, 128)


def show(axis, image, name):
    """Show an image in [0, 1] with its PSNR."""
    quality = float(psnr(image, truth, data_range=1.0))
    axis.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"{name}: {quality:.1f} dB", fontsize=10)
    axis.axis("off")
    print(f"{name}: {quality:.1f} dB")


# %%
# Four point spread functions
# ---------------------------
# Above the function, in the middle the blurred image, below the modulus of the transfer function on
# a logarithmic scale, from 0.001 to 1. A Gaussian falls steadily towards high frequencies; motion
# and defocus have zeros along lines and circles.

path = derive_generator(0, "path")
functions = {
    "Gaussian": gaussian_psf(1.0, 21),
    "motion": motion_psf(12.0, 0.5, 21),
    "unsteady": random_motion_psf(18.0, 8.0, 21, generator=path),
    "defocus": defocus_psf(4.0, 21),
}
figure, axes = plt.subplots(3, 4, figsize=(10, 7.6), layout="constrained")
for (name, psf), (above, middle, below) in zip(functions.items(), axes.T, strict=True):
    blur = Blur(psf, shape)
    above.imshow(psf.numpy(), cmap="gray")
    above.axis("off")
    show(middle, blur(truth), name)
    point = torch.zeros(shape, dtype=torch.complex128)
    point[64, 64] = 1
    transfer = 128 * fft(blur(point.real).to(torch.complex128), (-2, -1)).abs()
    below.imshow(transfer.clamp_min(1e-3).log10().numpy(), cmap="gray", vmin=-3, vmax=0)
    below.axis("off")

# %%
# The inverse amplifies
# ---------------------
# The singular values of a periodic blur are the moduli of its transfer function. Noise of standard
# deviation sigma in the data becomes sigma / s in the coordinate of the singular value s: the mean
# square over all pixels is :math:`\sigma^2 \, \overline{1 / s^2}`. For the Gaussian blur, with
# noise a thousand times smaller than the image:

blur = Blur(functions["Gaussian"], shape)
s = blur.singular_values.double()
noise = GaussianNoise(0.001)
y = noise.sample(blur(truth), generator=derive_generator(0, "noise"))
amplified = float((1 / s.square()).mean().sqrt())
measured = float((blur.pinv(y) - truth).square().mean().sqrt())
print(f"singular values from {float(s.max()):.3f} down to {float(s.min()):.1e}")
print(f"error of the inverse: predicted {0.001 * amplified:.2f}, measured {measured:.2f}")

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
show(axes[0], y, "data")
show(axes[1], blur.pinv(blur(truth)), "inverse, no noise")
show(axes[2], blur.pinv(y), "inverse, noise 0.001")

# %%
# A filter for the singular values
# --------------------------------
# The Wiener filter keeps :math:`s^2 / (s^2 + \sigma^2 / P)` of each coordinate, with P the power
# that the image has there. Here P is the truth's own power averaged over coordinates of like
# frequency, which nobody has in practice: a bound for linear methods. A single number for P is
# Tikhonov's method; the mean power, most of which lies in a few low frequencies, keeps too much of
# the high ones. Least squares stopped at the noise level is such a filter as well and needs nothing
# but the noise level.

strong = GaussianNoise(0.02)
y = strong.sample(blur(truth), generator=derive_generator(0, "strong"))
likelihood = Likelihood(blur, strong, y)
coordinates = blur.Vh(truth)
order = s.flatten().argsort()
power = torch.empty_like(s).flatten()
for group in order.split(128):
    power[group] = coordinates.flatten()[group].square().mean()
power = power.reshape(s.shape)


def filtered(kept):
    """Invert with a factor for every coordinate."""
    return blur.V(kept / s * blur.Uh(y))


wiener = s.square() / (s.square() + 0.02**2 / power)
tikhonov = s.square() / (s.square() + 0.02**2 / coordinates.square().mean())
figure, axes = plt.subplots(1, 5, figsize=(13, 3), layout="constrained")
show(axes[0], y, "data")
show(axes[1], filtered(tikhonov), "Tikhonov")
show(axes[2], filtered(wiener), "Wiener")
show(axes[3], least_squares(likelihood), "least squares")
show(axes[4], total_variation(likelihood, low=0.0), "TV")

figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
sorted_s = s.flatten()[order]
axis.semilogx(sorted_s, wiener.flatten()[order], color="#2f6f9f", label="Wiener")
axis.semilogx(sorted_s, tikhonov.flatten()[order], color="#b5482a", label="Tikhonov")
axis.set(xlabel="singular value s", ylabel="share that is kept")
axis.legend(frameon=False)
half = float(sorted_s[(wiener.flatten()[order] > 0.5).int().argmax()])
lost = float((wiener < 0.5).double().mean())
print(f"Wiener keeps less than half below s = {half:.3f}: {lost:.0%} of the coordinates")
