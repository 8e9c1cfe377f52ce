import pytest
import torch

from invdiff.interpolants.couplings import IndependentCoupling, PairedCoupling
from invdiff.rng import derive_generator


def _normal(count, generator):
    return torch.randn(count, 2, generator=generator, dtype=torch.float64)


def test_independent_ends_know_nothing_of_each_other():
    coupling = IndependentCoupling(_normal, lambda count, g: _normal(count, g).exp())
    x0, x1, condition = coupling.draw(20_000, derive_generator(0))
    assert condition is None
    products = ((x0 - x0.mean(0)).unsqueeze(2) * x1.unsqueeze(1)).flatten(1)
    assert (products.mean(0).abs() < 4.5 * products.std(0) / 20_000**0.5).all()


def test_an_end_that_is_noise_is_not_drawn():
    assert IndependentCoupling(_normal).draw(3, derive_generator(0)).x0 is None


def test_pairs_stay_together_and_come_equally_often():
    index = torch.arange(5, dtype=torch.float64).reshape(5, 1)
    coupling = PairedCoupling(index, 10 * index, index.flatten() + 100)
    x0, x1, condition = coupling.draw(10_000, derive_generator(0))
    assert torch.equal(x1, 10 * x0)
    assert condition is not None
    assert torch.equal(condition, x0.flatten() + 100)
    counts = x0.flatten().long().bincount()
    assert (counts - 2000).abs().max() < 4.5 * (2000 * 0.8) ** 0.5


def test_the_generator_decides():
    coupling = PairedCoupling(torch.arange(9.0), torch.arange(9.0))
    first, again = (coupling.draw(20, derive_generator(1)).x0 for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, coupling.draw(20, derive_generator(2)).x0)


@pytest.mark.parametrize(
    ("x0", "x1", "condition", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(4, 2), None, "one shape"),
        (torch.zeros(3, 2), torch.zeros(3, 1), None, "one shape"),
        (torch.zeros(0, 2), torch.zeros(0, 2), None, "one shape"),
        (torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(2), "expected 3 conditions, got 2"),
    ],
)
def test_bad_pairs(x0, x1, condition, message):
    with pytest.raises(ValueError, match=message):
        PairedCoupling(x0, x1, condition)
