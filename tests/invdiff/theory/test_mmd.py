import math

import pytest
import torch

from invdiff.samplers import Samples
from invdiff.theory import block_mmd2, median_bandwidth, mmd2


def _normal(generator, *shape):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _gaussian_mmd2(shift, scale, h, n):
    """Closed form for N(0, 1) against N(shift, scale^2) in n dimensions."""

    def overlap(variance, distance=0.0):
        return (h**2 / (h**2 + variance)) ** (n / 2) * math.exp(
            -(distance**2) / (2 * (h**2 + variance))
        )

    return overlap(2) + overlap(2 * scale**2) - 2 * overlap(1 + scale**2, shift)


@pytest.mark.parametrize(("shift", "scale"), [(1.0, 1.0), (0.0, 1.5)])
def test_gaussians_have_their_closed_form(shift, scale, generator) -> None:
    n, h, repeats = 3, 1.3, 40
    offset = shift * torch.eye(n)[0].double()
    values = torch.tensor(
        [
            mmd2(
                _normal(generator, 100, n),
                offset + scale * _normal(generator, 150, n),
                bandwidth=h,
            )
            for _ in range(repeats)
        ]
    )
    expected = _gaussian_mmd2(shift, scale, h, n)
    # unbiased: the mean is right within its own scatter
    assert abs(values.mean() - expected) < 4.5 * values.std() / repeats**0.5
    assert expected > 2 * values.std()


def test_equal_distributions_have_mean_zero(generator) -> None:
    values = [mmd2(_normal(generator, 60, 2), _normal(generator, 50, 2)) for _ in range(60)]
    mean, std = torch.tensor(values).mean(), torch.tensor(values).std()
    assert abs(mean) < 4.5 * std / 60**0.5
    assert min(values) < 0


def test_equal_weights_are_no_weights_and_zero_weights_leave_out(generator) -> None:
    x, y = _normal(generator, 20, 2, 2), _normal(generator, 30, 2, 2)
    plain = mmd2(x, y, bandwidth=1.0)
    assert mmd2(Samples(x, torch.zeros(20)), y, bandwidth=1.0) == pytest.approx(plain, rel=1e-9)
    extra = torch.cat([x, _normal(generator, 5, 2, 2)])
    log_weights = torch.cat([torch.zeros(20), torch.full((5,), -math.inf)])
    assert mmd2(Samples(extra, log_weights), y, bandwidth=1.0) == pytest.approx(plain, rel=1e-9)


def test_weights_make_one_distribution_of_another(generator) -> None:
    """Importance weights from N(0, 1) to N(1, 1): no discrepancy is left."""
    x, y = _normal(generator, 1500, 1), 1 + _normal(generator, 1500, 1)
    weighted = Samples(x, (x - 0.5).squeeze(1).log_softmax(0))
    # the effective number is 1500 / e
    assert abs(mmd2(weighted, y, bandwidth=1.0)) < 0.01
    assert mmd2(x, y, bandwidth=1.0) > 0.1


def test_blocks_accept_equal_and_detect_unequal_distributions(generator) -> None:
    x, y = _normal(generator, 4050, 3), _normal(generator, 4000, 3)
    same = block_mmd2(x, y)
    assert abs(same.value) < 4.5 * same.standard_error
    wider = block_mmd2(x, 1.3 * y)
    assert wider.value > 4.5 * wider.standard_error
    assert wider.value == pytest.approx(mmd2(x[:1500], 1.3 * y[:1500]), rel=0.3)


def test_median_bandwidth_is_the_median_distance(generator) -> None:
    x, y = _normal(generator, 21, 2), _normal(generator, 20, 2)
    pooled = torch.cat([x, y])
    distances = [float((pooled[i] - pooled[j]).norm()) for i in range(41) for j in range(i)]
    assert median_bandwidth(x, y) == pytest.approx(sorted(distances)[(len(distances) - 1) // 2])


def test_refusals(generator) -> None:
    x = _normal(generator, 10, 2)
    with pytest.raises(ValueError, match="one space"):
        mmd2(x, _normal(generator, 10, 3))
    with pytest.raises(ValueError, match="positive bandwidth"):
        mmd2(x, x, bandwidth=0.0)
    with pytest.raises(ValueError, match="median distance"):
        mmd2(torch.zeros(5, 2), torch.zeros(5, 2))
    with pytest.raises(ValueError, match="no two blocks"):
        block_mmd2(x, x, block_size=6)
    with pytest.raises(ValueError, match="resample first"):
        block_mmd2(Samples(x, torch.arange(10.0)), x, block_size=5)
    with pytest.raises(ValueError, match="real images"):
        mmd2(x.to(torch.complex128), x)
