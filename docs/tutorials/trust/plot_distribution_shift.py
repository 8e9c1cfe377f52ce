r"""
When the prior has never seen such an image
===========================================

A prior of limb CT is put before images that it was not trained on: a slice on its side, a slice of
inverted contrast, a head in MR, and noise without any structure. Three signs of warning are
measured: how well the prior denoises the truth (which needs the truth), whether the result explains
the data, and how much the prior would still change the result (which need none).
"""

import matplotlib.pyplot as plt
import torch

from invdiff.classical import total_variation
from invdiff.data import fill, orient, read_dicom, sample_path
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.priors import load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff
from operators import GaussianNoise, ImageGrid, ParallelBeam2D, ParallelGeometry

# %%
# Five images in the range of the prior
# -------------------------------------
# CT as the prior counts it, (HU + 1000) / 2500; MR over its 99.7th percentile.

ct = fill(orient(read_dicom(sample_path("sts-044"))), 64).values[2]
mr = fill(orient(read_dicom(sample_path("head-t1"))), 64).values[2]
limb = torch.from_numpy((ct + 1000) / 2500).float().clamp(0, 1)
head = torch.from_numpy(mr).float()
head = (head / head.quantile(0.997)).clamp(0, 1)
images = {
    "limb, CT": limb,
    "on its side": limb.rot90(),
    "inverted": 1 - limb,
    "head, MR": head,
    "noise": torch.rand(64, 64, generator=derive_generator(0, "image")),
}
truths = torch.stack(list(images.values()))
prior = rescale(load_prior("ct-256", size=(64, 64)), 0.0, 1.0)
mr_prior = rescale(load_prior("brain-mr-256", size=(64, 64)), 0.0, 1.0)

# %%
# Denoising
# ---------
# Noise of a known level is added and taken away. An image that the prior knows comes out far better
# than one that it doesn't.

levels = [0.03, 0.1, 0.3]
draw = torch.randn(64, 64, generator=derive_generator(0, "noise"))
print("PSNR (dB) at noise " + "".join(f"{level:7}" for level in levels))
figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
colors = ["#2f6f9f", "#5b8c3e", "#8a5aa3", "#b5482a", "#667085"]
for (name, image), color in zip(images.items(), colors, strict=True):
    quality = [
        psnr(prior(image + level * draw, torch.tensor(level)), image, data_range=1.0).item()
        for level in levels
    ]
    print(f"{name:19}" + "".join(f"{value:7.1f}" for value in quality))
    axis.plot(levels, quality, "o-", color=color, label=name)
axis.set(xscale="log", xlabel="noise level", ylabel="PSNR of the denoised image (dB)")
axis.set_xticks(levels, [str(level) for level in levels])
axis.minorticks_off()
figure.legend(*axis.get_legend_handles_labels(), loc="outside right center")

# %%
# Reconstruction
# --------------
# The same CT scan of 16 views for all. The residual is 1 where an image explains the data. The
# change is the root mean square difference between the result with the CT prior and what the same
# prior makes of it under noise of 0.1: it needs no truth, only results of scans like those of the
# training to compare with.

operator = ParallelBeam2D(ImageGrid((64, 64)), ParallelGeometry.covering(ImageGrid((64, 64)), 16))
clean = operator(truths)
noise = GaussianNoise(0.005 * clean[0].max().item())
likelihood = Likelihood(operator, noise, noise.sample(clean, generator=derive_generator(0, "y")))
results = {"TV": total_variation(likelihood, low=0.0, high=1.0, num_steps=200)}
for name, used in (("CT prior", prior), ("MR prior", mr_prior)):
    # one stream a problem, all of them alike
    streams = [derive_generator(0, "sampler") for _ in images]
    results[name] = RedDiff(num_steps=25).sample(likelihood, used, 1, generator=streams).mean()

quality = {name: psnr(values, truths, data_range=1.0) for name, values in results.items()}
residual = likelihood.residual_over_noise(results["CT prior"])
level = torch.tensor(0.1)
denoised = prior(results["CT prior"] + level * draw, level.expand(len(truths)))
change = (denoised - results["CT prior"]).square().mean((1, 2)).sqrt()
print("image          TV (dB)  CT prior (dB)  MR prior (dB)  residual  change")
for i, name in enumerate(images):
    row = [f"{quality[method][i]:15.1f}" for method in ("CT prior", "MR prior")]
    tv = f"{quality['TV'][i]:10.1f}"
    print(f"{name:12}{tv}{''.join(row)}{residual[i]:10.2f}{change[i]:8.3f}")

figure, axes = plt.subplots(3, 5, figsize=(9.5, 6), layout="constrained")
rows = {"truth": truths, "TV": results["TV"], "CT prior": results["CT prior"]}
for row, (method, values) in zip(axes, rows.items(), strict=True):
    for axis, name, image in zip(row, images, values, strict=True):
        axis.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"{name}: {method}", fontsize=9)
        axis.axis("off")

# %%
# The residual doesn't warn: with as few views almost any image can be made to explain the data. The
# head looks like a head, and its residual is 1.00. What the prior would still change does warn: it
# is more than half as large again for the inverted slice and the head, and almost four times as
# large for noise. The limb on its side passes every test here, and its reconstruction is as good:
# not each change of the images is a shift for the prior. Total variation beside it tells whether
# the prior helps at all; with inverted contrast it costs 1 dB.
