import pytest
import torch

from invdiff.rng import derive_generator, population
from invdiff.samplers.resampling import ancestors, effective_sample_size, take

SCHEMES = ["systematic", "stratified", "multinomial", "residual"]


def test_effective_sample_size_of_equal_and_of_single_weights():
    log_weights = torch.stack([torch.zeros(8), torch.full((8,), -torch.inf)], dim=1).double()
    log_weights[3, 1] = 700.0
    torch.testing.assert_close(
        effective_sample_size(log_weights), torch.tensor([1, 1 / 8]).double()
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_offspring_is_unbiased(scheme):
    log_weights = torch.tensor([0.05, 0.5, 0.0, 0.3, 0.15]).double().log()
    source, repeats = population(derive_generator(0), ()), 4000
    drawn = torch.stack([ancestors(log_weights, source, scheme) for _ in range(repeats)])
    counts = torch.stack([(drawn == k).sum(1) for k in range(5)], 1).double()
    error = (counts.mean(0) - 5 * log_weights.exp()).abs()
    assert (error <= 4.5 * counts.std(0) / repeats**0.5 + 1e-12).all()


@pytest.mark.parametrize("scheme", ["systematic", "residual"])
def test_low_variance_schemes_never_miss_a_whole_copy(scheme):
    weights = torch.tensor([0.41, 0.29, 0.2, 0.1]).double()
    for seed in range(50):
        drawn = ancestors(weights.log(), population(derive_generator(seed), ()), scheme, num=10)
        counts = torch.bincount(drawn, minlength=4)
        assert (counts >= (10 * weights).floor()).all()
        assert len(drawn) == 10


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_problem_in_a_batch_draws_what_it_draws_alone(scheme):
    log_weights = torch.randn(6, 2, 3, generator=derive_generator(1)).double()
    streams = [derive_generator(0, p) for p in range(6)]
    together = ancestors(log_weights, population(streams, (2, 3)), scheme)
    assert together.shape == (6, 2, 3)
    for p in range(6):
        alone = ancestors(
            log_weights[:, p // 3, p % 3], population(derive_generator(0, p), ()), scheme
        )
        assert torch.equal(together[:, p // 3, p % 3], alone)


def test_take_follows_the_index_of_each_problem():
    values = torch.arange(12).reshape(3, 2, 2)
    index = torch.tensor([[2, 0], [2, 1], [0, 0]])
    assert torch.equal(take(values, index)[1], torch.stack([values[2, 0], values[1, 1]]))


def test_refuses_an_unknown_scheme():
    with pytest.raises(ValueError, match="systematic"):
        ancestors(torch.zeros(3), population(derive_generator(0), ()), "best")
