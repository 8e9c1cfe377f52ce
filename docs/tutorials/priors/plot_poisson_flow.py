r"""
From Poisson flows to diffusion
===============================

PFGM++ disturbs images by noise whose size differs from image to image: a Student t of D degrees
of freedom. D = 1 is the Poisson flow, D = infinity is diffusion. The loss, the network and the ODE
stay the same; only the noise of the training and the start of the sampler change. For points
instead of images, the denoiser of every D is known exactly.
"""

import math

import matplotlib.pyplot as plt
import torch

from invdiff.priors import StudentAtoms
from invdiff.rng import derive_generator
from invdiff.samplers import HeunSampler
from invdiff.training import StudentPerturbation

# %%
# The same points under four noises
# ---------------------------------
# Twelve points on a ring, with noise of standard deviation sigma along each axis, as the networks
# of each D would see them. Few degrees of freedom have far outliers, which are cut off here.

angle = 2 * math.pi * torch.arange(12, dtype=torch.float64) / 12
ring = torch.stack([angle.cos(), angle.sin()], 1)
priors = {dof: StudentAtoms(ring, dof) for dof in (1.0, 8.0, 128.0, math.inf)}

noises = {dof: StudentPerturbation(dof) for dof in priors}
points = ring.repeat(40, 1).reshape(-1, 1, 1, 2)
figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained", sharex=True, sharey=True)
for axis, (dof, noise) in zip(axes, noises.items(), strict=True):
    noisy = points + 0.15 * noise.sample(points, derive_generator(0, "noise"))
    axis.plot(*noisy.reshape(-1, 2).T.numpy(), ".", color="#2f6f9f", markersize=3)
    axis.set(title=f"D = {dof:g}", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")

# %%
# The way back
# ------------
# Heun's method takes each of 200 starts to a point. The starts are draws of the noise of D at the
# highest level: a Gaussian start would leave the far ones of D = 1 out.

figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained", sharex=True, sharey=True)
for axis, (dof, prior) in zip(axes, priors.items(), strict=True):
    way = []
    samples = HeunSampler(num_steps=60, sigma_max=20.0, dof=dof).sample(
        prior,
        200,
        generator=derive_generator(0, "starts"),
        dtype=torch.float64,
        callback=lambda progress, way=way: way.append(progress.image.clone()),
    )
    lines = torch.stack(way)[:, :40].numpy()
    axis.plot(lines[..., 0], lines[..., 1], color="#98a2b3", linewidth=0.6)
    axis.plot(*samples.values.T.numpy(), ".", color="#b5482a")
    axis.set(title=f"D = {dof:g}", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    nearest = torch.cdist(samples.values, ring).min(1)
    counts = torch.bincount(nearest.indices, minlength=12)
    print(
        f"D = {dof:g}: {int((nearest.values > 0.01).sum())} of 200 ends away from all points, "
        f"{int(counts.min())} to {int(counts.max())} nearest to each"
    )

# %%
# With D = 1 in so few dimensions a path can end between two points: the field that leads on to one
# of them is nearly flat there, and steps of finite length miss it. Images have many dimensions.
