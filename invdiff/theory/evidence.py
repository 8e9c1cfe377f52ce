"""Estimates of log p(y) against the exact one."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["EvidenceError", "evidence_error"]


class EvidenceError(NamedTuple):
    r"""How repeated estimates of an evidence Z scatter about it.

    Args:
        bias: Mean of :math:`\log \hat Z - \log Z`; about :math:`-s^2 / 2` of an unbiased Z.
        std: Standard deviation s of the logarithms.
        ratio: Mean of :math:`\hat Z / Z`, 1 for particle filters.
        ratio_error: Its standard error, too small itself where s is well above 1.
    """

    bias: float
    std: float
    ratio: float
    ratio_error: float


def evidence_error(estimates: Tensor, exact: float) -> EvidenceError:
    """Compare log evidences of independent runs, shape ``(R,)``, with the exact one.

    Raises:
        ValueError: Fewer than two estimates.
    """
    if estimates.ndim != 1 or len(estimates) < 2:
        raise ValueError(
            f"evidence_error: expected at least 2 estimates (R,), got {tuple(estimates.shape)}"
        )
    offset = estimates.double() - exact
    ratio = offset.exp()
    return EvidenceError(
        float(offset.mean()),
        float(offset.std()),
        float(ratio.mean()),
        float(ratio.std()) / len(ratio) ** 0.5,
    )
