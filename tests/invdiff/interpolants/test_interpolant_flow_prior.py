import pytest
import torch

from invdiff.interpolants.flow_prior import DenoiserProcess, FlowPrior
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import Mirror, OneSided, TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.noise_levels import noise_level, time_of_level
from invdiff.interpolants.paths import (
    EncodingDecodingPath,
    LinearPath,
    PowerPath,
    TrigonometricPath,
)
from invdiff.interpolants.process import FieldProcess
from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from operators import GaussianNoise, Mask
from tests.laws.sampler_instances import SAMPLERS

PATHS = {
    "linear": LinearPath(),
    "trigonometric": TrigonometricPath(),
    "power": PowerPath(2.0),
}
# rounding of the solves in float64, at noise levels from 1e-3 to 1e3
EXACT = 1e-10
# a dozen steps of a sampler amplify rounding by less than this
SAMPLER_TOLERANCE = 1e-6
SHAPE = (4, 3)


@pytest.fixture(params=PATHS)
def interpolant(request):
    return OneSided(PATHS[request.param])


def exact_flow(prior, interpolant):
    # b of a power path tells nothing about x1 at t = 0
    times = (1e-6 if isinstance(interpolant.path, PowerPath) else 0.0, 1.0)
    return FlowPrior(MixtureProcess(interpolant, prior), prior.data_range, prior.image_shape, times)


@pytest.mark.parametrize("sigma", [0.0, 1e-3, 0.3, 1.0, 17.0, 1e3])
def test_the_denoiser_of_a_flow_is_that_of_its_target(mixture, interpolant, sigma, generator):
    sigma = torch.tensor(sigma).double()
    x = mixture.sample(7, generator=generator)
    x = x + sigma * torch.randn(x.shape, generator=generator).double()
    actual = exact_flow(mixture, interpolant)(x, sigma)
    torch.testing.assert_close(actual, mixture(x, sigma), rtol=EXACT, atol=EXACT)


def test_a_noise_level_for_each_sample(mixture, interpolant, generator):
    x = torch.randn(2, 5, 2, generator=generator).double()
    sigma = torch.rand(2, 5, generator=generator).double() * 3
    flow = exact_flow(mixture, interpolant)
    together = flow(x, sigma)
    torch.testing.assert_close(together, mixture(x, sigma), rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(together[1, 3], flow(x[1, 3], sigma[1, 3]))


def test_times_and_noise_levels_are_inverse(interpolant):
    t = torch.linspace(0, 1, 41, dtype=torch.float64)
    back = time_of_level(interpolant, noise_level(interpolant, t), (0.0, 1.0))
    torch.testing.assert_close(back, t, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["b", "s", "eta"])
def test_any_field_makes_the_same_denoiser(mixture, interpolant, kind, generator):
    process = MixtureProcess(interpolant, mixture)
    field = {"b": process.velocity, "s": process.score, "eta": process.noise}[kind]
    flow = FlowPrior(FieldProcess(interpolant, **{kind: field}), mixture.data_range)
    x, sigma = torch.randn(6, 2, generator=generator).double(), torch.tensor(0.7)
    torch.testing.assert_close(flow(x, sigma), mixture(x, sigma.double()), rtol=1e-9, atol=1e-9)


def test_the_gradient_is_that_of_the_exact_denoiser(mixture, interpolant, generator):
    x = torch.randn(4, 2, generator=generator).double().requires_grad_()
    sigma = torch.tensor(0.8).double()
    gradients = [
        torch.autograd.grad((d(x, sigma) ** 2).sum(), x)[0]
        for d in (exact_flow(mixture, interpolant), mixture)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_the_images_is_kept(mixture, interpolant, dtype):
    x = torch.ones(3, 2, dtype=dtype)
    for sigma in (torch.tensor(0.5), torch.full((3,), 0.5).double()):
        assert exact_flow(mixture, interpolant)(x, sigma).dtype == dtype


def test_levels_beyond_the_times_are_those_of_the_nearest(mixture, interpolant):
    flow = FlowPrior(MixtureProcess(interpolant, mixture), mixture.data_range, (2,), (0.1, 0.9))
    low, high = (noise_level(interpolant, torch.tensor(t).double()) for t in (0.9, 0.1))
    x = torch.tensor([0.4, -1.2]).double()
    lowest = flow(x, low)
    # below, the image keeps its size, as that of a sum of data and little noise
    nearly = (1 + low**2).sqrt() * x
    torch.testing.assert_close(flow(nearly / (1 + low**2).sqrt(), 0 * low), flow(nearly, low))
    torch.testing.assert_close(lowest, mixture(x, low), rtol=EXACT, atol=EXACT)
    # above, the noise keeps its size
    far, size = 1e6 * high, ((1 + (1e6 * high) ** 2) / (1 + high**2)).sqrt()
    torch.testing.assert_close(flow(x * size, far), flow(x, high))


def test_refuses_what_is_no_flow_from_noise(mixture):
    process = MixtureProcess(OneSided(), mixture)
    with pytest.raises(ValueError, match="low < high"):
        FlowPrior(process, (-1.0, 1.0), (2,), (0.5, 0.5))
    two_sided = MixtureProcess(TwoSided(), mixture, mixture)
    with pytest.raises(ValueError, match="without x0"):
        FlowPrior(two_sided, (-1.0, 1.0))
    for other in (Mirror(), OneSided(EncodingDecodingPath())):
        with pytest.raises(ValueError, match="falls with time"):
            FlowPrior(MixtureProcess(other, mixture), (-1.0, 1.0))
    with pytest.raises(ValueError, match=r"within \(0, 1\)"):
        FlowPrior(MixtureProcess(OneSided(PowerPath()), mixture), (-1.0, 1.0), (2,), (0.0, 1.0))
    flow = FlowPrior(process, (-1.0, 1.0), (2,))
    for x in (torch.zeros(4, 3), torch.zeros(2, dtype=torch.complex64)):
        with pytest.raises(ValueError, match="real images of"):
            flow(x, torch.tensor(1.0))


@pytest.mark.filterwarnings("ignore:Ensemble. at step:invdiff.linalg.NumericalWarning")
@pytest.mark.parametrize("path", ["linear", "trigonometric"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_posterior_sampler_runs_on_a_flow_as_on_its_target(name, path, generator):
    distance = (torch.arange(12)[:, None] - torch.arange(12)).abs()
    prior = GaussianPrior(
        torch.full(SHAPE, 0.5).double(), 0.1 * torch.exp(-distance / 2.0).double()
    )
    x = prior.sample(2, generator=generator)
    operator = Mask(torch.rand(SHAPE, generator=generator) < 0.6).double()
    noise = GaussianNoise(0.05)
    likelihood = Likelihood(operator, noise, noise.sample(operator(x), generator=generator))
    flow, exact = (
        SAMPLERS[name].sample(likelihood, p, 3, generator=derive_generator(0, name))
        for p in (exact_flow(prior, OneSided(PATHS[path])), prior)
    )
    tolerance = {"rtol": SAMPLER_TOLERANCE, "atol": SAMPLER_TOLERANCE}
    torch.testing.assert_close(flow.values, exact.values, **tolerance)
    torch.testing.assert_close(flow.log_weights, exact.log_weights, **tolerance)
    assert exact.values.dtype == torch.float64


@pytest.mark.parametrize("t", [0.02, 0.4, 0.97])
def test_the_fields_of_a_denoiser_are_those_of_its_law(mixture, interpolant, t, generator):
    t = torch.tensor(t).double()
    exact, made = MixtureProcess(interpolant, mixture), DenoiserProcess(mixture, interpolant)
    x = exact.sample(6, t, generator=generator)
    for name in ("velocity", "score", "noise"):
        # cancellation of x - beta D where gamma is small
        torch.testing.assert_close(getattr(made, name)(x, t), getattr(exact, name)(x, t),
                                   rtol=EXACT, atol=EXACT)  # fmt: skip
    times = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)
    torch.testing.assert_close(made.velocity(x, times), exact.velocity(x, times))


def test_a_denoiser_of_a_process_of_a_denoiser_is_itself(mixture, interpolant, generator):
    back = FlowPrior(DenoiserProcess(mixture, interpolant), mixture.data_range)
    x = 2 * torch.randn(5, 2, generator=generator).double()
    for sigma in (0.05, 1.0, 30.0):
        level = torch.tensor(sigma).double()
        torch.testing.assert_close(back(x, level), mixture(x, level), rtol=EXACT, atol=EXACT)


def test_a_mirror_of_a_denoiser(mixture, generator):
    mirror, t = Mirror(), torch.tensor(0.3).double()
    exact, made = MixtureProcess(mirror, mixture), DenoiserProcess(mixture, mirror)
    x = torch.randn(5, 2, generator=generator).double()
    torch.testing.assert_close(made.velocity(x, t), exact.velocity(x, t), rtol=EXACT, atol=EXACT)


def test_the_fields_are_finite_at_both_ends(mixture, interpolant):
    made, exact = DenoiserProcess(mixture, interpolant), MixtureProcess(interpolant, mixture)
    x = torch.tensor([[0.3, -0.4]]).double()
    for t in (torch.tensor(0.0).double(), torch.tensor(1.0).double()):
        actual, expected = made.velocity(x, t), exact.velocity(x, t)
        # the field of a time that is 1e-4 away
        torch.testing.assert_close(actual, expected, rtol=2e-3, atol=2e-3)
        assert torch.isfinite(made.score(x, t)).all()


def test_the_ode_of_every_path_has_the_same_end_points():
    mean, std = torch.tensor([0.5, -1.0]).double(), torch.tensor([0.4, 2.0]).double()
    prior = GaussianPrior(mean, torch.diag(std**2))
    z = torch.tensor([[1.3, -0.2], [-0.7, 0.9]]).double()
    exact = mean + std * z
    for path in PATHS.values():
        process = DenoiserProcess(prior, OneSided(path), (1e-6, 1 - 1e-6))
        end = integrate_ode(process.velocity, z, time_grid(400, 0.0, 1.0))
        # Heun's error at 400 steps is below 3e-5 on each
        torch.testing.assert_close(end, exact, rtol=0, atol=2e-4)


def test_a_denoiser_process_refuses_two_ends(mixture):
    with pytest.raises(ValueError, match="without x0"):
        DenoiserProcess(mixture, TwoSided())
    with pytest.raises(ValueError, match=r"in \(0, 1\)"):
        DenoiserProcess(mixture, OneSided(), (0.0, 1.0))
