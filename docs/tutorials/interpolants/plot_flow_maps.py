r"""
Straight paths and few steps
============================

A flow from noise to data needs as many steps of its ODE as its paths are curved. Reflow pairs every
start with the end that the flow gives it and learns a second flow of these pairs, whose paths are
straighter: two steps, or one, are then nearly enough. For Gaussians both flows are known in closed
form; for a mixture of four the first is, and the second is learned in seconds.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.interpolants import (
    FieldMLP,
    GaussianCoupling,
    JointGaussianProcess,
    MixtureProcess,
    ReflowedGaussian,
    integrate_ode,
    rectified,
    reflow,
    reflow_pairs,
    straightness,
    time_grid,
    transport_cost,
)
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.training import Training

RED, BLUE, GREY = "#b5482a", "#2f6f9f", "#667085"


def euler(velocity, start, num_steps):
    """Return the states of Euler's method, the start among them."""
    states = [start]
    integrate_ode(
        velocity,
        start,
        time_grid(num_steps),
        method="euler",
        callback=lambda i, t, x: states.append(x),
    )
    return torch.stack(states)


# %%
# Gaussians
# ---------
# From white noise to a narrow, tilted Gaussian. The flow of independent ends bends, although both
# laws are Gaussian: it leads first to the mean and then apart. The flow after one reflow goes along
# straight lines, at constant speed, so that one step of Euler's method is exact.

mean = torch.tensor([3.0, 1.0], dtype=torch.float64)
covariance = torch.tensor([[1.0, 0.85], [0.85, 0.8]], dtype=torch.float64)
noise = torch.eye(2, dtype=torch.float64)
independent = GaussianCoupling(torch.zeros_like(mean), mean, noise, covariance, 0 * noise)
first = JointGaussianProcess(rectified(), independent).velocity
second = ReflowedGaussian(mean, covariance).velocity

start = torch.randn(2000, 2, generator=derive_generator(0, "start"), dtype=torch.float64)
ends = euler(second, start, 1)[-1]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharex=True, sharey=True)
for axis, velocity, title in zip(axes, (first, second), ("one flow", "after reflow"), strict=True):
    paths = euler(velocity, start[:60], 100)
    axis.plot(*paths.unbind(-1), color="#98a2b3", linewidth=0.7)
    axis.plot(*start[:60].T, ".", color=BLUE, label="start")
    axis.plot(*paths[-1].T, ".", color=RED, label="end")
    axis.set(title=title, aspect="equal")
axes[0].legend(loc="upper left")

for title, velocity in (("one flow", first), ("after reflow", second)):
    errors = [
        float((euler(velocity, start, n)[-1] - ends).square().sum(1).mean().sqrt())
        for n in (1, 2, 4, 16)
    ]
    bend = straightness(velocity, start, time_grid(100))
    numbers = ", ".join(f"{error:.3f}" for error in errors)
    print(f"{title}: straightness {bend:.3f}; error after 1, 2, 4, 16 steps {numbers}")

# %%
# One step of the first flow ends in the mean: from x0 alone, without knowing x1, the mean velocity
# is that to the mean of the data less x0.
#
# A mixture
# ---------
# With four modes the first flow is exact too, and its paths turn when they have decided on a mode.
# Its pairs, made by 40 steps of Heun's method, are what the second flow learns from. Both are
# followed with 1, 2 and 4 steps of Euler's method.

modes = torch.tensor([[2.0, 2.0], [-2.0, 2.0], [2.0, -2.0], [-2.0, -2.0]], dtype=torch.float64)
target = GaussianMixturePrior(
    torch.full((4,), 0.25, dtype=torch.float64), modes, 0.05 * noise.expand(4, 2, 2)
)
base = GaussianPrior(torch.zeros(2, dtype=torch.float64), noise)
exact = MixtureProcess(rectified(), target, base).velocity

many = torch.randn(20000, 2, generator=derive_generator(0, "pairs"), dtype=torch.float64)
pairs = reflow_pairs(exact, many, time_grid(40))
pairs = type(pairs)(pairs.x0.float(), pairs.x1.float())
network = reflow(
    FieldMLP(2, width=96, depth=3),
    pairs,
    Training(1200, learning_rate=4e-3, num_warmup=50, ema_decay=0.99, dtype=torch.float32),
    batch_size=500,
    generator=derive_generator(0, "training"),
)


def straightened(x, t):
    """Return the velocity of the network, for states in double precision."""
    with torch.no_grad():
        return network(x.float(), t.float().expand(len(x))).to(x)


figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained", sharex=True, sharey=True)
flows = {"one flow": exact, "after reflow": straightened}
for row, (title, velocity) in zip(axes, flows.items(), strict=True):
    paths = euler(velocity, start[:80], 100)
    row[0].plot(*paths.unbind(-1), color="#98a2b3", linewidth=0.7)
    row[0].plot(*paths[-1].T, ".", color=RED, markersize=4)
    row[0].set(ylabel=title, aspect="equal", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
    for axis, num_steps in zip(row[1:], (1, 2, 4), strict=True):
        axis.plot(*euler(velocity, start[:1000], num_steps)[-1].T, ".", color=RED, markersize=2)
        axis.set(aspect="equal")
for axis, title in zip(axes[0], ("paths", "1 step", "2 steps", "4 steps"), strict=True):
    axis.set_title(title)

# %%
# How far from the law
# --------------------
# The log-density of the target, averaged over the samples: it is low for samples between the modes.
# One step of the first flow puts all samples into one point between them; one step of the second is
# far better. From four steps on the first is ahead: it is exact, and the errors of the second,
# which was learned, remain. The transport cost of the pairs is 3.2; independent draws of the ends
# would have 10.1: the sum of the mean squares of both.

samples = target.sample(2000, generator=derive_generator(0, "exact"))
print(f"exact samples: mean log-density {float(target.log_prob(samples).mean()):.2f}")
print(f"transport cost of the pairs {transport_cost(pairs):.2f}")
rows = {}
for title, velocity in flows.items():
    bend = straightness(velocity, start, time_grid(100))
    rows[title] = [
        float(target.log_prob(euler(velocity, start, n)[-1]).mean()) for n in (1, 2, 4, 16, 64)
    ]
    numbers = ", ".join(f"{value:.2f}" for value in rows[title])
    print(f"{title}: straightness {bend:.3f}; after 1, 2, 4, 16, 64 steps {numbers}")

figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for (title, values), color in zip(rows.items(), (BLUE, RED), strict=True):
    axis.plot((1, 2, 4, 16, 64), values, "o-", color=color, label=title)
axis.axhline(float(target.log_prob(samples).mean()), color=GREY, linestyle="--", label="exact")
axis.set(xscale="log", xlabel="steps of Euler's method", ylabel="mean log-density", ylim=(-85, 3))
axis.set_xticks((1, 2, 4, 16, 64), ("1", "2", "4", "16", "64"))
axis.legend()
