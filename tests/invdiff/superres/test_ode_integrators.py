import itertools
import math

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import heun_step
from invdiff.superres.exact import ExactConditional
from invdiff.superres.grids import noise_grid
from invdiff.superres.integrators import integrator_named, list_integrators
from invdiff.superres.ode import SuperResolutionOde
from operators import Matrix

ORDERS = {"ddim": 1, "dpm_2": 2, "dpmpp_2m": 2, "heun": 2, "unipc_2": 3}
NAMES = list_integrators()
GRIDS = ("edm", "log_snr", "quadratic", "uniform")


def normal(*shape, label="boundary"):
    return torch.randn(*shape, generator=derive_generator(0, label), dtype=torch.float64)


def gaussian():
    vectors = torch.linalg.qr(normal(4, 4, label="vectors")).Q
    covariance = vectors * torch.tensor([2.0, 1.0, 0.5, 0.2]).double() @ vectors.T
    prior = GaussianPrior(normal(4, label="mean"), (covariance + covariance.T) / 2)
    return ExactConditional(prior, Matrix(normal(3, 4, label="matrix")), 0.8)


def mixture():
    means = torch.tensor([[1.0, 0.0, 0.5], [-1.0, 0.3, 0.0]]).double()
    one = torch.eye(3).double()
    prior = GaussianMixturePrior(
        torch.tensor([0.4, 0.6]).double(), means, torch.stack([0.5 * one, 0.3 * one + 0.1])
    )
    return ExactConditional(prior, Matrix(normal(2, 3, label="matrix")), 1.0)


def problem(denoiser, count=8):
    """A boundary for each of some measurements."""
    y = normal(count, *denoiser.operator.out_shape, label="y")
    return normal(count, *denoiser.image_shape), y


def gaussian_flow(denoiser, x, y, sigma, sigma_end):
    """The exact flow, one factor for each principal direction of the posterior."""
    values, vectors = torch.linalg.eigh(denoiser.covariances[0])
    factor = ((values + sigma_end**2) / (values + sigma**2)).sqrt()
    mean = denoiser.posterior_mean(y)
    return mean + (x - mean) @ (vectors * factor) @ vectors.T


def mixture_flow(denoiser, x, y, sigma, sigma_end):
    """The flow by the classical Runge-Kutta method, 600 steps in ln sigma."""
    h = math.log(sigma / sigma_end) / 600

    def slope(x, log_sigma):
        return denoiser(x, torch.tensor(log_sigma).double().exp(), y) - x

    for i in range(600):
        log_sigma = math.log(sigma) - i * h
        k1 = slope(x, log_sigma)
        k2 = slope(x + h / 2 * k1, log_sigma - h / 2)
        k3 = slope(x + h / 2 * k2, log_sigma - h / 2)
        k4 = slope(x + h * k3, log_sigma - h)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


@pytest.fixture(scope="module")
def flows():
    """Two problems with the state at sigma = 3 and what it becomes at sigma = 0.3."""
    made = {}
    for name, denoiser, flow in (
        ("gaussian", gaussian(), gaussian_flow),
        ("mixture", mixture(), mixture_flow),
    ):
        boundary, y = problem(denoiser)
        x = denoiser.center(y) + 3 * boundary
        made[name] = denoiser, x, y, flow(denoiser, x, y, 3.0, 0.3)
    return made


def order(counts, errors):
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_order_of_convergence(flows, kind, name, grid):
    denoiser, x, y, exact = flows[kind]
    counts, errors = (32, 48, 72, 108), []
    for count in counts:
        sigmas = noise_grid(grid, count + 1, 3.0, 0.3)
        end = integrator_named(name)(lambda x, sigma: denoiser(x, sigma, y), x, sigmas)
        errors.append((end - exact).norm().item())
    assert abs(order(counts, errors) - ORDERS[name]) < 0.2, errors


@pytest.mark.parametrize("grid", ["edm", "log_snr"])
@pytest.mark.parametrize("name", NAMES)
def test_order_of_convergence_down_to_no_noise(name, grid):
    denoiser = gaussian()
    boundary, y = problem(denoiser)
    counts, errors = (65, 97, 145), []
    for count in counts:
        ode = SuperResolutionOde(
            denoiser, name, num_calls=count, grid=grid, sigma_max=2.0, sigma_min=1e-4
        )
        start = denoiser.center(y) + ode.sigmas[0] * boundary
        exact = gaussian_flow(denoiser, start, y, ode.sigmas[0], 0.0)
        errors.append((ode(boundary, y) - exact).norm().item())
    assert abs(order(counts, errors) - ORDERS[name]) < 0.2, errors


@pytest.mark.parametrize("grid", GRIDS)
def test_all_methods_have_the_same_limit(grid):
    denoiser = mixture()
    boundary, y = problem(denoiser)
    images = [
        SuperResolutionOde(denoiser, name, num_calls=calls, grid=grid)(boundary, y)
        for name, calls in (("ddim", 1600), *((name, 400) for name in NAMES if name != "ddim"))
    ]
    for image in images:
        assert (image - images[-1]).abs().max() < 0.02 * images[-1].std()


class PointMass:
    """All images are the same."""

    data_range = (-1.0, 1.0)

    def __init__(self):
        self.image, self.calls = normal(5, label="point"), []

    def __call__(self, x, sigma, y):
        self.calls.append(float(sigma))
        return self.image.to(x).expand_as(x)

    def center(self, y):
        return y


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_calls", [2, 3, 4, 9, 10])
def test_exact_for_a_point_mass_with_just_the_calls_asked_for(name, num_calls):
    denoiser = PointMass()
    ode = SuperResolutionOde(denoiser, name, num_calls=num_calls)
    image = ode(normal(5), normal(2, 5, label="y"))
    torch.testing.assert_close(image, denoiser.image.expand(2, 5))
    assert len(denoiser.calls) == num_calls == ode.num_calls
    assert denoiser.calls[0] == pytest.approx(2.0)
    assert min(denoiser.calls) == pytest.approx(0.002)


@pytest.mark.parametrize("name", NAMES)
def test_follows_a_straight_path_between_levels(name):
    # without a step to 0, every step is the method's own
    denoiser, start = PointMass(), normal(5)
    sigmas = noise_grid("edm", 4, 3.0, 0.3)
    end = integrator_named(name)(lambda x, sigma: denoiser(x, sigma, None), start, sigmas)
    torch.testing.assert_close(end, denoiser.image + (start - denoiser.image) / 10)
    assert len(denoiser.calls) == (6 if name in ("heun", "dpm_2") else 3)


def test_heun_is_the_step_of_the_sampler():
    denoiser = mixture()
    x, y = problem(denoiser)
    sigmas = torch.tensor([2.0, 0.7, 0.2, 0.0]).double()
    end = integrator_named("heun")(lambda x, sigma: denoiser(x, sigma, y), x, sigmas)
    for sigma, following in itertools.pairwise(sigmas):
        x = heun_step(lambda x, sigma: denoiser(x, sigma, y), x, sigma, following)
    torch.testing.assert_close(end, x)


def test_an_even_number_of_calls_ends_with_two_euler_steps():
    denoiser = mixture()
    x, y = problem(denoiser)
    sigmas = torch.tensor([2.0, 0.7, 0.2, 0.0]).double()

    def denoise(x, sigma):
        return denoiser(x, sigma, y)

    for name in ("heun", "dpm_2"):
        end = integrator_named(name).for_calls(4)(denoise, x, sigmas)
        middle = integrator_named(name)(denoise, x, sigmas[:2])
        torch.testing.assert_close(end, integrator_named("ddim")(denoise, middle, sigmas[1:]))


SCHEDULERS = {
    "dpmpp_2m": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_type": "midpoint"},
    ),
    "unipc_2": (UniPCMultistepScheduler, {"solver_type": "bh2"}),
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_agrees_with_the_schedulers_of_diffusers(name):
    # theirs is the variance-preserving scaling x / sqrt(1 + sigma^2), of which the steps know not
    scheduler_class, settings = SCHEDULERS[name]
    scheduler = scheduler_class(
        solver_order=2, prediction_type="sample", use_karras_sigmas=True,
        final_sigmas_type="zero", **settings,
    )  # fmt: skip
    scheduler.set_timesteps(8)
    sigmas = scheduler.sigmas = scheduler.sigmas.double()
    scale = (1 + sigmas**2).sqrt()

    def denoise(x, sigma):
        return 0.7 * torch.tanh(x / (1 + sigma**2)) + 0.2 * torch.sin(x / (1 + sigma))

    start = sigmas[0] * normal(5, 1, 1, 1)
    x = start / scale[0]
    for i, time in enumerate(scheduler.timesteps):
        x = scheduler.step(denoise(scale[i] * x, sigmas[i]), time, x).prev_sample
    end = integrator_named(name)(denoise, start, sigmas)
    # one of the two computes in float32
    torch.testing.assert_close(end, x.double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_finite_differences(name):
    denoiser = mixture()
    boundary, y = problem(denoiser, 2)
    ode = SuperResolutionOde(denoiser, name, num_calls=6)
    assert torch.autograd.gradcheck(lambda x: ode(x, y), boundary.requires_grad_())
    assert torch.autograd.gradcheck(lambda x: ode(x, y), boundary[0].detach().requires_grad_())


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_images_and_a_shared_boundary_is_its_copies(name):
    denoiser = mixture()
    boundaries, y = problem(denoiser, 6)
    boundaries, y = boundaries.reshape(2, 3, 3), y.reshape(2, 3, 2)
    ode = SuperResolutionOde(denoiser, name, num_calls=7)
    images = ode(boundaries, y)
    torch.testing.assert_close(images[1, 2], ode(boundaries[1, 2], y[1, 2]))
    shared = boundaries[0, 0]
    torch.testing.assert_close(ode(shared, y), ode(shared.expand(2, 3, 3), y))


@pytest.mark.parametrize("name", NAMES)
def test_keeps_the_dtype_of_the_boundary(name):
    denoiser = mixture()
    boundary, y = problem(denoiser)
    ode = SuperResolutionOde(denoiser, name, num_calls=8)
    single, double = ode(boundary.float(), y.float()), ode(boundary, y)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_refuses_unknown_methods_and_impossible_numbers_of_calls():
    with pytest.raises(ValueError, match="expected one of ddim, dpm_2, dpmpp_2m, heun, unipc_2"):
        integrator_named("euler")
    for name in NAMES:
        for method in (integrator_named(name).steps_for, integrator_named(name).for_calls):
            with pytest.raises(ValueError, match="expected at least 1, got 0"):
                method(0)
        with pytest.raises(ValueError, match="num_calls: expected at least 2"):
            SuperResolutionOde(PointMass(), name, num_calls=1)
