"""Numbers of volumes: closed forms, what they leave out, and what they refuse."""

import math

import pytest
import torch

from invdiff.metrics import psnr, ssim
from invdiff.volumes.quality import PLANES, body_of, jitter, plane_psnr, plane_ssim

SHAPE = (12, 16, 14)


@pytest.fixture
def truth(generator):
    """A body of random values in [0.5, 1] within air."""
    values = torch.zeros(SHAPE)
    values[2:10, 3:13, 4:11] = 0.5 + 0.5 * torch.rand(8, 10, 7, generator=generator)
    return values


@pytest.fixture
def body(truth):
    return body_of(truth, (0.0, 1.0))


def test_the_body_is_what_exceeds_a_tenth_of_the_range():
    truth = torch.tensor([-1.0, -0.81, -0.79, 1.0])
    assert body_of(truth, (-1.0, 1.0)).tolist() == [False, False, True, True]


@pytest.mark.parametrize("plane", PLANES)
def test_psnr_of_a_constant_error(plane, truth, body):
    value = plane_psnr(truth + 0.02, truth, body, plane, 2.0)
    assert value == pytest.approx(20 * math.log10(2.0 / 0.02), abs=1e-3)


@pytest.mark.parametrize(("plane", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_means_are_over_the_planes_that_meet_the_body(plane, axis, truth, body, generator):
    volume = truth + 0.1 * torch.randn(SHAPE, generator=generator)
    present = [k for k in range(SHAPE[axis]) if body.select(axis, k).any()]
    assert len(present) < SHAPE[axis]
    for metric, mean in ((psnr, plane_psnr), (ssim, plane_ssim)):
        each = [
            metric(volume.select(axis, k), truth.select(axis, k), data_range=1.0) for k in present
        ]
        expected = float(torch.stack(each).mean())
        assert mean(volume, truth, body, plane, 1.0) == pytest.approx(expected)


def test_ssim_is_left_out_where_planes_are_narrow(truth, body):
    thin = slice(2, 7)
    parts = truth[thin], truth[thin], body[thin]
    assert plane_ssim(*parts, "axial", 1.0) == pytest.approx(1)
    assert plane_ssim(*parts, "coronal", 1.0) is None
    assert plane_ssim(*parts, "sagittal", 1.0) is None


def test_jitter_is_relative_to_the_truth(truth, body):
    assert jitter(truth, truth, body) == pytest.approx(1)
    assert jitter(3 * truth + 5, truth, body) == pytest.approx(3)
    assert jitter(truth[6].expand(SHAPE), truth, body) == 0


def test_jitter_of_alternating_slices(truth, body):
    step = 0.3
    near = body[1:] | body[:-1]
    own = torch.diff(truth, dim=0)[near].abs().sum()
    signs = torch.tensor([1.0, -1.0]).repeat(SHAPE[0] // 2)[:, None, None]
    expected = float(step * near.sum() / own)
    assert jitter(step / 2 * signs.expand(SHAPE), truth, body) == pytest.approx(expected)


def test_jitter_of_air_does_not_count(truth, body, generator):
    noise = torch.randn(SHAPE, generator=generator)
    far = ~(body | torch.roll(body, 1, 0) | torch.roll(body, -1, 0))
    assert jitter(truth + noise * far, truth, body) == pytest.approx(1)


def test_refuses(truth, body):
    with pytest.raises(ValueError, match="expected one of axial"):
        plane_psnr(truth, truth, body, "oblique", 1.0)
    with pytest.raises(ValueError, match="of one shape"):
        plane_psnr(truth[1:], truth, body, "axial", 1.0)
    with pytest.raises(ValueError, match="no plane meets the body"):
        plane_psnr(truth, truth, torch.zeros_like(body), "axial", 1.0)
    with pytest.raises(ValueError, match="does not vary"):
        jitter(truth, truth[6].expand(SHAPE), body)
    with pytest.raises(ValueError, match="of one shape"):
        jitter(truth[0], truth[0], body[0])
