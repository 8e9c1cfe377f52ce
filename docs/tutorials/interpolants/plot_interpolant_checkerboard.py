r"""
Learning a checkerboard
=======================

The target has no formula here, only samples. A small network learns the velocity of the one-sided
interpolant :math:`x_t = (1 - t) z + t x_1` by least squares; noise then flows to the checkerboard.
The full experiment, with densities, is ``invdiff run interpolant_checkerboard``.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation

from invdiff.interpolants import (
    ConstantEpsilon,
    FieldMLP,
    FieldProcess,
    IndependentCoupling,
    OneSided,
    SampleNoise,
    integrate_ode,
    integrate_sde,
    time_grid,
    train_field,
)
from invdiff.rng import derive_generator
from invdiff.training import Training, drawn_network


def checkerboard(count, generator):
    """Draw from eight squares of side 2, the dark fields of a 4 by 4 board."""
    field = torch.randint(8, (count,), generator=generator)
    row = field // 2
    column = 2 * (field % 2) + row % 2
    corner = 2.0 * torch.stack([column, row], 1) - 4
    return corner + 2 * torch.rand(count, 2, generator=generator)


# %%
# Training
# --------
# A batch is drawn anew in each step: pairs of noise and target, and a time for each.

losses = []
network = train_field(
    drawn_network(
        lambda: FieldMLP(2, width=128, depth=3, input_frequencies=4),
        generator=derive_generator(0, "weights"),
    ),
    "b",
    OneSided(),
    IndependentCoupling(checkerboard),
    Training(1500, learning_rate=4e-3, num_warmup=50, ema_decay=0.99, dtype=torch.float32),
    batch_size=1000,
    generator=derive_generator(0, "training"),
    antithetic=False,
    callback=lambda step: losses.append(step.loss),
)
process = FieldProcess(OneSided(), b=network)

figure, axis = plt.subplots(figsize=(6, 2.5), layout="constrained")
axis.plot(torch.stack(losses), color="0.7", linewidth=0.6)
axis.plot(torch.stack(losses).unfold(0, 50, 50).mean(1).repeat_interleave(50), color="tab:blue")
axis.set(xlabel="step", ylabel="loss", title="The loss is negative: a constant is left out")
plt.show()

# %%
# Noise becomes squares
# ---------------------

start = torch.randn(8000, 2, generator=derive_generator(0, "start"))
times = time_grid(60, end=0.99)
states = [start]
with torch.no_grad():
    integrate_ode(process.velocity, start, times, callback=lambda i, t, x: states.append(x))

figure, axis = plt.subplots(figsize=(3.6, 3.6), layout="constrained")


def draw(frame):
    axis.clear()
    axis.scatter(*states[frame].T, s=1, color="tab:blue", alpha=0.4, linewidths=0)
    axis.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal", title=f"t = {times[frame]:.2f}")


animation = FuncAnimation(figure, draw, frames=range(0, 61, 3), interval=120)
plt.show()

# %%
# ODE or SDE
# ----------
# The velocity of a one-sided interpolant contains the score, so the SDE costs no second network.
# Its noise rubs out part of what the network got wrong on the way.

figure, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
with torch.no_grad():
    noise = SampleNoise(derive_generator(0, "noise"), len(start), start)
    ends = {
        "ODE": states[-1],
        r"SDE, $\epsilon = 0.5$": integrate_sde(
            process, start, time_grid(200, end=0.99), epsilon=ConstantEpsilon(0.5), noise=noise
        ),
    }
for axis, (name, x) in zip(axes, ends.items(), strict=True):
    cells = ((x + 4) / 2).floor().long()
    inside = ((cells >= 0) & (cells < 4)).all(1) & (cells.sum(1) % 2 == 0)
    axis.scatter(*x.T, s=1, color="tab:blue", alpha=0.4, linewidths=0)
    axis.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
    axis.set_title(f"{name}: {inside.float().mean():.1%} in a square")
plt.show()
