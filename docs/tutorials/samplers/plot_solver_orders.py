r"""
The order of a solver
=====================

From noise to an image, a diffusion prior is an ODE. A solver of order p makes an error that falls
as the number of network calls to the power -p, once there are enough of them. With the exact
denoiser of a mixture the solution is known to many digits, and the orders of the integrators of
``invdiff.superres`` can be measured. What matters with few calls is another question, asked at the
end.
"""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.integrate import solve_ivp

from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.superres.grids import noise_grid
from invdiff.superres.integrators import integrator_named

COLOURS = {
    "ddim": "#b5482a",
    "heun": "#2f6f9f",
    "dpmpp_2m": "#5b8c3e",
    "unipc_2": "#8a5aa3",
    "rk_4": "#667085",
}

# %%
# The problem
# -----------
# A mixture of three Gaussians in two dimensions, its exact D(x, sigma) = E[x0 | x_t = x], and the
# ODE of the probability flow, with which samples of the noise become samples of the prior:
#
# .. math:: \frac{dx}{d\sigma} = \frac{x - D(x, \sigma)}{\sigma}
#
# The reference is SciPy's Runge-Kutta method of order 8 with a tolerance of 1e-12, in the
# logarithm of sigma. All end at sigma = 0.02; the last step to 0, which is D for all of them, is
# left out.

HIGHEST, LOWEST = 10.0, 0.02
means = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]], dtype=torch.float64)
variances = torch.tensor([0.3, 0.1, 0.05], dtype=torch.float64)
prior = GaussianMixturePrior(
    torch.tensor([0.4, 0.3, 0.3], dtype=torch.float64),
    means,
    variances[:, None, None] * torch.eye(2, dtype=torch.float64),
)
start = HIGHEST * torch.randn(64, 2, generator=derive_generator(0, "start"), dtype=torch.float64)


def slope(time, flat):
    """Return dx / d ln sigma."""
    x = torch.from_numpy(flat).reshape(start.shape)
    return (x - prior(x, torch.tensor(math.exp(time), dtype=x.dtype))).flatten().numpy()


solution = solve_ivp(
    slope,
    (math.log(HIGHEST), math.log(LOWEST)),
    start.flatten().numpy(),
    method="DOP853",
    rtol=1e-12,
    atol=1e-12,
    dense_output=True,
)
truth = torch.from_numpy(solution.y[:, -1]).reshape(start.shape)
print(f"the reference took {solution.nfev} calls")

# %%
# Paths
# -----
# Twelve of the paths, their exact ends (circles), and where eight calls of each method end
# (crosses). Two calls a step leave four steps for Heun's method, four leave two for Runge-Kutta:
# too few.


def runge_kutta(denoise, x, sigmas):
    """Integrate in ln sigma by the classical method: four calls a step."""
    for sigma, following in pairwise(sigmas):
        h, middle = (following / sigma).log(), (sigma * following).sqrt()
        k1 = x - denoise(x, sigma)
        x2 = x + h / 2 * k1
        k2 = x2 - denoise(x2, middle)
        x3 = x + h / 2 * k2
        k3 = x3 - denoise(x3, middle)
        x4 = x + h * k3
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + x4 - denoise(x4, following))
    return x


def solved(name, num_calls, grid="log_snr"):
    """Return the ends of all paths after so many calls, or fewer where steps take several."""
    calls = 0

    def counted(x, sigma):
        nonlocal calls
        calls += 1
        return prior(x, sigma)

    per_step = {"heun": 2, "rk_4": 4}.get(name, 1)
    sigmas = noise_grid(grid, num_calls // per_step + 1, HIGHEST, LOWEST)
    if name == "rk_4":
        ends = runge_kutta(counted, start, sigmas)
    else:
        ends = integrator_named(name)(counted, start, sigmas)
    return ends, calls


ways = torch.from_numpy(solution.sol(np.linspace(math.log(HIGHEST), math.log(LOWEST), 200)).T)
ways = ways.reshape(200, -1, 2)[:, :12]
figure, axes = plt.subplots(1, 5, figsize=(12, 2.9), layout="constrained", sharex=True, sharey=True)
for axis, (name, colour) in zip(axes, COLOURS.items(), strict=True):
    axis.plot(*ways.unbind(-1), color="#c3c9d3", linewidth=0.8)
    axis.plot(*truth[:12].T, "o", color="black", markersize=4, fillstyle="none")
    ends, calls = solved(name, 8)
    axis.plot(*ends[:12].T, "x", color=colour, markersize=5)
    axis.set(title=f"{name}, {calls} calls", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")

# %%
# Orders
# ------
# The root mean square error of the ends over the number of calls, with equal steps in ln sigma.
# ``ddim`` is Euler's method in sigma and of order 1, ``heun`` and ``dpmpp_2m`` are of order 2 with
# two calls a step and with one, ``unipc_2`` is of order 3 with one, and the classical Runge-Kutta
# method of order 4 with four. Where a mode is decided a small error becomes a large one: up
# to 64 calls, one path or more of ``ddim`` ends at another mode, and the order shows only
# afterwards.

counts = (8, 16, 32, 64, 128, 256, 512)
figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, colour in COLOURS.items():
    runs = [solved(name, count) for count in counts]
    calls = np.array([run[1] for run in runs])
    errors = np.array([float((run[0] - truth).square().sum(1).mean().sqrt()) for run in runs])
    order = -np.polyfit(np.log(calls[-3:]), np.log(errors[-3:]), 1)[0]
    axis.loglog(calls, errors, "o-", color=colour, label=f"{name}, order {order:.2f}")
    numbers = ", ".join(f"{error:.1e}" for error in errors)
    lost = [int(((run[0] - truth).norm(dim=1) > 1).sum()) for run in runs]
    print(f"{name:9s} order {order:.2f}; errors {numbers}; ends more than 1 away: {lost}")
axis.set(xlabel="network calls", ylabel="error")
axis.legend()

# %%
# Few calls
# ---------
# With ten calls the order says little: where the levels are matters as much. The same methods on
# three grids; "edm" has equal steps in the seventh root of sigma, "uniform" in the time of a
# diffusion with linear beta.

grids = ("log_snr", "edm", "uniform")
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
for axis, grid in zip(axes, grids, strict=True):
    for name, colour in COLOURS.items():
        runs = [solved(name, count, grid) for count in (4, 8, 12, 16, 24)]
        errors = [float((ends - truth).square().sum(1).mean().sqrt()) for ends, _ in runs]
        axis.semilogy([calls for _, calls in runs], errors, "o-", color=colour, label=name)
        print(f"{grid:8s} {name:9s} error after {runs[1][1]} calls {errors[1]:.3f}")
    axis.set(title=grid, xlabel="network calls")
axes[0].set_ylabel("error")
axes[0].legend(fontsize=8)
