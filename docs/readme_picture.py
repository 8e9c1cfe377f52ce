"""Make the picture of the README: a limb from 30 views, and how far to trust it."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from invdiff.classical import total_variation
from invdiff.data import MU_WATER, fill, hu_to_mu, mu_to_hu, read_dicom, sample_path
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.priors import load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.samplers import DiffPIR
from operators import GaussianNoise, ImageGrid, ParallelBeam2D, ParallelGeometry

TOP = 2.5 * MU_WATER
WINDOW = {"cmap": "gray", "vmin": -200, "vmax": 300}

scan = fill(read_dicom(sample_path("sts-044")).middle(), 256)
truth = torch.from_numpy(hu_to_mu(scan.values[0])).float()
grid = ImageGrid((256, 256), scan.spacing[1:])
A = ParallelBeam2D(grid, ParallelGeometry.covering(grid, num_views=30))
noise = GaussianNoise(sigma=0.005 * A(truth).max().item())
likelihood = Likelihood(A, noise, noise.sample(A(truth), generator=derive_generator(0, "noise")))
prior = rescale(load_prior("ct-256"), 0.0, TOP)
sampler = DiffPIR(num_steps=30, regularization=1.0, noise_fraction=1.0)
samples = sampler.sample(likelihood, prior, 16, generator=derive_generator(0, "sampler"))
classical = total_variation(likelihood, low=0.0)

images = {"Truth": truth, "Total variation": classical, "invdiff": samples.mean()}
figure, axes = plt.subplots(1, 5, figsize=(14, 3.1), layout="constrained")
axes[1].imshow(likelihood.y.numpy(), cmap="gray", aspect="auto", interpolation="nearest")
axes[1].set_title("Measurement: 30 views")
for axis, (name, image) in zip(axes[[0, 2, 3]], images.items(), strict=True):
    axis.imshow(mu_to_hu(image.numpy()), **WINDOW)
    quality = "" if name == "Truth" else f": {psnr(image, truth, data_range=TOP):.1f} dB"
    axis.set_title(f"{name}{quality}")
deviation = samples.std().numpy() / MU_WATER * 1000
drawn = axes[4].imshow(deviation, cmap="magma", vmin=0, vmax=100)
axes[4].set_title("Uncertainty (HU)")
figure.colorbar(drawn, ax=axes[4], extend="max", pad=0.02)
axes[1].set_box_aspect(1)
for axis in axes:
    axis.axis("off")
figure.savefig(Path(__file__).parent / "images" / "readme.png", dpi=90)
