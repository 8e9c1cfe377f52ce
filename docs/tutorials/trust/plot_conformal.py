r"""
Conformal intervals, and where they fail
========================================

Intervals of a posterior are as good as its prior. Conformal calibration widens or narrows them
until they hold on images whose truth is known, whatever the prior. The promise is for images like
those of the calibration, on average: other anatomy, another scanner or more noise are not covered,
nor is each region of an image. All of this is measured here on patches of real slices.
"""

import matplotlib.pyplot as plt
import torch

from invdiff.data import orient, read_dicom, sample_path
from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.uncertainty import ConformalCalibration, coverage, credible_interval
from operators import GaussianNoise, Mask

# %%
# Patches and a prior that is wrong
# ---------------------------------
# Patches of 8 x 8 pixels from slices of a limb. The prior is a Gaussian with the mean and the
# covariance of only 80 patches, of the first slice: too few for 64 pixels, so that it is too sure.
# A quarter of the pixels is measured, and the posterior of this prior is sampled exactly.

SIZE = 8


def patches(values):
    """Return all patches of a slice that don't overlap, ``(n, 8, 8)``."""
    cut = values.unfold(0, SIZE, SIZE).unfold(1, SIZE, SIZE)
    return cut.reshape(-1, SIZE, SIZE)


ct = torch.from_numpy(orient(read_dicom(sample_path("sts-044"))).values.copy()).double()
mr = torch.from_numpy(orient(read_dicom(sample_path("head-t1"))).values.copy()).double()
ct = ((ct + 1000) / 2500).clamp(0, 1)
mr = (mr / mr.quantile(0.997)).clamp(0, 1)

training = patches(ct[0])
chosen = torch.randperm(len(training), generator=derive_generator(0, "training"))[:80]
training = training[chosen]
flat = training.flatten(1)
prior = GaussianPrior(
    flat.mean(0).reshape(SIZE, SIZE), torch.cov(flat.T) + 1e-6 * torch.eye(SIZE**2)
)
mask = torch.rand(SIZE, SIZE, generator=derive_generator(0, "mask")) < 0.25
operator = Mask(mask)


def posterior_samples(truths, label, sigma=0.02, believed=0.02):
    """Measure every patch, and draw 20 samples of each posterior."""
    noise = GaussianNoise(sigma)
    y = noise.sample(operator(truths), generator=derive_generator(0, "noise", label))
    draws = []
    for i, one in enumerate(y):
        posterior = prior.posterior(Likelihood(operator, GaussianNoise(believed), one))
        draws.append(posterior.sample(20, generator=derive_generator(0, label, i)))
    return draws


# %%
# Calibrated on one slice, used on others
# ---------------------------------------
# Half of the patches of slice 3, drawn at random, are the calibration; a patch is one observation.
# The other half is exchangeable with them, and the promise holds. Slice 5 is another slice of the
# same person, 6.5 mm away. Then three shifts: five times the noise that was told, only the
# patches with much contrast, and MR.

LEVEL = 0.9
generator = derive_generator(0, "split")
pool = patches(ct[2])
pool = pool[torch.randperm(len(pool), generator=generator)]
calibration, same = pool[: len(pool) // 2], pool[len(pool) // 2 :]
fifth = patches(ct[4])
contrast = fifth.flatten(1).std(1)
head = patches(mr[2])
head = head[head.flatten(1).mean(1) > 0.1]
sets = {
    "same slice": (same, {}),
    "other slice": (fifth, {}),
    "5x the noise": (same, {"sigma": 0.1}),
    "with an edge": (fifth[contrast > contrast.quantile(0.8)], {}),
    "MR": (head[torch.randperm(len(head), generator=generator)[:300]], {}),
}
drawn = posterior_samples(calibration, "calibration")
fit = ConformalCalibration.fit(drawn, list(calibration), LEVEL, unit="image", floor=0.002)
print(f"{len(calibration)} patches of calibration, factor {fit.factors.item():.2f}")

held = {}
print("90 % intervals hold   patches   as drawn   calibrated   width (of the range)")
for name, (truths, settings) in sets.items():
    samples = torch.stack(posterior_samples(truths, name, **settings), 1)
    raw = coverage(*credible_interval(samples, LEVEL), truths)
    lower, upper = fit.apply(samples)
    held[name] = (raw, coverage(lower, upper, truths))
    means = [part.mean().item() for part in held[name]]
    print(
        f"{name:18} {len(truths):10} {means[0]:10.2f} {means[1]:12.2f}"
        f" {(upper - lower).mean():14.3f}"
    )

figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
places = torch.arange(len(sets)).numpy()
for offset, label, color, k in (
    (-0.2, "as drawn", "#98a2b3", 0),
    (0.2, "calibrated", "#2f6f9f", 1),
):
    means = [parts[k].mean().item() for parts in held.values()]
    axis.bar(places + offset, means, 0.38, color=color, label=label)
axis.axhline(LEVEL, color="#b5482a", linestyle="--", linewidth=1)
axis.set_xticks(places, list(sets), rotation=20, ha="right")
axis.set(ylim=(0, 1.05), ylabel="share of pixels held")
axis.legend(loc="upper right")

# %%
# Not every patch
# ---------------
# Under each shift the intervals stay as wide as they were and hold far less: nothing in them tells.
# And where the promise holds, it holds on average: of the patches of the same slice some are held
# in all pixels, and some in few.

parts = held["same slice"][1]
print(f"patches with less than half of the pixels held: {(parts < 0.5).float().mean():.1%}")
print(f"patches with all pixels held: {(parts == 1).float().mean():.1%}")
figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
axis.hist(parts.numpy(), bins=16, range=(0, 1), color="#2f6f9f")
axis.axvline(LEVEL, color="#b5482a", linestyle="--", linewidth=1)
axis.set(xlabel="share of the pixels of a patch held", ylabel="patches", title="same slice")
