"""How good a volume is, plane by plane in three directions, and how steady from slice to slice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from invdiff.metrics import psnr, ssim

__all__ = ["PLANES", "body_of", "jitter", "plane_psnr", "plane_ssim"]

# direction of a plane's normal in a volume (slices, rows, columns) of axial slices
PLANES = {"axial": -3, "coronal": -2, "sagittal": -1}
# of the data range: what is brighter belongs to the body (-750 HU in a CT of 0 to 2.5 waters)
_BODY = 0.1
# side of the SSIM's window
_WINDOW = 11


def body_of(truth: Tensor, data_range: tuple[float, float]) -> Tensor:
    """Return where the truth exceeds the lowest value by a tenth of the range; boolean."""
    low, high = data_range
    return truth > low + _BODY * (high - low)


def plane_psnr(volume: Tensor, truth: Tensor, body: Tensor, plane: str, data_range: float) -> float:
    r"""Return the mean over the planes of one direction of their PSNR.

    .. math:: \frac{1}{|P|} \sum_{p \in P} 20 \log_{10} \frac{R}{\mathrm{RMSE}_p}

    P are the planes that meet the body; each RMSE is over the whole plane.

    Args:
        volume: Real, shape (slices, rows, columns).
        truth: Same shape.
        body: Same shape, boolean; see ``body_of``.
        plane: ``"axial"``, ``"coronal"`` or ``"sagittal"``: rows or columns are the normal.
        data_range: R, in the units of the volumes.

    Raises:
        ValueError: Shapes that differ, no such direction, or no plane meets the body.
    """
    return _mean(psnr, volume, truth, body, plane, data_range)


def plane_ssim(
    volume: Tensor, truth: Tensor, body: Tensor, plane: str, data_range: float
) -> float | None:
    """Return the mean over planes of their SSIM, as ``plane_psnr`` does; window in voxels.

    Returns:
        The mean; None where a plane has a side below the 11 voxels of the window.
    """
    shape = list(truth.shape)
    del shape[_axis(plane)]
    if min(shape) < _WINDOW:
        return None
    return _mean(ssim, volume, truth, body, plane, data_range)


def jitter(volume: Tensor, truth: Tensor, body: Tensor) -> float:
    r"""Return the variation from slice to slice within the body over that of the truth.

    .. math:: \frac{\sum_{k, i \in B_k} |x_{k+1, i} - x_{k, i}|}
        {\sum_{k, i \in B_k} |x^*_{k+1, i} - x^*_{k, i}|}

    :math:`B_k` is where slice k or slice k + 1 has body. 1 is the truth's own variation; more is
    a flicker that the patient doesn't have, less a blur along z.

    Args:
        volume: Real, shape (slices, rows, columns).
        truth: Same shape.
        body: Same shape, boolean.

    Raises:
        ValueError: Shapes that differ, or a truth that doesn't vary along z.
    """
    _check(volume, truth, body)
    near = body[1:] | body[:-1]
    own = _variation(truth, near)
    if not own > 0:
        raise ValueError("jitter: the truth does not vary from slice to slice")
    return _variation(volume, near) / own


def _variation(x: Tensor, near: Tensor) -> float:
    return float(torch.diff(x.double(), dim=0).abs()[near].sum())


def _mean(
    metric: Callable[..., Tensor],
    volume: Tensor,
    truth: Tensor,
    body: Tensor,
    plane: str,
    data_range: float,
) -> float:
    _check(volume, truth, body)
    axis = _axis(plane)
    planes, truths = (x.movedim(axis, 0) for x in (volume, truth))
    present = body.movedim(axis, 0).flatten(1).any(1)
    if not present.any():
        raise ValueError(f"{plane}: no plane meets the body")
    return float(metric(planes[present], truths[present], data_range=data_range).mean())


def _axis(plane: str) -> int:
    if plane not in PLANES:
        raise ValueError(f"plane: expected one of {', '.join(PLANES)}, got {plane!r}")
    return PLANES[plane]


def _check(volume: Tensor, truth: Tensor, body: Tensor) -> None:
    if volume.ndim != 3 or not volume.shape == truth.shape == body.shape:
        raise ValueError(
            "expected volumes (slices, rows, columns) of one shape, got "
            f"{tuple(volume.shape)}, {tuple(truth.shape)} and {tuple(body.shape)}"
        )
