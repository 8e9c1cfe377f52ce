"""What the output of a network of EDM means, by the names of its project."""

from __future__ import annotations

from typing import Protocol

from invdiff.priors.preconditioning import EDM, Preconditioning
from invdiff.priors.score_preconditioning import ContinuousVP, EDMVarianceExploding, ImprovedDDPM

__all__ = ["edm_preconditioning"]


class _Named(Protocol):
    @property
    def preconditioning(self) -> str: ...

    @property
    def sigma_data(self) -> float: ...


def edm_preconditioning(settings: _Named) -> Preconditioning:
    """Return the preconditioning that the settings name.

    Args:
        settings: ``preconditioning``, "edm", "vp", "ve" or "iddpm", and ``sigma_data`` of "edm".
    """
    known: dict[str, Preconditioning] = {
        "edm": EDM(settings.sigma_data),
        "vp": ContinuousVP(),
        "ve": EDMVarianceExploding(),
        "iddpm": ImprovedDDPM(),
    }
    return known[settings.preconditioning]
