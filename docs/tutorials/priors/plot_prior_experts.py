r"""
Two priors as one
=================

Priors that were trained apart, one for CT and one for MR, act as one prior of both: the denoiser of
a mixture is the sum of the denoisers of its parts, weighted by the probability of each part given
the noisy image. That is exact if these probabilities are, so that all depends on the router.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.data import MU_WATER, fit, hu_to_mu, orient, read_dicom, sample_path
from invdiff.metrics import psnr
from invdiff.priors import (
    GaussianMixturePrior,
    MixtureRouter,
    RoutedPrior,
    load_prior,
    mixture_components,
)
from invdiff.rng import derive_generator

# %%
# Exact experts
# -------------
# Three Gaussians are the experts of their mixture. The router's probabilities are sharp at low
# noise, and at high noise they come to be the shares of the parts.

whole = GaussianMixturePrior(
    torch.tensor([0.5, 0.3, 0.2]).double(),
    torch.tensor([[-1.2, -1.5], [1.0, 0.0], [0.2, 2.0]]).double(),
    torch.tensor(
        [[[0.3, 0.1], [0.1, 0.1]], [[0.15, -0.08], [-0.08, 0.2]], [[0.2, 0.0], [0.0, 0.08]]]
    ).double(),
)
parts = mixture_components(whole)
routed = RoutedPrior(parts, MixtureRouter(whole.weights, parts))
likeliest = RoutedPrior(parts, MixtureRouter(whole.weights, parts), top=1)

side = torch.linspace(-4, 4, 121, dtype=torch.float64)
plane = torch.cartesian_prod(side, side)
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.3), layout="constrained", sharey=True)
for axis, level in zip(axes, (0.3, 1.0, 5.0), strict=True):
    probability = routed.router(plane, torch.tensor(level).double()).exp()
    # the three probabilities as red, green and blue
    colours = probability.reshape(121, 121, 3).transpose(0, 1).numpy()
    axis.imshow(colours, origin="lower", extent=(-4, 4, -4, 4))
    axis.plot(*whole.means.T.numpy(), "+", color="white")
    axis.set(title=f"sigma = {level}", xlabel="x")

# %%
# Only the likeliest expert
# -------------------------
# ``top=1`` calls one expert for each image. It costs nothing where the router is sure. The error is
# the root mean square over draws of x, in shares of the error of the exact denoiser.

grid = torch.logspace(-1.3, 1, 20, dtype=torch.float64)
clean = whole.sample(4000, generator=derive_generator(0, "x0"))
noise = torch.randn(clean.shape, generator=derive_generator(0, "n"), dtype=torch.float64)
off, difference = [], 0.0
for sigma in grid:
    x = clean + sigma * noise
    exact = whole(x, sigma)
    difference = max(difference, float((routed(x, sigma) - exact).abs().max()))
    error = (exact - clean).square().mean()
    off.append(float(((likeliest(x, sigma) - exact).square().mean() / error).sqrt()))
print(f"all experts and the mixture differ by less than 1e-12: {difference < 1e-12}")
print(f"one expert: off by {max(off):.2f} at sigma {grid[off.index(max(off))]:.2f}, the most")
figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
axis.semilogx(grid.numpy(), off, color="#b5482a")
axis.set(xlabel="sigma", title="likeliest expert: difference over the error of the mixture")

# %%
# CT and MR
# ---------
# The two shipped priors on a slice of each kind that neither was trained on. A router that knows
# the kind gives the right expert; one that knows nothing gives both the same weight. How much each
# costs is what a trained router (``invdiff train train_router``) can gain. The head has pixels of
# 2 mm here, where the MR prior learnt from 1 mm.

limb = fit(read_dicom(sample_path("sts-044")).middle(), 128).values[0]
head = torch.from_numpy(fit(orient(read_dicom(sample_path("head-t1"))).middle(), 128).values[0])
images = {
    "CT": torch.from_numpy(hu_to_mu(limb)).float() / (2.5 * MU_WATER) * 2 - 1,
    "MR": (2 * (head / head.quantile(0.997)).clamp(0, 1) - 1).float(),
}
experts = [load_prior(name, size=(128, 128)) for name in ("ct-256", "brain-mr-256")]


def ignorant(x, sigma):
    return x.new_zeros(*x.shape[:-2], 2)


blind = RoutedPrior(experts, ignorant)
shown = {}
for k, (kind, image) in enumerate(images.items()):
    n = torch.randn(image.shape, generator=derive_generator(0, kind))
    for level in (0.1, 0.3, 1.0):
        x, sigma = image + level * n, torch.tensor(level)
        found = [experts[k](x, sigma), experts[1 - k](x, sigma), blind(x, sigma)]
        values = " / ".join(f"{float(psnr(d, image, data_range=2.0)):.1f}" for d in found)
        print(f"{kind}, sigma {level}: right / wrong / both {values} dB")
        if level == 0.3:
            shown[kind] = [image, x, *found]

# %%
# At sigma = 0.3: the wrong expert still removes most of the noise, as edges are edges, but not in
# the textures and grey values of the other kind.

titles = ("truth", "noisy", "right expert", "wrong expert", "both alike")
figure, axes = plt.subplots(2, 5, figsize=(11, 4.8), layout="constrained")
for row, (kind, pictures) in zip(axes, shown.items(), strict=True):
    top = 0.5 if kind == "CT" else 1.0
    for axis, picture, title in zip(row, pictures, titles, strict=True):
        axis.imshow(picture.numpy(), cmap="gray", vmin=-1, vmax=top)
        axis.set(title=title if kind == "CT" else "", xticks=[], yticks=[])
    row[0].set_ylabel(kind)
