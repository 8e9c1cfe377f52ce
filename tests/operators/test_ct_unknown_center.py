from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from operators import (
    DetectorShift,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    RealToComplex,
    UnknownCenterRadon,
)
from operators.testing import to_dense

GRID = ImageGrid((16, 16), (1.2, 1.2))


def _scan(num_views=25, arc=2 * math.pi):
    geometry = ParallelGeometry.covering(GRID, num_views, arc)
    # room on both sides, so that a shift does not lose the object; an even number keeps the rays
    # off the pixels' edges, where rounding decides
    geometry = dataclasses.replace(geometry, num_detectors=geometry.num_detectors + 9)
    return ParallelBeam2D(GRID, geometry)


def _phantom():
    rows, columns = torch.meshgrid(*(torch.arange(16.0).double() - 7.5,) * 2, indexing="ij")
    body = torch.sigmoid(6 - (rows**2 + columns**2).sqrt())
    return body + 0.5 * torch.exp(-((rows - 2) ** 2 + (columns + 3) ** 2) / 4)


def _operator(**keywords):
    scan = _scan(**keywords)
    return UnknownCenterRadon(scan, scan.geometry.detector_spacing)


def test_whole_elements_are_a_plain_shift(generator):
    p = torch.randn(3, 9, generator=generator, dtype=torch.float64)
    y = DetectorShift((3, 9), 2 * 0.7, 0.7)(p)
    # rounding of a transform of 18 entries
    torch.testing.assert_close(y[:, :7], p[:, 2:], rtol=0, atol=1e-13)
    torch.testing.assert_close(y[:, 7:], torch.zeros(3, 2).double(), rtol=0, atol=1e-13)


def test_shifts_of_a_smooth_profile_are_those_of_its_formula():
    s = (torch.arange(40, dtype=torch.float64) - 19.5) * 0.5
    offset = 1.37
    y = DetectorShift((40,), offset, 0.5)(torch.exp(-(s**2) / 2))
    # a Gaussian of two samples a sigma is band-limited, and zero at the ends, to 1e-8
    torch.testing.assert_close(y, torch.exp(-((s + offset) ** 2) / 2), rtol=0, atol=1e-7)


def test_is_the_scan_of_a_displaced_detector():
    operator, image = _operator(), _phantom()
    scan = operator.projector
    for offset in (0.0, 1.2, -0.5, 2.9):
        geometry = dataclasses.replace(scan.geometry, detector_offset=offset)
        expected = ParallelBeam2D(GRID, geometry)(image)
        actual = operator.project(image, torch.tensor(offset, dtype=torch.float64))
        error = torch.linalg.vector_norm(actual - expected) / torch.linalg.vector_norm(expected)
        # square pixels have no band limit: their edges are lost between the samples
        assert error < (1e-12 if offset in (0.0, 1.2) else 0.02)
        torch.testing.assert_close(operator.at(offset)(image), actual)


def test_packs_and_unpacks(generator):
    operator = _operator()
    images = torch.randn(3, 16, 16, generator=generator, dtype=torch.float64)
    offsets = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    for image, offset in ((images, offsets), (images[0], offsets), (images, offsets[0])):
        back, c = operator.unpack(operator.pack(image, offset))
        assert torch.equal(back, image.expand_as(back))
        assert torch.equal(c, offset.expand(3))


def test_a_known_offset_is_found_by_gauss_newton():
    """One unknown, the image given: the derivative alone."""
    operator, image = _operator(), _phantom()
    truth = torch.tensor(2.3, dtype=torch.float64)
    y = operator.project(image, truth)
    offset = torch.tensor(0.0, dtype=torch.float64)
    step = operator.pack(torch.zeros_like(image), torch.tensor(1.0))
    for _ in range(8):
        z = operator.pack(image, offset)
        slope, residual = operator.jvp(z, step), y - operator(z)
        offset = offset + (slope * residual).sum() / (slope * slope).sum()
    torch.testing.assert_close(offset, truth)


@pytest.mark.parametrize(("arc", "num_views"), [(2 * math.pi, 25), (math.pi, 25)])
def test_image_and_offset_are_found_together(arc, num_views):
    """Gauss-Newton on all unknowns, from the image of a centred scan, without noise."""
    operator, image = _operator(num_views=num_views, arc=arc), _phantom()
    truth = operator.pack(image, torch.tensor(1.7))
    y = operator(truth)
    start = torch.linalg.lstsq(to_dense(operator.projector), y.reshape(-1, 1)).solution
    z = operator.pack(start.reshape(16, 16), torch.tensor(0.0))
    for _ in range(12):
        jacobian = to_dense(operator.linearised(z))
        step = torch.linalg.lstsq(jacobian, (y - operator(z)).reshape(-1, 1)).solution
        z = z + step.squeeze(-1)
    torch.testing.assert_close(z[-1], truth[-1], rtol=0, atol=1e-6)
    torch.testing.assert_close(z, truth, rtol=0, atol=1e-5)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="expected a real projector"):
        UnknownCenterRadon(RealToComplex((3, 4)), 1.0)
    with pytest.raises(ValueError, match="detector_spacing is 0"):
        UnknownCenterRadon(_scan(), 0.0)
    for offset, spacing in ((math.nan, 1.0), (8.0, 1.0), (0.0, -1.0)):
        with pytest.raises(ValueError, match="DetectorShift: offset"):
            DetectorShift((3, 7), offset, spacing)
