r"""
From one mixture to another
===========================

A stochastic interpolant joins two laws by a sum of their samples and a latent noise,

.. math:: x_t = \alpha(t)\, x_0 + \beta(t)\, x_1 + \gamma(t)\, z .

Its density is carried by the ODE :math:`\dot x = b(x, t)`, where b is the mean velocity of all
pairs that pass through x at time t. Between Gaussian mixtures b is known in closed form, so this
page needs no training.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation

from invdiff.interpolants import MixtureProcess, TwoSided, integrate_ode, time_grid
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator


def mixture(weights, means, variances):
    numbers = [torch.tensor(v, dtype=torch.float64) for v in (weights, means, variances)]
    return GaussianMixturePrior(numbers[0], numbers[1][:, None], numbers[2][:, None, None])


base = mixture([0.5, 0.5], [-3.0, 3.0], [0.25, 0.25])
target = mixture([1 / 3, 1 / 3, 1 / 3], [-6.0, 0.0, 6.0], [0.5, 0.33, 0.5])
process = MixtureProcess(TwoSided(), target, base)

# %%
# The density over time
# ---------------------
# Every column of the picture is the exact density of x_t. The lines are solutions of the ODE: where
# the density splits they part, and they never cross.

times = time_grid(100)
start = base.sample(24, generator=derive_generator(0, "start")).sort(0).values
paths = [start]
integrate_ode(process.velocity, start, times, callback=lambda i, t, x: paths.append(x))
paths = torch.stack(paths)[..., 0]

grid = torch.linspace(-9, 9, 361, dtype=torch.float64)
density = torch.stack([process.log_prob(grid[:, None], t).exp() for t in times])

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
axis.pcolormesh(times, grid, density.sqrt().T, cmap="Greys", shading="auto")
axis.plot(times, paths, color="tab:blue", linewidth=0.8)
axis.set(xlabel="t", ylabel="x", title="Square root of the density, and paths of the ODE")
plt.show()

# %%
# The samples move
# ----------------
# Twenty thousand samples of the base, moved by Heun's method. The line is the exact density.

samples = base.sample(20000, generator=derive_generator(0, "samples"))
states = [samples]
integrate_ode(process.velocity, samples, time_grid(40), callback=lambda i, t, x: states.append(x))

figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")


def draw(frame):
    axis.clear()
    t = time_grid(40)[frame]
    axis.hist(states[frame][:, 0].numpy(), bins=120, range=(-9, 9), density=True, color="0.8")
    axis.plot(grid, process.log_prob(grid[:, None], t).exp(), color="tab:blue")
    axis.set(xlabel="x", ylim=(0, 0.5), title=f"t = {t:.2f}")


animation = FuncAnimation(figure, draw, frames=range(0, 41, 2), interval=120)
plt.show()

# %%
# How many steps are enough? The distance to the target falls until the sampling noise of as many
# exact samples is all that is left.

from invdiff.theory import wasserstein_1d  # noqa: E402

exact = target.sample(20000, generator=derive_generator(0, "exact"))
again = target.sample(20000, generator=derive_generator(1, "exact"))
floor = wasserstein_1d(again, exact, order=1)
for num_steps in (5, 10, 30, 100):
    moved = integrate_ode(process.velocity, samples, time_grid(num_steps))
    distance = wasserstein_1d(moved, exact, order=1)
    print(f"{num_steps:4d} steps: W1 = {distance.item():.3f}, of exact samples {floor.item():.3f}")
