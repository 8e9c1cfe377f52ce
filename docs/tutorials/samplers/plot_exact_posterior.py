r"""
Samplers before a posterior that is known
=========================================

A mixture of three Gaussians in the plane, of which one coordinate is measured, has a posterior that
can be written down. Every sampler gets the same data and the same exact denoiser, so that what
differs from the exact answer is the sampler's own doing: lost modes, wrong weights, wrong widths.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.samplers import (
    DAPS,
    DDNM,
    DDRM,
    DPS,
    TDS,
    DiffPIR,
    Ensemble,
    MCGDiff,
    MomentMatching,
    PiGDM,
    RedDiff,
)
from invdiff.theory import max_sliced_wasserstein2, mode_weights
from operators import GaussianNoise, Mask

# %%
# The exact answer
# ----------------
# The measured coordinate lies between the modes: two of them explain it about equally well, and
# one a little. Along the other coordinate only the prior tells them apart.

prior = GaussianMixturePrior(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[-1.2, -1.5], [1.0, 0.0], [0.2, 2.0]], dtype=torch.float64),
    torch.tensor(
        [[[0.3, 0.1], [0.1, 0.1]], [[0.15, -0.08], [-0.08, 0.2]], [[0.2, 0.0], [0.0, 0.08]]],
        dtype=torch.float64,
    ),
)
likelihood = Likelihood(
    Mask(torch.tensor([True, False])), GaussianNoise(0.3), torch.tensor([0.1], dtype=torch.float64)
)
posterior = prior.posterior(likelihood)
print("weights of the modes: " + " ".join(f"{float(w):.2f}" for w in posterior.weights))

a, b = torch.linspace(-3, 3, 121).double(), torch.linspace(-3, 3.4, 121).double()
plane = torch.cartesian_prod(a, b)
densities = [p.log_prob(plane).exp().reshape(121, 121).T.numpy() for p in (prior, posterior)]
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained", sharey=True)
for axis, density, title in zip(axes, densities, ("prior", "posterior"), strict=True):
    axis.contourf(a.numpy(), b.numpy(), density, levels=12, cmap="Greys")
    axis.axvline(0.1, color="#b5482a", linewidth=1)
    axis.set(title=title, aspect="equal", xlabel="measured")

# %%
# Eleven samplers
# ---------------
# 400 samples of each over the exact density. The methods that guide each sample alone, or pull it
# onto the data, give the modes wrong weights, most of them nearly those of the prior. TDS and the
# ensemble, whose particles have weights, come near the posterior; MCG-diff does not here. DPS takes
# steps of fixed length, which with a single measurement are far too long. The distance is the
# largest W2 along 100 directions.

sampler_of = {
    "RED-diff": RedDiff(num_steps=60),
    "DDRM": DDRM(num_steps=60),
    "DDNM": DDNM(num_steps=60),
    "DPS": DPS(num_steps=200),
    "DiffPIR": DiffPIR(num_steps=100, regularization=1.0, noise_fraction=1.0),
    "DAPS": DAPS(num_steps=60, inner="exact", num_ode_steps=1),
    "PiGDM": PiGDM(num_steps=100),
    "moment matching": MomentMatching(num_steps=100),
    "MCG-diff": MCGDiff(num_steps=400),
    "TDS": TDS(num_steps=100),
    "ensemble": Ensemble(num_steps=100),
}
exact = posterior.sample(4000, generator=derive_generator(0, "exact"))
first = posterior.sample(400, generator=derive_generator(0, "first"))
floor = max_sliced_wasserstein2(first, exact, generator=derive_generator(0, "directions"))
print(f"400 exact samples: distance {floor:.2f}")

figure, axes = plt.subplots(3, 4, figsize=(10, 8), layout="constrained", sharex=True, sharey=True)
clouds = {"exact": first}
for name, sampler in sampler_of.items():
    samples = sampler.sample(likelihood, prior, 400, generator=derive_generator(0, "sampler"))
    distance = max_sliced_wasserstein2(
        samples.values,
        exact,
        generator=derive_generator(0, "directions"),
        weights_x=samples.log_weights.exp(),
    )
    shares = " ".join(f"{float(w):.2f}" for w in mode_weights(samples, posterior))
    print(f"{name}: distance {distance:.2f}, weights {shares}")
    # weighted particles are drawn as often as their weights say
    drawn = torch.multinomial(
        samples.log_weights.exp(), 400, replacement=True, generator=derive_generator(0, "drawn")
    )
    weighted = float(samples.log_weights.std()) > 1e-9
    clouds[name] = samples.values[drawn] if weighted else samples.values
for axis, (name, cloud) in zip(axes.flat, clouds.items(), strict=True):
    axis.contour(a.numpy(), b.numpy(), densities[1], levels=5, colors="#98a2b3", linewidths=0.7)
    axis.plot(
        *cloud.T.numpy(), ".", color="#b5482a" if name != "exact" else "#667085", markersize=2
    )
    axis.set(title=name, xlim=(-2.2, 2.2), ylim=(-3, 3.4))
