import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.samplers import FPS
from operators import FiniteDifferences, GaussianNoise, Mask
from operators.matrix import Matrix


class Shrinkage:
    """The denoiser of N(0, 1), in a wide data range."""

    data_range = (-4.0, 4.0)
    image_shape = None

    def __call__(self, x, sigma):
        return x / (1 + sigma**2)


def started(sampler, likelihood, runs=1):
    return sampler.init(likelihood, Shrinkage(), runs, generator=derive_generator(0))


def test_the_path_is_a_stationary_recursion():
    likelihood = Likelihood(Mask(torch.ones(50).bool()), GaussianNoise(0.1), torch.zeros(50))
    sampler = FPS(num_particles=1, c_rate=0.6)
    state = started(sampler, likelihood, runs=200)
    after, _ = sampler.step(state, torch.tensor(2.0), torch.tensor(1.0), likelihood, Shrinkage())
    e, e_next = state.memory, after.memory
    # 10000 numbers: standard errors of 0.01
    assert abs(e.var() - 1) < 0.06
    assert abs(e_next.var() - 1) < 0.06
    assert abs((e * e_next).mean() - 0.4**0.5) < 0.05


def test_a_step_draws_from_the_product_of_prediction_and_measurement():
    matrix = torch.tensor([[1.0, 0.4, 0.0], [-0.3, 2.0, 0.5]]).double()
    sigma_y, sigma, sigma_next = 0.3, torch.tensor(0.8).double(), torch.tensor(0.5).double()
    y = torch.tensor([0.7, -1.2]).double()
    likelihood, sampler = (
        Likelihood(Matrix(matrix), GaussianNoise(sigma_y), y),
        FPS(num_particles=40000),
    )
    state = started(sampler, likelihood)
    x = torch.tensor([0.5, -0.2, 1.0]).double()
    state = state._replace(x=x.expand_as(state.x))
    after, _ = sampler.step(state, sigma, sigma_next, likelihood, Shrinkage())
    seen = y + sigma_next * matrix @ likelihood.operator.V(after.memory[0, 0])
    mean = x / (1 + sigma**2)
    mean = mean + 0.05**0.5 * sigma_next / sigma * (x - mean)
    precision = torch.eye(3).double() / (0.95 * sigma_next**2) + matrix.mT @ matrix / sigma_y**2
    covariance = torch.linalg.inv(precision)
    expected = covariance @ (mean / (0.95 * sigma_next**2) + matrix.mT @ seen / sigma_y**2)
    # 40000 draws of standard deviation 0.5 at most: five standard errors
    torch.testing.assert_close(after.x[:, 0].mean(0), expected, rtol=0, atol=0.0125)
    torch.testing.assert_close(after.x[:, 0].mT.cov(), covariance, rtol=0, atol=0.01)


def test_a_state_is_weighed_by_the_measurement_of_its_own_level():
    likelihood = Likelihood(Mask(torch.ones(1).bool()), GaussianNoise(0.05), torch.zeros(1))
    sampler = FPS(num_particles=2)
    state = started(sampler, likelihood)
    x = torch.tensor([0.0, 1.0]).reshape_as(state.x)
    # the measurement of the level before is at 1, that of the clean image at 0
    state = state._replace(x=x, memory=torch.full_like(state.memory, 2.0))
    sigma, zero = torch.tensor(0.5).double(), torch.tensor(0.0).double()
    after, _ = sampler.step(state, sigma, zero, likelihood, Shrinkage())
    torch.testing.assert_close(after.x, torch.zeros_like(x))


def spread(sampler):
    mask = torch.tensor([True] * 32 + [False] * 32)
    likelihood = Likelihood(Mask(mask), GaussianNoise(0.5), torch.zeros(32).double())
    values = sampler.sample(likelihood, Shrinkage(), 40, generator=derive_generator(0)).values
    return values[:, mask].std() / 0.2**0.5, values[:, ~mask].std()


def test_samples_are_too_narrow_the_more_so_with_more_particles():
    few, free = spread(FPS(num_particles=2))
    many, _ = spread(FPS(num_particles=20))
    # known bias: the path counts the data at every level, and DDIM's noise is too much for D
    assert 0.4 < many < few < 0.75
    assert 0.65 < free < 0.9


def test_precise_data_are_kept():
    mask = torch.tensor([True] * 8 + [False] * 8)
    y = torch.linspace(-1, 1, 8).double()
    likelihood = Likelihood(Mask(mask), GaussianNoise(1e-6), y)
    sampler = FPS(sigma_min=1e-4)
    values = sampler.sample(likelihood, Shrinkage(), 20, generator=derive_generator(0)).values
    # a few times the last level, 4e-4
    assert (values[:, mask] - y).abs().max() < 2e-3


def test_refuses_an_operator_without_singular_vectors():
    operator = FiniteDifferences((4, 3))
    likelihood = Likelihood(operator, GaussianNoise(0.1), torch.zeros(operator.out_shape))
    with pytest.raises(ValueError, match=r"FPS.*FiniteDifferences"):
        FPS().sample(likelihood, Shrinkage(), 1, generator=derive_generator(0))


@pytest.mark.parametrize("c_rate", [0.0, 1.1])
def test_refuses_a_rate_out_of_range(c_rate):
    with pytest.raises(ValueError, match="c_rate"):
        FPS(c_rate=c_rate)
