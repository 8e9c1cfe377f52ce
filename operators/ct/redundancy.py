"""How much each ray counts, where a scan measures some lines twice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from operators.ct.detector import Array
    from operators.ct.geometry import FanGeometry, ParallelGeometry

_TURN = 2 * math.pi
_ROUNDING = 1e-9  # of an arc in radians
# steps that differ by less than this share of their mean count as equal
_UNEVEN = 0.1
# a limited-angle scan fades out over this share of its arc, where a line is measured twice
_FADE = 0.25


def scan_arc(geometry: ParallelGeometry | FanGeometry) -> float:
    """Return the angular range that the views stand for, at most a full turn, in radians.

    Equally spaced views, in any order, stand for one step each. Others are taken to fill pi
    (parallel rays within pi) or a full turn evenly.
    """
    angles = np.sort(geometry.angles)
    steps = np.diff(angles)
    if steps.size and (np.abs(steps - steps.mean()) <= _UNEVEN * steps.mean()).all():
        return min(float(steps.mean()) * len(angles), _TURN)
    once = not geometry.fan_angles().any() and angles[-1] - angles[0] <= math.pi
    return math.pi if once else _TURN


def redundancy_weights(geometry: ParallelGeometry | FanGeometry) -> Array:
    """Return weights that sum to one over the measurements of every measured line.

    A full turn halves all rays, or takes the longer side of an offset detector; a scan of at
    least pi and the fan takes :func:`parker_weights`; less than that is smooth between lines that
    are measured once and twice (:cite:t:`noo2002`).

    Args:
        geometry: A scan whose views are equally spaced, in any order.

    Returns:
        Shape (views, detectors).
    """
    arc, fan = scan_arc(geometry), geometry.fan_angles()
    if arc <= math.pi and not fan.any():
        return np.ones(geometry.shape)
    if arc >= _TURN - _ROUNDING:
        return np.broadcast_to(offset_weights(geometry), geometry.shape)
    if arc >= math.pi + 2 * np.abs(fan).max() - _ROUNDING:
        return parker_weights(geometry)
    return _limited_weights(geometry)


def parker_weights(geometry: ParallelGeometry | FanGeometry) -> Array:
    r"""Return the weights of a short scan (:cite:t:`parker1982`), smooth along every view.

    .. math:: w = \sin^2\frac{\pi\beta}{4(\delta + \gamma)}, \quad 1, \quad
        \sin^2\frac{\pi(\pi + 2\delta - \beta)}{4(\delta - \gamma)}

    for :math:`\beta < 2(\delta + \gamma)`, between, and for :math:`\beta > \pi + 2\gamma`, with
    the angle :math:`\beta` from the start, the fan angle :math:`\gamma` (of the opposite sign in
    the paper), and an arc of :math:`\pi + 2\delta`. A longer arc than needed counts as that of a
    wider fan.

    Args:
        geometry: Flat or curved fan (or parallel rays, of fan angle 0).

    Returns:
        Weights that sum to one over the two measurements of a line, shape (views, detectors).

    Raises:
        ValueError: If the arc is less than pi and the fan, or the views are not equally spaced.
    """
    arc, fan = scan_arc(geometry), geometry.fan_angles()
    needed = math.pi + 2 * float(np.abs(fan).max())
    if arc < needed - _ROUNDING:
        raise ValueError(f"a short scan needs an arc of {needed:.4f} radians, got {arc:.4f}")
    delta, beta = (arc - math.pi) / 2, _from_start(geometry, arc)[:, None]
    rise, fall = (2 * np.maximum(delta + s * fan, _ROUNDING) for s in (1, -1))
    first = np.clip(beta / rise, 0, 1)
    last = np.clip((arc - beta) / fall, 0, 1)
    return np.asarray((np.sin(math.pi / 2 * first) * np.sin(math.pi / 2 * last)) ** 2)


def offset_weights(geometry: ParallelGeometry | FanGeometry) -> Array:
    r"""Return the weights of a full turn with a detector that reaches further on one side.

    .. math:: w(d) = \tfrac12 \left(1 + \sin\frac{\pi d}{2 \Delta}\right)

    for rays at the distance d from the axis, within the overlap :math:`\pm\Delta` that both sides
    see (as :cite:t:`wang2002` for a flat detector). Where the detector is nearly centred the change
    from one half is moved to the edge of the overlap, so that a quarter-element offset costs no
    noise.

    Returns:
        Shape (detectors,).
    """
    distance = geometry.axis_distances()
    low, high = float(distance.min()), float(distance.max())
    overlap, side = min(high, -low), math.copysign(1.0, high + low)
    if overlap <= 0:
        return np.ones_like(distance)
    width = min(overlap, abs(high + low))
    # a centred detector has a width of 0 up to rounding, and weights of one half
    ramp = (np.abs(distance) - (overlap - width)) / max(width, 1e-6 * overlap)
    bend = np.sin(math.pi / 2 * np.clip(ramp, 0, 1))
    return np.asarray((1 + side * np.sign(distance) * bend) / 2)


def missing_elements(geometry: ParallelGeometry | FanGeometry) -> tuple[int, int]:
    """Return how many elements an offset detector lacks at its low and high end in a full turn.

    Rays of zero weight belong there: what the ramp filter spreads to them is part of the image.
    """
    if scan_arc(geometry) < _TURN - _ROUNDING:
        return 0, 0
    positions, spacing = geometry.detector_positions(), geometry.detector_spacing
    whole = geometry.with_field_of_view(2 * float(np.abs(geometry.axis_distances()).max()))
    half = whole.num_detectors * spacing / 2
    # half is up to half an element more than the outermost position of the longer side
    low, high = (int((half - p) / spacing + 1e-6) for p in (-positions[0], positions[-1]))
    return max(low, 0), max(high, 0)


def _limited_weights(geometry: ParallelGeometry | FanGeometry) -> Array:
    """Share a line by how far its views are from the ends of the scan."""
    arc, fan = scan_arc(geometry), geometry.fan_angles()
    beta = np.broadcast_to(_from_start(geometry, arc)[:, None], geometry.shape)
    here = _fading(beta, arc)
    there = sum(_fading(beta + turn - 2 * fan, arc) for turn in (-math.pi, math.pi))
    return np.asarray(here / (here + there))


def _fading(beta: Array, arc: float) -> Array:
    distance = np.minimum(beta, arc - beta) / (_FADE * arc)
    return np.asarray(np.sin(math.pi / 2 * np.clip(distance, 0, 1)) ** 2)


def _from_start(geometry: ParallelGeometry | FanGeometry, arc: float) -> Array:
    """Angles since the start of the scan; a view is in the middle of its step."""
    angles = np.array(geometry.angles)
    return angles - angles.min() + arc / len(angles) / 2
