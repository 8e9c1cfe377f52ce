r"""
What guidance ought to be, and what it is
=========================================

A diffusion sampler turns prior samples into posterior ones if it adds the gradient of
log p(y | x_t) to the score. For a trained prior nobody knows it; for a mixture of Gaussians it is
exact, and the approximations of DPS, PiGDM and moment matching can be laid beside it.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior, half_range
from invdiff.rng import derive_generator
from invdiff.samplers import MomentMatching, PiGDM, problem_scale
from invdiff.theory import diffused_posterior
from operators import GaussianNoise, Mask

prior = GaussianMixturePrior(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[-1.2, -1.5], [1.0, 0.0], [0.2, 2.0]], dtype=torch.float64),
    torch.tensor(
        [[[0.3, 0.1], [0.1, 0.1]], [[0.15, -0.08], [-0.08, 0.2]], [[0.2, 0.0], [0.0, 0.08]]],
        dtype=torch.float64,
    ),
)
likelihood = Likelihood(
    Mask(torch.tensor([True, False])), GaussianNoise(0.3), torch.tensor([0.1], dtype=torch.float64)
)
exact = diffused_posterior(prior, likelihood)

# %%
# Three approximations
# --------------------
# The truth is p(y | x_t) = E[p(y | x0) | x_t]. DPS puts the mean D in place of all x0 that x_t
# could come from. PiGDM takes a Gaussian about D whose width depends on the noise level alone, and
# moment matching the Gaussian whose covariance is that of x0 given x_t.


def dps(x, sigma):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood.log_prob(prior(x, sigma)).sum(), x)
    return gradient


def guided_by(sampler):
    scale = problem_scale(likelihood, prior)
    return lambda x, sigma: sampler.guidance(x, sigma, likelihood, prior, scale).score


# of the measured coordinate, in the units of the samplers
width = float(prior.covariance()[0, 0].sqrt()) / half_range(prior)
fields = {
    "exact": exact.guidance_score,
    "DPS": dps,
    "PiGDM": guided_by(PiGDM(prior_std=width)),
    "moment matching": guided_by(MomentMatching()),
}

# %%
# The fields
# ----------
# Arrows are the gradients times sigma, with their lengths compressed to at most 1, over the density
# of x_t. At low noise all fields point to the measured coordinate. With more noise DPS, which takes
# D for certain, pulls much too hard; the other two allow for what x0 could be. At high noise the
# truth is a gentle push towards the mode that the data favour. All three approximations miss it, as
# x0 given x_t is then not Gaussian at all.

levels = (0.2, 0.7, 2.0)
side = torch.linspace(-1, 1, 13, dtype=torch.float64)
figure, axes = plt.subplots(3, 4, figsize=(11, 8.4), layout="constrained")
for row, level in zip(axes, levels, strict=True):
    sigma = torch.tensor(level, dtype=torch.float64)
    reach = 2.6 + level
    x = reach * torch.cartesian_prod(side, side)
    fine = reach * torch.linspace(-1, 1, 81, dtype=torch.float64)
    density = prior.log_prob(torch.cartesian_prod(fine, fine), sigma).exp().reshape(81, 81).T
    for axis, (name, field) in zip(row, fields.items(), strict=True):
        arrows = level * field(x, sigma).detach()
        arrows = arrows / (1 + arrows.norm(dim=1, keepdim=True))
        axis.contourf(
            fine.numpy(), fine.numpy(), density.numpy(), levels=8, cmap="Greys", alpha=0.5
        )
        axis.quiver(
            *x.T.numpy(), *arrows.T.numpy(), color="#b5482a", scale=9, width=0.006, pivot="mid"
        )
        axis.set(aspect="equal", xticks=[], yticks=[])
        if level == levels[0]:
            axis.set_title(name)
    row[0].set_ylabel(f"sigma = {level}")

# %%
# How far off
# -----------
# The root mean square error over draws of x_t, in shares of that of the exact field.

grid = torch.logspace(-1.3, 1, 24, dtype=torch.float64)
errors = {name: [] for name in fields if name != "exact"}
clean = prior.sample(2000, generator=derive_generator(0, "x0"))
noise = torch.randn(2000, 2, generator=derive_generator(0, "n"), dtype=torch.float64)
for sigma in grid:
    x = clean + sigma * noise
    truth = exact.guidance_score(x, sigma)
    for name, found in errors.items():
        off = (fields[name](x, sigma).detach() - truth).square().mean()
        found.append(float((off / truth.square().mean()).sqrt()))

figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, found), colour in zip(errors.items(), ("#b5482a", "#2f6f9f", "#5b8c3e"), strict=True):
    axis.loglog(grid.numpy(), found, color=colour, label=name)
    print(f"{name}: largest error {max(found):.2f} at sigma {grid[found.index(max(found))]:.2f}, "
          f"at the lowest level {found[0]:.3f}, at the highest {found[-1]:.2f}")  # fmt: skip
axis.set(xlabel="sigma", title="relative error of the guidance")
axis.legend()
