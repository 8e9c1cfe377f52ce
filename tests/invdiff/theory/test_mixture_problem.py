"""The mixture benchmark: its prior, its operator, and its exact answer."""

import pytest
import torch

from invdiff.theory import mixture_problem, mode_distance_growth


def test_is_the_published_mixture():
    problem = mixture_problem(8, 2, seed=0)
    means = problem.prior.means
    assert means.shape == (25, 8)
    # the same two numbers again and again
    torch.testing.assert_close(means, means[:, :2].repeat(1, 4))
    grid = {(float(a), float(b)) for a, b in means[:, :2]}
    assert grid == {(a, b) for a in range(-16, 17, 8) for b in range(-16, 17, 8)}
    assert problem.prior.data_range == (-20.0, 20.0)


def test_noise_is_a_share_of_the_largest_singular_value():
    for seed in range(5):
        likelihood = mixture_problem(8, 4, seed).likelihood
        s = likelihood.operator.singular_values
        assert ((s > 0) & (s < 1)).all()
        assert 0 < likelihood.noise.sigma < s.max()


def test_the_posterior_is_bayes_rule(generator):
    """Log prior plus log likelihood minus log posterior is log p(y) at every x."""
    problem = mixture_problem(8, 2, seed=1)
    x = problem.posterior.sample(5, generator=generator)
    evidence = (
        problem.prior.log_prob(x) + problem.likelihood.log_prob(x) - problem.posterior.log_prob(x)
    )
    torch.testing.assert_close(evidence, evidence[0].expand(5))


def test_a_posterior_whose_weights_underflow_is_a_mixture_still():
    problems = [mixture_problem(8, 4, seed) for seed in range(6)]
    assert min(float(p.posterior.weights.min()) for p in problems) < 1e-300
    assert all(torch.isfinite(p.posterior.mean()).all() for p in problems)


def test_instances_are_their_seeds():
    first, again, other = (mixture_problem(8, 1, seed).likelihood.y for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_modes_grow_apart_with_the_root_of_the_dimension():
    distances = [torch.pdist(mixture_problem(n, 1, 0).prior.means).min() for n in (8, 80, 800)]
    for n, distance in zip((8, 80, 800), distances, strict=True):
        assert mode_distance_growth(n) == pytest.approx(float(distance / distances[0]))


@pytest.mark.parametrize(("dims", "measured"), [(7, 1), (8, 0), (8, 9)])
def test_refuses_other_dimensions(dims, measured):
    with pytest.raises(ValueError, match="even number of dimensions"):
        mixture_problem(dims, measured, 0)
