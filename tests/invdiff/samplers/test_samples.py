import torch

from invdiff.samplers import Samples


def test_equal_weights_give_the_usual_moments(generator):
    values = torch.randn(7, 2, 3, 4, generator=generator, dtype=torch.float64)
    samples = Samples(values, torch.zeros(7, 2).double())
    torch.testing.assert_close(samples.mean(), values.mean(0))
    torch.testing.assert_close(samples.std(), values.std(0))


def test_a_sample_without_weight_does_not_count(generator):
    values = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    samples = Samples(values, torch.tensor([0.0, 0.0, -torch.inf]).double())
    torch.testing.assert_close(samples.mean(), values[:2].mean(0))
    torch.testing.assert_close(samples.std(), values[:2].std(0))


def test_a_single_sample_has_no_spread():
    samples = Samples(torch.ones(1, 2, 3), torch.zeros(1, 2))
    assert torch.equal(samples.std(), torch.zeros(2, 3))
