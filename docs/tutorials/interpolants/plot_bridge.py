r"""
Bridges between two laws
========================

A Brownian bridge goes from one point to another and is uncertain between. Mixed over pairs of ends,
bridges join two laws, and which start is paired with which end is a choice. The Schroedinger
bridge makes it so that the process is as close to a Brownian motion as the two laws allow. Between
Gaussians it is known in closed form.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch

from invdiff.interpolants import (
    BrownianGamma,
    GaussianCoupling,
    GaussianSchroedingerBridge,
    JointGaussianProcess,
    LinearPath,
    SampleNoise,
    TwoSided,
    bbdm,
    integrate_sde,
    time_grid,
)
from invdiff.rng import derive_generator

RED, BLUE, GREEN, GREY = "#b5482a", "#2f6f9f", "#5b8c3e", "#667085"


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


# %%
# One pair
# --------
# The interpolant x_t = (1 - t) x0 + t x1 + gamma(t) z of ``bbdm`` has the variance 2 s t (1 - t) of
# a Brownian bridge. Given both ends, exact paths are made step by step: from t to u the mean moves
# to the end by (u - t) / (1 - t) of the way, and the noise has the variance
# 2 s (u - t) (1 - u) / (1 - t).

bridge, times = bbdm(0.5), time_grid(100)
generator = derive_generator(0, "pair")
x = torch.full((400,), -1.0, dtype=torch.float64)
paths = [x]
for t, u in pairwise(times):
    variance = 2 * 0.5 * (u - t) * (1 - u) / (1 - t)
    z = torch.randn(400, generator=generator, dtype=torch.float64)
    x = x + (u - t) / (1 - t) * (1.0 - x) + variance.sqrt() * z
    paths.append(x)
paths = torch.stack(paths)
exact = torch.stack([bridge.at(t).gamma for t in times])

figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
axes[0].plot(times, paths[:, :25], color="#98a2b3", linewidth=0.6)
axes[0].plot((0, 1), (-1, 1), color=BLUE)
axes[0].set(xlabel="t", ylabel="x", title="25 bridges from -1 to 1")
axes[1].plot(times, paths.std(1), color=RED, label="400 paths")
axes[1].plot(times, exact, "--", color=GREY, label="gamma(t)")
axes[1].set(xlabel="t", title="standard deviation")
axes[1].legend()
print(
    f"standard deviation in the middle: {float(paths[50].std()):.3f}, exact {float(exact[50]):.3f}"
)

# %%
# Two laws
# --------
# From N(-2, 1) to N(2, 1/4). All processes below have these ends and differ in their pairs: with
# much noise the Schroedinger bridge hardly pairs starts with ends, with little it keeps their
# order. 2000 paths of its SDE, by Euler-Maruyama in 200 steps, end in the target and show the
# correlation of both ends that the closed form says, up to 0.02 of sampling and of the steps.

mean0, mean1 = numbers(-2.0), numbers(2.0)
covariance0, covariance1 = numbers(1.0)[:, None], numbers(0.25)[:, None]
start = mean0 + torch.randn(2000, 1, generator=derive_generator(0, "start"), dtype=torch.float64)
start = start.sort(0).values
times = time_grid(200)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained", sharey=True)
for axis, variance in zip(axes, (0.02, 0.5, 8.0), strict=True):
    process = GaussianSchroedingerBridge(mean0, covariance0, mean1, covariance1, variance)
    states = [start]
    ends = integrate_sde(
        process,
        start,
        times,
        epsilon=process.epsilon,
        noise=SampleNoise(derive_generator(0, "noise"), 2000, start),
        callback=lambda i, t, x, states=states: states.append(x),
    )
    shown = torch.stack(states)[:, 25::80, 0]
    colours = plt.colormaps["viridis"](torch.linspace(0, 0.9, shown.shape[1]).numpy())
    for path, colour in zip(shown.T, colours, strict=True):
        axis.plot(times, path, color=colour, linewidth=0.7)
    axis.set(xlabel="t", title=f"variance {variance:g}")
    found = float(torch.corrcoef(torch.cat([start, ends], 1).T)[0, 1])
    said = float(process.coupling.cross / (covariance0 * covariance1).sqrt())
    print(
        f"variance {variance:4g}: ends {float(ends.mean()):.3f} ± {float(ends.std()):.3f}, "
        f"correlation {found:.3f}, exact {said:.3f}"
    )
axes[0].set_ylabel("x")

# %%
# Colours follow the order of the starts.
#
# What is least
# -------------
# Half the mean square of the drift, integrated over time: the Schroedinger bridge has the least of
# all processes with these ends and this noise. Others are made by pairing the ends with another
# correlation; with the noise of each panel above, the curve has its minimum where the closed form
# says (dots). Of the energy 8 is the way between the means, which no pairing saves.


nodes, weights = np.polynomial.legendre.leggauss(64)


def energy(correlation, variance):
    """Return half the integral of E |b + epsilon s|^2 by Gauss's rule, for such pairs."""
    cross = correlation * (covariance0 * covariance1).sqrt()
    pairs = GaussianCoupling(mean0, mean1, covariance0, covariance1, cross)
    process = JointGaussianProcess(TwoSided(LinearPath(), BrownianGamma(variance)), pairs)
    total = 0.0
    for node, weight in zip(nodes, weights, strict=True):
        t = torch.tensor((1 + node) / 2, dtype=torch.float64)
        mean, covariance = process.marginal(t)
        b, s = process.both(torch.stack([mean, mean + 1]), t)
        drift = (b + variance / 2 * s)[:, 0]
        total += weight / 2 * float(drift[0] ** 2 + (drift[1] - drift[0]) ** 2 * covariance) / 2
    return total


figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
for variance, colour in ((0.02, RED), (0.5, BLUE), (8.0, GREEN)):
    best = GaussianSchroedingerBridge(mean0, covariance0, mean1, covariance1, variance)
    least, at = best.energy(), float(best.coupling.cross / (covariance0 * covariance1).sqrt())
    correlations = torch.linspace(-0.6, 0.99, 24, dtype=torch.float64)
    costs = torch.tensor([energy(r, variance) - least for r in correlations])
    axis.plot(correlations, costs, color=colour, label=f"{variance:g}")
    axis.plot(at, 0, "o", color=colour)
    print(
        f"variance {variance:4g}: least energy {least:.3f} at correlation {at:.3f}; "
        f"found {energy(at, variance):.3f}, with independent ends {energy(0.0, variance):.3f}"
    )
axis.set(xlabel="correlation of the ends", ylabel="energy above the least", ylim=(-0.02, 0.4))
axis.legend(title="variance")
