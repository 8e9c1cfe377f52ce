r"""
A prior that is a projection
============================

A diffusion prior says at every noise level which way the images lie. A small network can learn from
it to go there in one step: f(z) is on the images, and f leaves them alone, so that f(f(z)) = f(z).
Such a projection takes the place of the denoiser in plug-and-play descent.
"""

import math

import matplotlib.pyplot as plt
import torch
from torch import nn

from invdiff.likelihood import Likelihood
from invdiff.priors import StudentAtoms, idempotence_error
from invdiff.rng import derive_generator
from invdiff.samplers import ProjectedDescent
from invdiff.training import Distillation, Training, drawn_network, train_idempotent
from operators import GaussianNoise, Matrix

# %%
# Learning to go to a ring
# ------------------------
# The teacher is the exact denoiser of 64 points on a ring. The network is asked for four things: to
# leave the ring alone, to be idempotent, to end where the teacher's score vanishes, and to move as
# little as that allows. No critic takes part, and the teacher is never differentiated.


def on_ring(count, generator):
    """Draw points of the ring."""
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    return torch.stack([angle.cos(), angle.sin()], 1)


angle = 2 * math.pi * torch.arange(64) / 64
teacher = StudentAtoms(torch.stack([angle.cos(), angle.sin()], 1), math.inf)

settings = Distillation(
    taus=(0.05, 1.5),
    sigmas=(0.1, 0.3),
    training=Training(
        num_steps=1500,
        learning_rate=3e-3,
        num_warmup=50,
        weight_decay=0.0,
        ema_decay=0.99,
        dtype=torch.float32,
    ),
)
network = drawn_network(
    lambda: nn.Sequential(
        nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
    ),
    generator=derive_generator(0, "weights"),
)
f = train_idempotent(network, teacher, on_ring, settings, generator=derive_generator(0, "training"))

z = 1.2 * torch.randn(300, 2, generator=derive_generator(0, "z"))
once = f.project(z)
print(f"distance from the ring: z {(z.norm(dim=1) - 1).abs().mean():.3f}, ", end="")
print(f"f(z) {(once.norm(dim=1) - 1).abs().mean():.3f}")
print(f"|f(f(z)) - f(z)|: {idempotence_error(f, z).mean():.3f}")

# %%
# Points go to the ring, most of them straight. About the centre no direction is the nearest, and a
# continuous f has to leave points in between.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharex=True, sharey=True)
circle = 2 * math.pi * torch.linspace(0, 1, 200)
moved = torch.stack([z, once])[:, :120].numpy()
axes[0].plot(moved[..., 0], moved[..., 1], color="#98a2b3", linewidth=0.6)
for axis, points, title in zip(
    axes, (z, once, f.project(once)), ("z, and the way to f(z)", "f(z)", "f(f(z))"), strict=True
):
    axis.plot(circle.cos(), circle.sin(), color="#b5482a", linewidth=1)
    axis.plot(*points.T.numpy(), ".", color="#2f6f9f", markersize=4)
    axis.set(title=title, aspect="equal", xlim=(-3, 3), ylim=(-3, 3))

# %%
# One number measured
# -------------------
# Of a point of the ring only x + 0.3 y = 0.6 is known, a line. Steps towards the line and
# projections onto the ring take turns; where they end depends on the start, since two points of the
# ring lie on the line.

operator = Matrix(torch.tensor([[1.0, 0.3]]))
likelihood = Likelihood(operator, GaussianNoise(0.05), torch.tensor([0.6]))
found = ProjectedDescent(num_steps=50, spread=1.0).sample(
    likelihood, f, 100, generator=derive_generator(0, "starts")
)
misfit = likelihood.residual_over_noise(found.values)
print(f"misfit over noise: {misfit.mean():.2f} on average, {misfit.max():.2f} at most")

figure, axis = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
axis.plot(circle.cos(), circle.sin(), color="#b5482a", linewidth=1, label="the prior")
x = torch.tensor([-3.0, 3.0])
axis.plot(x, (0.6 - x) / 0.3, color="#98a2b3", label="the measurement")
axis.plot(*found.values.T.numpy(), ".", color="#2f6f9f", label="descents")
axis.set(xlim=(-1.8, 1.8), ylim=(-1.8, 1.8), aspect="equal")
axis.legend(frameon=False, fontsize=8)
