r"""
Which samplers are calibrated
=============================

With a Gaussian prior the posterior is known, so that one can ask whether a sampler's spread means
what it says. Truths are drawn from the prior itself and measured; if samples are draws of the
posterior, the truth is one more of them, and its rank among them is uniform. Rank histograms and
coverage show who is calibrated, who is too narrow, and who is too wide.
"""

import matplotlib.pyplot as plt
import torch
from scipy.stats import binom

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import DDRM, DPS, DiffPIR, MomentMatching, RedDiff
from invdiff.theory import rank_counts, rank_statistics
from invdiff.uncertainty import coverage_curve
from operators import GaussianNoise, Mask

# %%
# Two hundred problems
# --------------------
# Images of 6 x 6 pixels with correlation 0.8 from pixel to pixel, standard deviation 0.2; two
# pixels of three are measured with noise of 0.1.

index = torch.arange(6, dtype=torch.float64)
line = 0.8 ** (index[:, None] - index).abs()
prior = GaussianPrior(torch.full((6, 6), 0.5, dtype=torch.float64), 0.2**2 * torch.kron(line, line))
mask = torch.arange(36).reshape(6, 6) % 3 != 2
operator, noise = Mask(mask), GaussianNoise(0.1)
truths = prior.sample(200, generator=derive_generator(0, "truths"))
y = noise.sample(operator(truths), generator=derive_generator(0, "noise"))
likelihood = Likelihood(operator, noise, y)
NUM_SAMPLES = 19

exact = [
    prior.posterior(Likelihood(operator, noise, one)).sample(
        NUM_SAMPLES, generator=derive_generator(0, "exact", i)
    )
    for i, one in enumerate(y)
]
samplers = {
    "moment matching": MomentMatching(num_steps=40),
    "DiffPIR, 1 and 1": DiffPIR(num_steps=40, regularization=1.0, noise_fraction=1.0),
    "DiffPIR": DiffPIR(num_steps=40),
    "DDRM": DDRM(),
    "DPS": DPS(num_steps=100),
    "RED-diff": RedDiff(num_steps=40),
}
draws = {"exact": torch.stack(exact, 1)}
for name, sampler in samplers.items():
    samples = sampler.sample(
        likelihood, prior, NUM_SAMPLES, generator=derive_generator(0, "sampler", name)
    )
    draws[name] = samples.values

# %%
# Ranks of an image
# -----------------
# Ranks count one number for each problem, here a pixel that isn't measured, as the pixels of one
# image depend on each other. The band holds 99 % of the bins of uniform ranks. Both ends too high:
# the samples are too narrow. A hump in the middle: too wide.

PIXEL = (2, 2)
ranks = {
    name: rank_statistics(
        truths[:, *PIXEL], values[:, :, *PIXEL], generator=derive_generator(0, "ties")
    )
    for name, values in draws.items()
}
low, high = binom.interval(0.99, len(truths), 0.1)
figure, axes = plt.subplots(2, 4, figsize=(11, 5), layout="constrained", sharex=True)
for axis, (name, values) in zip(axes.flat, ranks.items(), strict=False):
    counts, _ = rank_counts(values, NUM_SAMPLES, 10)
    axis.axhspan(low, high, color="#e4e7ec")
    axis.bar(torch.arange(10).numpy() + 0.5, counts.numpy(), 0.9, color="#2f6f9f")
    axis.set(title=name, xticks=[0, 5, 10], xticklabels=["0", "half", "all"])
axes.flat[-1].remove()
axes[0, 0].set_ylabel("problems")
axes[1, 0].set_ylabel("problems")
figure.supxlabel("samples below the truth")

# %%
# Coverage of what is measured and what isn't
# -------------------------------------------
# The share of pixels whose central interval holds the truth, over all problems: a calibrated
# sampler is on the diagonal. The ratio is the mean standard deviation over that of the exact draws.

levels = [0.1, 0.25, 0.5, 0.75, 0.9]
colors = ["#667085", "#2f6f9f", "#5b8c3e", "#8a5aa3", "#d9a441", "#b5482a", "#333333"]
exact_mean, exact_std = draws["exact"].mean(0), draws["exact"].std(0).mean(0)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
print("method             measured: ratio, 90 % holds   not measured: ratio, 90 % holds")
for (name, values), color in zip(draws.items(), colors, strict=True):
    row = f"{name:18}"
    for axis, region in zip(axes, (mask, ~mask), strict=True):
        covered = coverage_curve(values, truths, levels, region).mean(1)
        axis.plot(levels, covered.numpy(), "o-", color=color, label=name, markersize=3)
        ratio = values.std(0).mean(0)[region].mean() / exact_std[region].mean()
        row += f"{ratio:16.2f} {covered[levels.index(0.9)]:15.2f}"
    print(row)
for axis, title in zip(axes, ("measured pixels", "pixels not measured"), strict=True):
    axis.plot([0, 1], [0, 1], color="#98a2b3", linestyle="--", linewidth=1)
    axis.set(title=title, xlabel="stated probability", xlim=(0, 1), ylim=(0, 1), aspect="equal")
axes[0].set_ylabel("share that holds the truth")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")

# %%
# Moment matching is exact for Gaussian priors, and it shows. RED-diff aims at one image: the spread
# of its runs says nothing. DiffPIR is too wide where data are at its defaults, and too narrow with
# both weights at 1. DPS has more spread than it should where data are and still covers too little:
# a ratio near 1 is not enough if the mean is off. The rank of one pixel shows gross faults only, as
# 200 problems leave a wide band. None of this carries over to a trained prior by itself, whose own
# error comes on top.
