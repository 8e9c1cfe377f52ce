r"""
What the network sees and says
==============================

Networks are trained to give the noise, the image, v, or a velocity. All of these are the same
denoiser in other units: D = c_skip x + c_out F, F being the network's output. What differs is
how large an error of F shows in D, and with it which noise levels a training cares for.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.data import MU_WATER, fit, hu_to_mu, read_dicom, sample_path
from invdiff.rng import derive_generator
from invdiff.training import objective_named

names = {"ddpm": "noise", "sample": "x0", "v": "v", "flow": "velocity", "edm": "EDM"}
colours = dict(zip(names, ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3", "#667085"), strict=True))
objectives = {name: objective_named(name) for name in names}


def coefficients(name, sigma):
    """Ask with outputs of 0 and of 1 what D makes of its input and of the output."""
    level, one = sigma.reshape(-1, 1, 1, 1), torch.ones(len(sigma), 1, 1, 1)
    denoise = objectives[name].preconditioning.denoise
    skip = denoise(lambda x, time: torch.zeros_like(x), one, level)
    return skip, denoise(lambda x, time: torch.ones_like(x), one, level) - skip


# %%
# The coefficients
# ----------------
# D takes the noise from x at every level, with F times sigma: at high noise a small error of the
# network is a large one of D. A network that gives x0 can't profit from x being nearly right at
# low noise. v, the velocity and EDM lie between.

sigma = torch.logspace(-2, 2, 200)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for name, label in names.items():
    skip, out = coefficients(name, sigma)
    axes[0].semilogx(sigma.numpy(), skip.flatten().numpy(), color=colours[name], label=label)
    scale = out.abs().flatten().numpy()
    axes[1].loglog(sigma.numpy(), scale, color=colours[name])
axes[0].set(title="c_skip", xlabel="sigma")
axes[1].set(title="size of c_out", xlabel="sigma")
axes[0].legend()

# %%
# What it should say
# ------------------
# The target is F = (x0 - c_skip x) / c_out, here for one CT slice and one draw of noise. Noise
# among the targets has to be told from noise in the input: the noise is an easy target where x is
# mostly noise, and x0 where there is little.

image = fit(read_dicom(sample_path("sts-044")).middle(), 96)
clean = torch.from_numpy(hu_to_mu(image.values[0])).float() / (2.5 * MU_WATER) * 2 - 1
noise = torch.randn(clean.shape, generator=derive_generator(0, "noise"))
figure, axes = plt.subplots(3, 6, figsize=(11, 5.9), layout="constrained")
largest = 0.0
for row, level in zip(axes, (0.05, 0.5, 5.0), strict=True):
    x = clean + level * noise
    row[0].imshow((x / (1 + level**2) ** 0.5).numpy(), cmap="gray", vmin=-1.5, vmax=1.5)
    row[0].set_ylabel(f"sigma = {level}")
    for axis, (name, label) in zip(row[1:], names.items(), strict=True):
        skip, out = (c.item() for c in coefficients(name, torch.tensor([level])))
        target = (clean - skip * x) / out
        axis.imshow(target.numpy(), cmap="gray", vmin=-2, vmax=2)
        axis.set_title(label if level == 0.05 else "")
        given = objectives[name].preconditioning.denoise(
            lambda seen, time, target=target: target.expand_as(seen),
            x[None, None],
            torch.full((1, 1, 1, 1), level),
        )
        largest = max(largest, float((given - clean).abs().max()))
    for axis in row:
        axis.set(xticks=[], yticks=[])
axes[0, 0].set_title("input")
print(f"every target gives x0 to within 1e-4: {largest < 1e-4}")

# %%
# Which levels count
# ------------------
# A training draws levels at random and takes the plain square error of F. For D this is a weight of
# 1 / c_out^2 times the density of ln sigma. The products are shown at their own largest value: the
# scale can be made up for by the learning rate, the shape cannot. Levels below 0.018 (ln sigma -4)
# are left out of the figure, as the tables of the first three have few there.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
edges = torch.linspace(-4, 6, 26)
middle = (edges[1:] + edges[:-1]) / 2
for name, label in names.items():
    draws = objectives[name].levels.sample(200000, derive_generator(0, "levels")).flatten()
    density = torch.histc(draws.log().float(), 25, -4, 6) / len(draws) / 0.4
    weight = density / objectives[name].preconditioning.output_scale(middle.exp()) ** 2
    axes[0].plot(middle.numpy(), density.numpy(), color=colours[name], label=label)
    axes[1].plot(middle.numpy(), (weight / weight.max()).numpy(), color=colours[name])
    order = draws.sort().values
    share = (1 / objectives[name].preconditioning.output_scale(order) ** 2).cumsum(0)
    half = order[torch.searchsorted(share, share[-1:] / 2)].item()
    print(f"{label}: half of the draws below {order.median():.2f}, of the weight below {half:.3f}")
axes[0].set(title="density of ln sigma in training", xlabel="ln sigma")
axes[1].set(title="weight of the error of D", xlabel="ln sigma", yscale="log", ylim=(1e-5, 2))
axes[0].legend()
