"""A routed prior is the prior of the mixture of its experts."""

import itertools

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors.experts import RoutedPrior
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior
from invdiff.priors.routing import (
    MixtureRouter,
    combined,
    mass_left_out,
    mixture_components,
    truncated,
)
from invdiff.samplers import DPS, HeunSampler, RedDiff
from operators import GaussianNoise, Mask

# rounding of sums of a few terms of size 10
EXACT = 1e-12


def _mixture(generator, shape=(3,), count=3, spread=2.0):
    n = torch.Size(shape).numel()
    factor = torch.randn(count, n, n, generator=generator, dtype=torch.float64) / n**0.5
    means = spread * torch.randn(count, *shape, generator=generator, dtype=torch.float64)
    weights = 0.2 + torch.rand(count, generator=generator, dtype=torch.float64)
    return GaussianMixturePrior(weights, means, factor @ factor.mT + 0.1 * torch.eye(n))


def _routed(mixture, top=None):
    parts = mixture_components(mixture)
    return RoutedPrior(parts, MixtureRouter(mixture.weights, parts), top=top)


def _noisy(mixture, batch, generator, sigma):
    count = torch.Size(batch).numel()
    x = mixture.sample(count, generator=generator).reshape(*batch, *mixture.image_shape)
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x + sigma.reshape(*sigma.shape, *[1] * (x.ndim - sigma.ndim)) * noise


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (2, 2, 2)])
@pytest.mark.parametrize("batch", [(), (7,), (2, 3)])
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("top", [None, 3])
def test_parts_of_a_mixture_are_the_mixture(shape, batch, each, top, generator):
    mixture = _mixture(generator, shape)
    size = batch if each else ()
    sigma = torch.rand(size, generator=generator, dtype=torch.float64) * 4 + 0.02
    x = _noisy(mixture, batch, generator, sigma)
    found = _routed(mixture, top)(x, sigma)
    torch.testing.assert_close(found, mixture(x, sigma), atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("distance", [1e2, 1e4, 1e8])
def test_far_from_all_parts_nothing_underflows(distance, generator):
    mixture = _mixture(generator)
    x = distance * torch.randn(20, 3, generator=generator, dtype=torch.float64)
    sigma = torch.tensor(0.3, dtype=torch.float64)
    routed = _routed(mixture)
    assert torch.isinf(routed.experts[0].log_prob(x, sigma).exp().log()).all()
    torch.testing.assert_close(routed(x, sigma), mixture(x, sigma), atol=0, rtol=EXACT)
    assert (routed.router(x, sigma).logsumexp(-1).abs() < EXACT).all()


def test_densities_may_be_mixtures_themselves(generator):
    whole = _mixture(generator, count=4)
    groups = ([0, 2], [1, 3])
    parts = [
        GaussianMixturePrior(whole.weights[g], whole.means[g], whole.covariances[g]) for g in groups
    ]
    for part in parts:
        part.data_range = whole.data_range
    shares = torch.stack([whole.weights[g].sum() for g in groups])
    routed = RoutedPrior(parts, MixtureRouter(shares, parts))
    sigma = torch.tensor(0.7, dtype=torch.float64)
    x = _noisy(whole, (30,), generator, sigma)
    torch.testing.assert_close(routed(x, sigma), whole(x, sigma), atol=EXACT, rtol=EXACT)


def test_scores_and_velocities_are_combined_with_the_same_weights(generator):
    mixture = _mixture(generator)
    parts, sigma = mixture_components(mixture), torch.tensor(0.6, dtype=torch.float64)
    x = _noisy(mixture, (9,), generator, sigma).requires_grad_()
    log_weights = MixtureRouter(mixture.weights, parts)(x, sigma)
    denoised = torch.stack([part(x, sigma) for part in parts])
    (score,) = torch.autograd.grad(mixture.log_prob(x, sigma).sum(), x, retain_graph=True)
    found = combined((denoised - x) / sigma**2, log_weights)
    torch.testing.assert_close(found, score, atol=1e-11, rtol=1e-11)
    velocity = combined((x - denoised) / sigma, log_weights)
    torch.testing.assert_close(velocity, (x - mixture(x, sigma)) / sigma, atol=1e-11, rtol=1e-11)
    # weights count up to a factor
    shifted = combined(denoised, log_weights - 5e3)
    torch.testing.assert_close(shifted, mixture(x, sigma), atol=1e-11, rtol=1e-11)


def test_the_jacobian_knows_of_the_router(generator):
    mixture = _mixture(generator)
    sigma = torch.tensor(1.0, dtype=torch.float64)
    x = _noisy(mixture, (), generator, sigma)
    for top in (None, 3):
        routed = _routed(mixture, top)
        found = torch.autograd.functional.jacobian(lambda v, r=routed: r(v, sigma), x)
        exact = torch.autograd.functional.jacobian(lambda v: mixture(v, sigma), x)
        torch.testing.assert_close(found, exact, atol=EXACT, rtol=1e-10)


@pytest.mark.parametrize("method", ["heun", "red-diff", "dps"])
def test_samplers_see_no_difference(method, generator):
    mixture = _mixture(generator, (2, 3))
    keep = torch.tensor([[True, False, True], [False, True, True]])
    noise = GaussianNoise(0.1)
    operator = Mask(keep)
    y = noise.sample(
        operator.forward(mixture.sample(1, generator=generator)[0]), generator=generator
    )
    results = []
    for prior in (mixture, _routed(mixture)):
        stream = torch.Generator().manual_seed(3)
        if method == "heun":
            samples = HeunSampler().sample(prior, 5, generator=stream, dtype=torch.float64)
        else:
            sampler = RedDiff(num_steps=20) if method == "red-diff" else DPS(num_steps=20)
            samples = sampler.sample(Likelihood(operator, noise, y), prior, 5, generator=stream)
        results.append(samples.values)
    torch.testing.assert_close(*results, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("top", [1, 2])
def test_leaving_experts_out_costs_at_most_their_weight_times_the_spread(top, generator):
    errors = {}
    for distance, level in itertools.product((0.5, 2.0, 8.0), (0.1, 1.0, 10.0)):
        mixture = _mixture(torch.Generator().manual_seed(1), (4,), count=4, spread=distance)
        sigma = torch.tensor(level, dtype=torch.float64)
        x = _noisy(mixture, (500,), generator, sigma)
        exact, found = _routed(mixture), _routed(mixture, top)
        denoised = torch.stack([part(x, sigma) for part in exact.experts])
        spread = (denoised[:, None] - denoised).norm(dim=-1).amax((0, 1))
        log_weights = exact.router(x, sigma)
        error = (found(x, sigma) - exact(x, sigma)).norm(dim=-1)
        assert (error <= mass_left_out(log_weights, top) * spread * (1 + 1e-9) + EXACT).all()
        errors[distance, level] = float((error / mixture.covariance().trace().sqrt()).mean())
    # parts that are far apart can be told, and at high noise nothing can
    assert errors[8.0, 0.1] < 1e-2 * errors[0.5, 1.0]
    assert errors[8.0, 0.1] < errors[8.0, 1.0] < errors[8.0, 10.0]


def test_an_error_of_the_router_costs_at_most_twice_its_total_variation(generator):
    mixture = _mixture(generator, (4,), count=4)
    sigma = torch.tensor(1.5, dtype=torch.float64)
    x = _noisy(mixture, (500,), generator, sigma)
    exact = _routed(mixture)
    denoised = torch.stack([part(x, sigma) for part in exact.experts])
    radius = (denoised - denoised.mean(0)).norm(dim=-1).amax(0)
    for size in (1e-3, 0.1, 3.0):
        right = exact.router(x, sigma)
        wrong = right + size * torch.randn(right.shape, generator=generator, dtype=right.dtype)
        delta = (wrong.softmax(-1) - right.exp()).abs().sum(-1) / 2
        routed = RoutedPrior(exact.experts, lambda x, sigma, w=wrong: w)
        error = (routed(x, sigma) - exact(x, sigma)).norm(dim=-1)
        assert (error <= 2 * delta * radius + EXACT).all()
        assert error.mean() > 0.05 * (delta * radius).mean()


@pytest.mark.parametrize("sigma", [torch.tensor(0.2), torch.linspace(0.1, 1, 6).reshape(2, 3)])
def test_only_the_experts_that_are_needed_are_called(sigma):
    seen = []

    class Counted(GaussianPrior):
        def __call__(self, x, sigma):
            seen.append((float(self.mean()[0]), x.shape, sigma.shape))
            return super().__call__(x, sigma)

    experts = [Counted(torch.full((2,), 10.0 * k), 1.0) for k in range(4)]
    for expert in experts:
        expert.data_range = (0.0, 30.0)
    router = MixtureRouter(torch.ones(4), experts)
    x = torch.tensor([[0.0, 10, 10], [0, 10, 10]])[..., None].expand(2, 3, 2)
    one = RoutedPrior(experts, router, top=1)
    torch.testing.assert_close(one(x, sigma), x)
    assert [(mean, shape[0]) for mean, shape, _ in seen] == [(0.0, 2), (10.0, 4)]
    assert one.expert_calls == [2, 4, 0, 0]
    assert one.num_calls == 6
    every = RoutedPrior(experts, router)
    torch.testing.assert_close(every(x, sigma), x)
    assert every.expert_calls == [6, 6, 6, 6]


@pytest.mark.parametrize("top", [1, 2])
def test_a_batch_gives_what_its_images_give_alone(top, generator):
    mixture = _mixture(generator)
    sigma = torch.rand(6, generator=generator, dtype=torch.float64) + 0.1
    x = _noisy(mixture, (6,), generator, sigma)
    routed = _routed(mixture, top)
    alone = torch.stack([routed(v, s) for v, s in zip(x, sigma, strict=True)])
    torch.testing.assert_close(routed(x, sigma), alone, atol=EXACT, rtol=EXACT)


def test_truncated_weights_are_those_of_the_largest():
    weights = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]], dtype=torch.float64)
    two = truncated(weights.log() - 7, 2).exp()
    torch.testing.assert_close(two[0], torch.tensor([0, 2, 1], dtype=torch.float64) / 3)
    # of equal ones only as many as asked for
    assert (two[1] > 0).sum() == 2
    left = mass_left_out(weights.log() - 7, 1)
    torch.testing.assert_close(left, torch.tensor([0.4, 0.5], dtype=torch.float64))
    assert (mass_left_out(weights.log(), 3) == 0).all()


def _experts(*changes):
    experts = [GaussianPrior(torch.zeros(2), 1.0) for _ in range(2)]
    for name, value in changes:
        setattr(experts[1], name, value)
    return experts


@pytest.mark.parametrize(
    ("experts", "top", "reason"),
    [
        ([], None, "got none"),
        (_experts(), 0, "top from 1 to 2, got 0"),
        (_experts(), 3, "top from 1 to 2, got 3"),
        (_experts(("data_range", (-1.0, 1.0))), None, "data_range of expert 1"),
        (_experts(("image_shape", (2, 1))), None, "image_shape of expert 1"),
    ],
)
def test_experts_must_agree(experts, top, reason):
    with pytest.raises(ValueError, match=reason):
        RoutedPrior(experts, lambda x, sigma: x, top=top)


def test_bad_weights_are_refused():
    experts = _experts()
    with pytest.raises(ValueError, match="positive shares"):
        MixtureRouter(torch.tensor([1.0, 0.0]), experts)
    with pytest.raises(ValueError, match="expected 2 positive shares"):
        MixtureRouter(torch.ones(3), experts)
    three = RoutedPrior(experts, lambda x, sigma: torch.zeros(*x.shape[:-1], 3))
    with pytest.raises(ValueError, match="gives 3 weights"):
        three(torch.zeros(4, 2), torch.tensor(1.0))
    with pytest.raises(ValueError, match="log weights"):
        combined(torch.zeros(2, 4, 3), torch.zeros(5, 2))
