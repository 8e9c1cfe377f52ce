"""DDS and DiffPIR on volumes: the 2D methods without a coupling, closed forms with one."""

from __future__ import annotations

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import AR1VolumePrior, GaussianPrior, half_range
from invdiff.rng import derive_generator, draw_seeds
from invdiff.samplers import DDS, DiffPIR
from invdiff.samplers.base import start_image
from invdiff.samplers.proximal_diffusion import DiffusionState
from invdiff.volumes import (
    DDS3D,
    DiffPIR3D,
    Independent,
    QuadraticZ,
    SlicePrior,
    TotalVariationZ,
    VolumeSampler,
    Whole,
)
from invdiff.volumes.coupling import DataStep
from invdiff.volumes.data_step import data_step
from invdiff.volumes.noise import SliceNoise
from operators import (
    FiniteDifferences,
    GaussianNoise,
    Identity,
    LinearOperator,
    Mask,
    PoissonNoise,
    SliceStack,
)
from tests.invdiff.volumes.threaded_parts import run_in_parts

SHAPE, SLICES, SIGMA_Y = (4, 3), 5, 0.1
# the coarse image is a few conjugate gradient steps from what it would be
SOLVED = {"rtol": 1e-7, "atol": 1e-7}

PAIRS = {
    "dds": (DDS(8, num_cg=5), DDS3D(8, num_cg=5)),
    "dds-settings": (
        DDS(8, data_weight=3.0, eta=0.3, clip=False),
        DDS3D(8, data_weight=3.0, eta=0.3, clip=False),
    ),
    "diffpir": (DiffPIR(8), DiffPIR3D(8)),
    "diffpir-settings": (
        DiffPIR(8, regularization=1.0, noise_fraction=1.0),
        DiffPIR3D(8, regularization=1.0, noise_fraction=1.0),
    ),
}


def checkerboard() -> torch.Tensor:
    return torch.arange(12).reshape(SHAPE) % 2 == 0


def slice_prior() -> GaussianPrior:
    n = SHAPE[0] * SHAPE[1]
    distance = (torch.arange(n)[:, None] - torch.arange(n)).abs()
    return GaussianPrior(
        torch.full(SHAPE, 0.5, dtype=torch.float64), 0.04 * torch.exp(-distance / 2.0).double()
    )


def measured(operator: LinearOperator, count: int) -> tuple[Likelihood, Likelihood]:
    """The slices as a batch of problems, and as one volume."""
    generator = derive_generator(0, "data")
    x = slice_prior().sample(count, generator=generator)
    noise = GaussianNoise(SIGMA_Y)
    y = noise.sample(operator(x), generator=generator)
    return Likelihood(operator, noise, y), Likelihood(SliceStack(operator, count), noise, y)


class Replay:
    """Gives a two-dimensional sampler the noise of the volume."""

    def __init__(self, noise: SliceNoise) -> None:
        self.noise, self.step = noise, 0

    def normal(self, shape, like):
        self.step += 1
        return self.noise.normal(self.step - 1, like)


def by_slices(sampler, likelihood: Likelihood, count: int) -> torch.Tensor:
    """What the two-dimensional sampler makes of all slices under the volume's noise."""
    prior = slice_prior()
    noise = SliceNoise(draw_seeds(derive_generator(0), 1)[0], 2, Whole(count))
    half = half_range(prior)
    x = start_image(likelihood, prior, 2)
    x = x + half * sampler.sigma_max * noise.normal(0, x, label="start")
    state = DiffusionState(x, Replay(noise), likelihood.norm() ** 2)
    sigmas = half * sampler.levels()
    for i in range(sampler.num_steps):
        state, _ = sampler.step(state, sigmas[i], sigmas[i + 1], likelihood, prior)
    return state.x


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    ("operator", "count"),
    [(Mask(checkerboard()), SLICES), (FiniteDifferences(SHAPE), 1)],
    ids=["mask", "one slice"],
)
def test_without_a_coupling_they_are_the_methods_of_slices(name, operator, count):
    """Two values on the diagonal, or one slice: the common step sizes are those of a slice."""
    flat, deep = PAIRS[name]
    slices, volume = measured(operator, count)
    x = deep.sample(volume, SlicePrior(slice_prior(), count), 2, generator=derive_generator(0))
    torch.testing.assert_close(x.values, by_slices(flat, slices, count), **SOLVED)


class Flat:
    """A prior of independent voxels N(0.5, 0.2^2), so that every mode along z is a scalar."""

    image_shape, data_range = (SLICES, *SHAPE), (-0.5, 1.5)

    def __call__(self, x, sigma):
        return (0.04 * x + sigma**2 * 0.5) / (0.04 + sigma**2)


@pytest.mark.parametrize("sampler", [DDS3D(6), DiffPIR3D(6)], ids=["dds", "diffpir"])
def test_a_quadratic_coupling_damps_the_modes_along_z_in_closed_form(sampler):
    """All is diagonal in the eigenvectors of D_z^T D_z, and the noise is known."""
    strength, generator = 0.7, derive_generator(0, "data")
    settings = {"clip": False, "num_cg": 20, "coupling": QuadraticZ(strength)}
    sampler = type(sampler)(6, **settings)
    y = 0.5 + 0.3 * torch.randn(SLICES, *SHAPE, generator=generator, dtype=torch.float64)
    likelihood = Likelihood(SliceStack(Identity(SHAPE), SLICES), GaussianNoise(SIGMA_Y), y)
    found = sampler.sample(likelihood, Flat(), generator=derive_generator(0)).values

    d = torch.diff(torch.eye(SLICES, dtype=torch.float64), dim=0)
    mu, basis = torch.linalg.eigh(d.T @ d)

    def modes(v):
        return torch.einsum("zm,szrc->smrc", basis, v)

    mu = mu.reshape(SLICES, 1, 1)
    noise = SliceNoise(draw_seeds(derive_generator(0), 1)[0], 1, Whole(SLICES))
    precise, data, middle = SIGMA_Y**-2, modes(y[None]), modes(torch.full_like(y[None], 0.5))
    # half the data range is 1
    x = (precise * data + middle) / (precise + 1) + 10 * modes(
        noise.normal(0, y[None], label="start")
    )
    for i, (s, low) in enumerate(zip(sampler.levels()[:-1], sampler.levels()[1:], strict=True)):
        mean = (0.04 * x + s**2 * middle) / (0.04 + s**2)
        fresh = modes(noise.normal(i, y[None]))
        w = precise if isinstance(sampler, DDS3D) else 7 / s**2
        corrected = (precise * data + w * mean) / (precise + w + strength * w * mu)
        if isinstance(sampler, DDS3D):
            renewed = 0.85 * low * (1 - (low / s) ** 2) ** 0.5
            step = (low**2 - renewed**2) ** 0.5 * (x - mean) / s + renewed * fresh
        else:
            step = low * (0.7**0.5 * (x - corrected) / s + 0.3**0.5 * fresh)
        x = corrected + step
    torch.testing.assert_close(modes(found), x, **SOLVED)


@pytest.mark.parametrize("eta", [0.0, 0.85])
def test_dds_without_data_samples_a_prior_with_correlated_slices(eta):
    prior = AR1VolumePrior((4, 60, 60), 0.8, mean=0.3, std=0.5)
    mask = torch.zeros(60, 60, dtype=torch.bool)
    mask[0, 0] = True
    y = torch.zeros(4, 1, dtype=torch.float64)
    likelihood = Likelihood(SliceStack(Mask(mask), 4), GaussianNoise(1e6), y)
    sampler = DDS3D(300, sigma_min=0.001, num_cg=1, data_weight=1e-9, eta=eta, clip=False)
    x = sampler.sample(likelihood, prior, generator=derive_generator(0)).values[0] - 0.3
    covariance, r = prior.covariance_along_z(), x.flatten(1)
    error = (0.25**2 + covariance**2).sqrt() / 60
    # besides, the error of order one of 300 steps
    assert ((r @ r.T / 3600 - covariance).abs() < 4.5 * error + 0.04 * 0.25).all()
    assert (r.mean(1).abs() < 4.5 * 0.5 / 60 + 5e-3).all()


def jitter(x: torch.Tensor) -> float:
    return float(torch.diff(x, dim=-3).abs().mean())


@pytest.mark.parametrize("kind", [DDS3D, DiffPIR3D])
@pytest.mark.parametrize(
    "couplings",
    [
        (QuadraticZ(0.3), QuadraticZ(3.0)),
        (TotalVariationZ(0.1), TotalVariationZ(1.0)),
        (TotalVariationZ(0.02, scaling="absolute"), TotalVariationZ(0.2, scaling="absolute")),
    ],
    ids=["quadratic", "tv", "tv absolute"],
)
def test_the_stronger_the_coupling_the_less_the_slices_jitter(kind, couplings):
    _, volume = measured(Mask(checkerboard()), SLICES)
    prior = SlicePrior(slice_prior(), SLICES)
    jitters = [
        jitter(kind(20, coupling=c).sample(volume, prior, 3, generator=derive_generator(0)).values)
        for c in (Independent(), *couplings)
    ]
    assert jitters[1] < 0.97 * jitters[0]
    assert jitters[2] < 0.9 * jitters[1]


@pytest.mark.parametrize("scaling", ["noise", "absolute"])
@pytest.mark.parametrize("penalty", [0.3, 1.0, 4.0])
def test_total_variation_of_two_slices_shrinks_their_difference(scaling, penalty):
    r"""min w/2 |x - D|^2 + kappa w s |x_2 - x_1|: the difference shrinks by 2 kappa s."""
    generator = derive_generator(0)
    denoised = torch.randn(1, 2, *SHAPE, generator=generator, dtype=torch.float64)
    coupling = TotalVariationZ(0.2, penalty, scaling)
    sigma, weight = torch.tensor(0.7).double(), torch.tensor(3.0).double()
    noise = SliceNoise(0, 1, Whole(2))
    step = DataStep(0, denoised, denoised, sigma, weight, noise, Whole(2), (-1.0, 2.0))
    nothing = torch.zeros(2, *SHAPE, dtype=torch.float64)
    likelihood = Likelihood(SliceStack(Identity(SHAPE), 2), GaussianNoise(1e8), nothing)
    state = coupling.init(denoised, Whole(2))
    for _ in range(300):
        terms = coupling.terms(state, step)
        x = data_step(likelihood, denoised, weight, terms, Whole(2), num_steps=4)
        state = coupling.update(state, x, step)
    apart = torch.diff(denoised, dim=1)
    size = 2 * 0.2 * (0.7 if scaling == "noise" else 1.5)
    expected = apart.sign() * (apart.abs() - size).clamp(min=0)
    torch.testing.assert_close(torch.diff(x, dim=1), expected, **SOLVED)
    torch.testing.assert_close(x.mean(1), denoised.mean(1), **SOLVED)


def poisson(first: int, count: int) -> Likelihood:
    """Slices of very different precision."""
    y = torch.logspace(1, 3, SLICES, dtype=torch.float64).reshape(-1, 1, 1).expand(-1, *SHAPE)
    operator = SliceStack(Identity(SHAPE), count)
    return Likelihood(operator, PoissonNoise(100.0), y[first : first + count].round())


def squared_norm(likelihood: Likelihood, split=None) -> torch.Tensor:
    split = Whole(SLICES) if split is None else split
    problem = DDS3D()._problem(
        likelihood, SlicePrior(slice_prior(), split.count), 1, derive_generator(0), split, None
    )
    return DDS3D().prepared(problem).constants


def test_the_norm_is_the_largest_of_all_slices():
    volume = poisson(0, SLICES)
    slices = Likelihood(volume.operator.operator, volume.noise, volume.y)
    norms = slices.norm() ** 2
    assert norms.max() > 10 * norms.min()
    torch.testing.assert_close(squared_norm(volume), norms.max())


def smoothed(first: int, count: int) -> Likelihood:
    """An operator whose norm the power iteration has not quite reached when it ends."""
    operator = SliceStack(FiniteDifferences(SHAPE), count)
    y = torch.zeros(operator.out_shape, dtype=torch.float64)
    return Likelihood(operator, GaussianNoise(SIGMA_Y), y)


@pytest.mark.parametrize("build", [poisson, smoothed])
def test_the_norm_does_not_depend_on_the_split(build):
    parts = run_in_parts((2, 3), lambda part: squared_norm(build(part.first, part.count), part))
    for part in parts:
        torch.testing.assert_close(part, squared_norm(build(0, SLICES)), rtol=1e-12, atol=0)


class CountingStack(SliceStack):
    calls = 0

    def _normal(self, x):
        type(self).calls += 1
        return super()._normal(x)


def products(num_steps: int, sampler: type[VolumeSampler]) -> int:
    CountingStack.calls = 0
    operator = CountingStack(FiniteDifferences(SHAPE), SLICES)
    y = torch.zeros(operator.out_shape, dtype=torch.float64)
    likelihood = Likelihood(operator, GaussianNoise(SIGMA_Y), y)
    sampler(num_steps, num_cg=3).sample(
        likelihood, SlicePrior(slice_prior(), SLICES), generator=derive_generator(0)
    )
    return CountingStack.calls


@pytest.mark.parametrize("sampler", [DDS3D, DiffPIR3D])
def test_a_step_costs_its_conjugate_gradients_and_no_norm(sampler):
    assert products(9, sampler) - products(4, sampler) == 5 * (3 + 1)


@pytest.mark.parametrize(
    "build",
    [
        lambda: DDS3D(data_weight=0.0),
        lambda: DDS3D(eta=1.1),
        lambda: DDS3D(num_cg=0),
        lambda: DDS3D(num_steps=1),
    ],
)
def test_dds_refuses_settings_out_of_range(build):
    with pytest.raises(ValueError, match=r"DDS3D|sigmas"):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: DiffPIR3D(regularization=0.0),
        lambda: DiffPIR3D(noise_fraction=-0.1),
        lambda: DiffPIR3D(num_cg=0),
        lambda: DiffPIR3D(sigma_min=20.0),
    ],
)
def test_diffpir_refuses_settings_out_of_range(build):
    with pytest.raises(ValueError, match=r"DiffPIR3D|sigmas"):
        build()


def test_total_variation_refuses_another_scaling():
    with pytest.raises(ValueError, match="TotalVariationZ"):
        TotalVariationZ(scaling="relative")
