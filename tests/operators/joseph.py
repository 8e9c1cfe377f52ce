"""The dense matrix of Joseph's model, ray by ray and plane by plane, as an oracle."""

from __future__ import annotations

import numpy as np

from operators.ct.volume import ScanVectors, VolumeGrid


def rays(scan: ScanVectors) -> tuple[np.ndarray, np.ndarray]:
    """Return a point on every ray and its direction in mm, (views, rows, columns, 3)."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in scan.detector_shape)
    pixels = (
        scan.centre[:, None, None]
        + columns[None, None, :, None] * scan.u[:, None, None]
        + rows[None, :, None, None] * scan.v[:, None, None]
    )
    emitter = np.broadcast_to(scan.emitter[:, None, None], pixels.shape)
    return pixels, emitter if scan.kind == "parallel" else pixels - emitter


def joseph_matrix(grid: VolumeGrid, scan: ScanVectors) -> np.ndarray:
    """Return the matrix (rays, voxels) in float64."""
    points, directions = rays(scan)
    sizes = np.array(grid.voxel_size)[::-1]
    counts = np.array(grid.shape)[::-1]  # along x, y, z
    scale = np.array([1, -1, 1]) / sizes
    matrix = np.zeros((points.size // 3, *grid.shape))
    for ray, (p, d) in enumerate(
        zip(points.reshape(-1, 3), directions.reshape(-1, 3), strict=True)
    ):
        start, step = p * scale + (counts - 1) / 2, d * scale
        main = int(np.argmax(np.abs(step)))  # the first of equals: x, then y
        length = sizes[main] * np.linalg.norm(d) / abs(d[main])
        for plane in range(counts[main]):
            at = start + (plane - start[main]) * step / step[main]
            low = np.floor(at).astype(int)
            low[main] = plane
            for corner in np.ndindex(*(1 if axis == main else 2 for axis in range(3))):
                voxel = low + corner
                if (voxel < 0).any() or (voxel >= counts).any():
                    continue
                shares = 1 - np.abs(at - voxel)
                shares[main] = 1
                matrix[(ray, *voxel[::-1])] += length * shares.prod()
    return matrix.reshape(len(matrix), -1)
