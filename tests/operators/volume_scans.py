"""Scans of volumes written out as vectors, and balls with their line integrals in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from operators import ScanVectors


@dataclass(frozen=True, eq=False)
class WrittenOut:
    """A geometry that is its vectors."""

    scan: ScanVectors

    def vectors(self) -> ScanVectors:
        return self.scan


def turning(angles):
    """Unit vectors along the detector and along the central ray, and the axis; (views, 3) each."""
    cos, sin = np.cos(angles), np.sin(angles)
    zero = np.zeros_like(cos)
    along, forward = np.stack([cos, sin, zero], 1), np.stack([-sin, cos, zero], 1)
    return along, forward, np.stack([zero, zero, zero + 1], 1)


def parallel_scan(angles, detector, spacing=(1.0, 1.0), tilt=0.0):
    """Rays across the axis, or with a component along it."""
    along, forward, axis = turning(angles)
    direction = forward + tilt * axis
    return ScanVectors(
        "parallel", direction, 0 * along, spacing[1] * along, spacing[0] * axis, detector
    )


def cone_scan(angles, detector, spacing=(1.0, 1.0), distances=(60.0, 90.0), pitch=0.0):
    """A circle, or a helix that climbs by ``pitch`` mm a turn and passes the middle half-way."""
    along, forward, axis = turning(angles)
    climb = pitch * (np.asarray(angles) - np.mean(angles))[:, None] / (2 * np.pi) * axis
    source = climb - distances[0] * forward
    centre = climb + (distances[1] - distances[0]) * forward
    return ScanVectors("cone", source, centre, spacing[1] * along, spacing[0] * axis, detector)


def lines(scan):
    """A point on every ray and its unit direction, (views, rows, columns, 3) in mm."""
    _, rows, columns = scan.shape
    r = (np.arange(rows) - (rows - 1) / 2)[None, :, None, None]
    c = (np.arange(columns) - (columns - 1) / 2)[None, None, :, None]
    emitter, centre, u, v = (
        a[:, None, None, :] for a in (scan.emitter, scan.centre, scan.u, scan.v)
    )
    elements = centre + c * u + r * v
    emitter = np.broadcast_to(emitter, elements.shape)
    direction = emitter if scan.kind == "parallel" else elements - emitter
    return elements, direction / np.linalg.norm(direction, axis=-1, keepdims=True)


def voxel_centres(grid):
    """Coordinates (x, y, z) of every voxel in mm, (slices, rows, columns, 3)."""
    (slices, rows, columns), (dz, dy, dx) = grid.shape, grid.voxel_size
    z = (np.arange(slices) - (slices - 1) / 2) * dz
    y = ((rows - 1) / 2 - np.arange(rows)) * dy
    x = (np.arange(columns) - (columns - 1) / 2) * dx
    z, y, x = np.meshgrid(z, y, x, indexing="ij")
    return np.stack([x, y, z], -1)


def ball(grid, radius, centre):
    """Share of every voxel inside a ball, as if its surface were flat across a voxel; float64."""
    offset = voxel_centres(grid) - centre
    distance = np.linalg.norm(offset, axis=-1)
    normal = np.abs(offset) / np.maximum(distance, 1e-9)[..., None]
    # thickness of a voxel along the normal of the surface
    thickness = (normal * grid.voxel_size[::-1]).sum(-1)
    return torch.from_numpy(np.clip((radius - distance) / thickness + 0.5, 0, 1))


def chords(scan, radius, centre):
    """Length of every ray in a ball, in mm."""
    point, direction = lines(scan)
    offset = point - np.asarray(centre)
    distance = np.cross(offset, direction)
    return torch.from_numpy(2 * np.sqrt(np.maximum(radius**2 - (distance**2).sum(-1), 0)))
