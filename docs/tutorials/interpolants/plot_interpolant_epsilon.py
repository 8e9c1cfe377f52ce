r"""
What epsilon does
=================

One interpolant has many samplers: for every :math:`\epsilon(t) \ge 0` the SDE

.. math:: dX = (b + \epsilon s)\, dt + \sqrt{2 \epsilon}\, dW

has the same density at every time, with the velocity b and the score s. Epsilon changes how a
sample gets there, and what an error of the fields does to the result.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.interpolants import (
    ConstantEpsilon,
    FieldProcess,
    MixtureProcess,
    SampleNoise,
    TwoSided,
    integrate_sde,
    time_grid,
)
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator


def mixture(weights, means, variances):
    numbers = [torch.tensor(v, dtype=torch.float64) for v in (weights, means, variances)]
    return GaussianMixturePrior(numbers[0], numbers[1][:, None], numbers[2][:, None, None])


base = mixture([0.5, 0.5], [-3.0, 3.0], [0.25, 0.25])
target = mixture([1 / 3, 1 / 3, 1 / 3], [-6.0, 0.0, 6.0], [0.5, 0.33, 0.5])
exact = MixtureProcess(TwoSided(), target, base)
grid = torch.linspace(-9, 9, 361, dtype=torch.float64)
epsilons = (0.0, 0.5, 5.0)


def sampled(process, epsilon, start, num_steps=400, callback=None):
    noise = SampleNoise(derive_generator(0, "noise"), len(start), start)
    return integrate_sde(
        process, start, time_grid(num_steps), epsilon=ConstantEpsilon(epsilon), noise=noise,
        method="heun", callback=callback,
    )  # fmt: skip


# %%
# The paths get rough, the density stays
# --------------------------------------
# Above: 16 paths over the exact density. Below: the end points of 4000 paths, beside the target.
# With epsilon = 0 each start has one end; with epsilon = 5 a path forgets where it came from.

few = base.sample(16, generator=derive_generator(0, "start"))
many = base.sample(4000, generator=derive_generator(0, "many"))
times = time_grid(400)
density = torch.stack([exact.log_prob(grid[:, None], t).exp() for t in times])

figure, axes = plt.subplots(2, 3, figsize=(9, 5), layout="constrained", sharex="row", sharey="row")
for (above, below), epsilon in zip(axes.T, epsilons, strict=True):
    paths = [few]
    sampled(exact, epsilon, few, callback=lambda i, t, x, paths=paths: paths.append(x))
    above.pcolormesh(times, grid, density.sqrt().T, cmap="Greys", shading="auto", rasterized=True)
    above.plot(times, torch.stack(paths)[..., 0], linewidth=0.6)
    above.set(title=rf"$\epsilon = {epsilon:g}$", xlabel="t")
    ends = sampled(exact, epsilon, many)
    below.hist(ends[:, 0].numpy(), bins=90, range=(-9, 9), density=True, color="0.8")
    below.plot(grid, target.log_prob(grid[:, None]).exp(), color="tab:blue")
    below.set(xlabel="x at t = 1")
axes[0, 0].set_ylabel("x")
plt.show()

# %%
# Errors of a learned field
# -------------------------
# Here b is spoiled by a wave, as a network might, while the score is kept. The ODE carries every
# error to the end. The SDE forgets the errors it made early, for the score pulls the samples back:
# the end points come closer to the target, up to the error of the score itself. That is why the
# Kullback-Leibler divergence has a bound for epsilon > 0, and none for the ODE.


def spoiled(x, t):
    return exact.velocity(x, t) + 1.5 * (2 * x).sin()


learned = FieldProcess(exact.interpolant, b=spoiled, s=exact.score)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained", sharey=True)
for axis, epsilon in zip(axes, epsilons, strict=True):
    ends = sampled(learned, epsilon, many)
    axis.hist(ends[:, 0].numpy(), bins=90, range=(-9, 9), density=True, color="0.8")
    axis.plot(grid, target.log_prob(grid[:, None]).exp(), color="tab:blue")
    axis.set(xlabel="x at t = 1", title=rf"$\epsilon = {epsilon:g}$, spoiled velocity")
plt.show()
