r"""
An ensemble of weighted particles
=================================

One sample that runs down in noise decides early for a mode and cannot reconsider. An ensemble
weighs many of them against each other at every level, so that their numbers come to be as the data
say; and the sum of the weights estimates how probable the data were under the prior, by which two
priors can be compared.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.samplers import Ensemble
from invdiff.theory import log_evidence, mode_weights
from operators import GaussianNoise, Mask

# %%
# Particles through the levels
# ----------------------------
# 1000 particles start from noise and are carried down by the probability-flow ODE of the prior.
# Their weights follow the tempered misfit; where too few of them are left with weight they are
# resampled, and after each step stochastic moves spread the copies. ``prior_std`` is the narrowest
# spread within a mode, in half data ranges: with it the moves mix faster.

means = torch.tensor([[-1.2, -1.5], [1.0, 0.0], [0.2, 2.0]], dtype=torch.float64)
covariances = torch.tensor(
    [[[0.3, 0.1], [0.1, 0.1]], [[0.15, -0.08], [-0.08, 0.2]], [[0.2, 0.0], [0.0, 0.08]]],
    dtype=torch.float64,
)
prior = GaussianMixturePrior(torch.tensor([0.5, 0.3, 0.2]).double(), means, covariances)
likelihood = Likelihood(
    Mask(torch.tensor([True, False])), GaussianNoise(0.3), torch.tensor([0.1], dtype=torch.float64)
)
posterior = prior.posterior(likelihood)

seen = []
samples = Ensemble(num_steps=100, prior_std=0.06, num_rejuvenations=3, resample_below=0.7).sample(
    likelihood,
    prior,
    1000,
    generator=derive_generator(0, "ensemble"),
    callback=lambda progress: seen.append((float(progress.sigma), progress.image.clone())),
)
figure, axes = plt.subplots(1, 5, figsize=(11, 2.7), layout="constrained")
for axis, step in zip(axes, (9, 39, 59, 74, 99), strict=True):
    sigma, points = seen[step]
    axis.plot(*points.T.numpy(), ".", color="#2f6f9f", markersize=2, alpha=0.5)
    axis.plot(*means.T.numpy(), "+", color="#b5482a")
    reach = 3.2 + 3 * sigma
    axis.set(
        title=f"sigma = {sigma:.2g}", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal"
    )
print("modes, exact:    " + " ".join(f"{float(w):.3f}" for w in posterior.weights))
print("modes, ensemble: " + " ".join(f"{float(w):.3f}" for w in mode_weights(samples, posterior)))

# %%
# The effective sample size
# -------------------------
# It falls as weights become uneven, and returns to 1 where the particles were resampled. One that
# falls to a few particles in a single step would mean that the result rests on those few.

size = samples.info["effective_sample_size"].numpy()
levels = [sigma for sigma, _ in seen]
chosen = samples.info["resampled"].numpy()
figure, axis = plt.subplots(figsize=(6.5, 3), layout="constrained")
axis.semilogx(levels, size, color="#2f6f9f")
for level, was in zip(levels, chosen, strict=True):
    if was:
        axis.axvline(level, color="#b5482a", linewidth=0.8)
axis.invert_xaxis()
axis.set(title="effective sample size (resampled at the lines)", xlabel="sigma", ylim=(0, 1.05))
print(f"lowest {size.min():.2f}, resampled {int(chosen.sum())} times")

# %%
# Which of two priors
# -------------------
# The other prior has one broad Gaussian with the mean and covariance of the mixture. The measured
# coordinate alone, at each of several values, says which of them had expected it more. Twelve
# runs at each value give the estimate its scatter.

single = GaussianMixturePrior(
    torch.ones(1).double(), prior.mean()[None], prior.covariance()[None],
    data_range=prior.data_range,
)  # fmt: skip
values = torch.linspace(-2.5, 2.5, 9, dtype=torch.float64)
found, exact = [], []
for value in values:
    here = Likelihood(likelihood.operator, likelihood.noise, value.reshape(1))
    exact.append(log_evidence(prior, here) - log_evidence(single, here))
    # the same measurement twelve times, as a batch of problems with streams of their own
    batch = Likelihood(likelihood.operator, likelihood.noise, value.expand(12, 1).clone())
    estimates = [
        Ensemble(num_steps=60)
        .sample(batch, p, 300, generator=[derive_generator(i, "evidence", k) for i in range(12)])
        .info["log_evidence"]
        for k, p in enumerate((prior, single))
    ]
    found.append(estimates[0] - estimates[1])
table = torch.stack(found)
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
axis.plot(values.numpy(), exact, color="#667085", label="exact")
axis.errorbar(
    values.numpy(), table.mean(1).numpy(), 2 * table.std(1).numpy(), fmt="o",
    color="#b5482a", markersize=4, label="ensemble, mean and two deviations of a run",
)  # fmt: skip
axis.axhline(0, color="#98a2b3", linewidth=0.8)
axis.set(xlabel="measured coordinate", title="log evidence: mixture over broad Gaussian")
axis.legend()
off = (table.mean(1) - torch.tensor(exact, dtype=torch.float64)).abs()
print(f"a run scatters by {table.std(1).mean():.3f}; the means are off by {off.max():.3f} at most")

# %%
# Between the modes the broad Gaussian had expected the data more, and at the modes the mixture.
# The evidence compares priors on the data that there are; it does not say that either is right.
