r"""
Score, denoiser, covariance: one function
=========================================

Tweedie's formula says that the mean of x0 given a noisy x is a step along the gradient of the log
density of x. Its derivative is the covariance. For a mixture in one dimension all of it can be
drawn, and checked by summing over x0.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator

prior = GaussianMixturePrior(
    torch.tensor([0.6, 0.4]).double(),
    torch.tensor([[-1.0], [1.2]]).double(),
    torch.tensor([[[0.02]], [[0.15]]]).double(),
)
x = torch.linspace(-3, 3, 1201, dtype=torch.float64)[:, None]
line = x.squeeze(1).numpy()
levels = (0.2, 0.6, 1.5)
colours = ("#b5482a", "#2f6f9f", "#5b8c3e")

# %%
# First order: the mean
# ---------------------
# With :math:`x = x_0 + \sigma n`,
#
# .. math:: D(x, \sigma) = E[x_0 | x] = x + \sigma^2 \nabla \log p_\sigma(x)
#
# At low noise D jumps from one mode to the other, and the score changes its sign between them; at
# high noise D is nearly a straight line. The slope of the log density is taken by autograd.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
for level, colour in zip(levels, colours, strict=True):
    sigma = torch.tensor(level, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (score,) = torch.autograd.grad(prior.log_prob(leaf, sigma).sum(), leaf)
    mean = prior(x, sigma)
    axes[0].plot(
        line, prior.log_prob(x, sigma).exp().numpy(), color=colour, label=f"sigma = {level}"
    )
    axes[1].plot(line, score.numpy(), color=colour)
    axes[2].plot(line, mean.numpy(), color=colour)
    difference = float((mean - (x + level**2 * score)).abs().max())
    print(f"sigma {level}: D and x + sigma^2 score differ by less than 1e-12: {difference < 1e-12}")
for axis, title in zip(axes, ("density of x", "score", "D"), strict=True):
    axis.set(title=title, xlabel="x")
axes[1].set_ylim(-30, 30)
axes[2].plot(line, line, color="#98a2b3", linewidth=0.8)
axes[0].legend()

# %%
# Second order: the covariance
# ----------------------------
# One more derivative gives how uncertain x0 is:
#
# .. math:: \operatorname{Cov}[x_0 | x] = \sigma^2 \, \partial D / \partial x
#
# This is what moment matching asks the denoiser for. The dots are sums over a fine grid of x0,
# without any formula. Between the modes the deviation is largest, as x0 could be in either.

fine = torch.linspace(-4, 4, 4001, dtype=torch.float64)
figure, axis = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for level, colour in zip(levels, colours, strict=True):
    sigma = torch.tensor(level, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(prior(leaf, sigma).sum(), leaf)
    std = level * slope.sqrt()
    log_joint = prior.log_prob(fine[:, None]) - (x - fine) ** 2 / (2 * level**2)
    share = log_joint.softmax(1)
    centre = (share * fine).sum(1, keepdim=True)
    summed = (share * (fine - centre) ** 2).sum(1).sqrt()
    axis.plot(line, std.numpy(), color=colour, label=f"sigma = {level}")
    axis.plot(line[::60], summed[::60].numpy(), "o", color=colour, markersize=3)
    difference = float((std[:, 0] - summed).abs().max())
    print(f"sigma {level}: the deviations agree to 1e-9: {difference < 1e-9}")
axis.set(xlabel="x", title="standard deviation of x0 given x")
axis.legend()

# %%
# Mean and covariance are not all
# -------------------------------
# x0 for those draws whose noisy x fell within 0.02 of 0.3, against the Gaussian of the same mean
# and deviation. Whoever replaces p(x0 | x) by that Gaussian expects x0 where it never is.

level, at = 0.6, 0.3
clean = prior.sample(400000, generator=derive_generator(0, "x0"))
noise = torch.randn(clean.shape, generator=derive_generator(0, "n"), dtype=torch.float64)
chosen = clean[((clean + level * noise - at).abs() < 0.02).squeeze(1), 0]
point = torch.tensor([[at]], dtype=torch.float64, requires_grad=True)
mean = prior(point, torch.tensor(level, dtype=torch.float64))
(slope,) = torch.autograd.grad(mean.sum(), point)
centre, std = mean.item(), level * slope.item() ** 0.5
gauss = torch.distributions.Normal(centre, std).log_prob(fine).exp()
figure, axis = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
axis.hist(
    chosen.numpy(), 80, range=(-2.5, 3), density=True, color="#98a2b3", label="x0 of the draws"
)
axis.plot(fine.numpy(), gauss.numpy(), color="#b5482a", label="Gaussian of D and its slope")
axis.set(xlabel="x0", xlim=(-2.5, 3), title=f"given x = {at}, sigma = {level}")
axis.legend()
print(f"{len(chosen)} draws: mean {chosen.mean():.3f} and deviation {chosen.std():.3f}")
print(f"Tweedie: mean {centre:.3f} and deviation {std:.3f}")
