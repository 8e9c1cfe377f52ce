import math

import pytest
import torch

from invdiff.samplers import Samples
from invdiff.uncertainty import ConformalCalibration, coverage, z_scores


def _ensembles(count, generator, *, scale=1.0, shape=(12, 12), num_samples=8):
    """Samples whose spread is 1 beside truths that deviate ``scale`` as much."""
    samples = torch.randn(count, num_samples, *shape, generator=generator)
    truths = scale * torch.randn(count, *shape, generator=generator)
    return list(samples), list(truths)


def _held(calibration, samples, truths, regions=None):
    regions = regions or [None] * len(samples)
    return [
        coverage(*calibration.apply(s, r), t).item()
        for s, t, r in zip(samples, truths, regions, strict=True)
    ]


def _held_in_turn(samples, truths, level, unit):
    """Mean coverage of each image by the others; exchangeability promises it for any set."""
    held = []
    for i in range(len(samples)):
        others = samples[:i] + samples[i + 1 :], truths[:i] + truths[i + 1 :]
        fit = ConformalCalibration.fit(*others, level, unit=unit)
        held += _held(fit, samples[i : i + 1], truths[i : i + 1])
    return sum(held) / len(held)


@pytest.mark.parametrize("unit", ["pixel", "image"])
@pytest.mark.parametrize(("level", "number"), [(0.8, 14), (0.9, 9), (0.5, 12)])
def test_coverage_of_exchangeable_units_is_exact(unit, level, number, generator):
    # one pixel an image, so that both units are the same
    samples, truths = _ensembles(number + 1, generator, scale=3, shape=(1, 1))
    expected = math.ceil(round((number + 1) * level, 9)) / (number + 1)
    assert level <= expected <= level + 1 / (number + 1)
    assert _held_in_turn(samples, truths, level, unit) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_a_wrong_spread_is_repaired(scale, generator):
    samples, truths = _ensembles(12, generator, scale=scale, shape=(48, 48))
    calibration = ConformalCalibration.fit(samples[:6], truths[:6], 0.9)
    # 13824 independent pixels on either side
    error = 4.5 * 0.3 * math.sqrt(2 / 13824)
    held = torch.tensor(_held(calibration, samples[6:], truths[6:])).mean().item()
    assert held == pytest.approx(0.9, abs=error)


def test_pooled_pixels_are_the_quantile_of_their_z_scores(generator):
    samples, truths = _ensembles(3, generator)
    calibration = ConformalCalibration.fit(samples, truths, 0.9)
    scores = torch.cat([z_scores(s, t).abs().ravel() for s, t in zip(samples, truths, strict=True)])
    rank = math.ceil((scores.numel() + 1) * 0.9)
    expected = scores.sort().values[rank - 1].item()
    assert calibration.factors.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("level", [0.7, 0.6])
def test_whole_images_bound_a_new_image_whatever_its_pixels_do(level, generator):
    samples, _ = _ensembles(5, generator, num_samples=64, shape=(8, 8))
    # one error for all pixels of an image: 5 observations, not 320
    errors = torch.randn(5, 1, 1, generator=generator)
    together = list(errors.expand(-1, 8, 8))
    assert _held_in_turn(samples, together, level, "image") >= level
    # of some images more pixels are wrong than of others
    mixed = list(
        errors * torch.randn(5, 8, 8, generator=generator) * torch.arange(5)[:, None, None]
    )
    assert _held_in_turn(samples, mixed, level, "image") >= level


def test_pooled_pixels_of_few_images_promise_too_much(generator):
    samples, _ = _ensembles(5, generator, num_samples=512, shape=(8, 8))
    errors = torch.tensor([0.5, 1, 2, 4, 8])[:, None, None].expand(-1, 8, 8)
    # 0.7 of the pixels of 4 images are 3 images, and 3 of 5 then lie below the highest of them
    assert _held_in_turn(samples, list(errors), 0.7, "pixel") < 0.7


def test_the_risk_of_whole_images_is_the_smallest_that_is_allowed(generator):
    samples, truths = _ensembles(19, generator, shape=(6, 7))
    calibration = ConformalCalibration.fit(samples, truths, 0.9, unit="image")

    def risk(factor):
        outside = [
            (z_scores(s, t).abs() > factor).double().mean()
            for s, t in zip(samples, truths, strict=True)
        ]
        return (1 + float(sum(outside))) / 20

    factor = calibration.factors.item()
    assert risk(factor * (1 + 1e-6)) <= 0.1
    assert risk(factor * (1 - 1e-6)) > 0.1


def test_regions_have_their_own_factors(generator):
    samples, truths = _ensembles(8, generator, shape=(40, 40))
    region = torch.zeros(40, 40, dtype=torch.long)
    region[:, 10:] = 1
    region[:, 30:] = -1
    truths = [torch.where(region == 1, 3 * t, t) for t in truths]
    calibration = ConformalCalibration.fit(samples[:4], truths[:4], 0.9, regions=[region] * 4)
    lower, upper = calibration.apply(torch.stack(samples[4:], 1), region)
    assert lower[..., region == -1].isnan().all()
    for k in (0, 1):
        held = coverage(lower, upper, torch.stack(truths[4:]), region == k).mean().item()
        # 1600 independent pixels of the smaller region on either side
        assert held == pytest.approx(0.9, abs=4.5 * 0.3 * math.sqrt(2 / 1600))
    with pytest.raises(ValueError, match="labels of 2 regions, got none"):
        calibration.apply(samples[0])
    with pytest.raises(ValueError, match="labels of"):
        calibration.apply(samples[0], region + 1)


def test_a_floor_makes_intervals_where_nothing_scatters():
    values = torch.zeros(4, 1, 10)
    truth = torch.arange(10.0)[None]
    with pytest.raises(ValueError, match="floor"):
        ConformalCalibration.fit([values], [truth], 0.8)
    calibration = ConformalCalibration.fit([values], [truth], 0.8, floor=0.5)
    # rank ceil(11 * 0.8) = 9 of the errors 0, 1, ..., 9
    lower, upper = calibration.apply(values)
    assert set(upper.ravel().tolist()) == {8.0}
    assert set(lower.ravel().tolist()) == {-8.0}


def test_weights_and_magnitudes_count(generator):
    values = torch.randn(6, 5, 5, generator=generator, dtype=torch.complex64)
    weights = torch.tensor([0.0, 0, 0, -torch.inf, -torch.inf, -torch.inf])
    truth = torch.randn(5, 5, generator=generator, dtype=torch.complex64)
    ours = ConformalCalibration.fit([Samples(values, weights)], [truth], 0.9)
    plain = ConformalCalibration.fit([values[:3].abs()], [truth.abs()], 0.9)
    torch.testing.assert_close(ours.factors, plain.factors)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"level": 1.0}, "0 < level < 1"),
        ({"floor": -1.0}, "floor >= 0"),
        ({"unit": "image"}, "at least 9 images of a region, got 3"),
        ({"level": 0.999}, "at least 999 pixels of a region, got 432"),
        ({"regions": []}, "as many images"),
    ],
)
def test_refuses(options, reason, generator):
    samples, truths = _ensembles(3, generator)
    level = options.pop("level", 0.9)
    with pytest.raises(ValueError, match=reason):
        ConformalCalibration.fit(samples, truths, level, **options)
