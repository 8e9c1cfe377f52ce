"""Hounsfield units and linear attenuation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MU_WATER", "hu_to_mu", "mu_to_hu"]

# Water at 70 keV, about the mean energy of a 120 kV scan, in 1/mm (NIST XCOM: 0.193 1/cm).
MU_WATER = 0.0193


def hu_to_mu(hu: NDArray[Any], mu_water: float = MU_WATER) -> NDArray[Any]:
    """Convert HU to attenuation, mu = mu_water (1 + HU / 1000), in 1/mm.

    Values below -1000 HU, which scanners store outside the field of view, would attenuate
    negatively: they become 0.

    Args:
        hu: CT numbers, any shape.
        mu_water: Attenuation of water at the effective energy, in 1/mm.

    Raises:
        ValueError: ``mu_water`` is not positive.
    """
    return np.maximum(_checked(mu_water) * (1 + np.asarray(hu) / 1000), 0)


def mu_to_hu(mu: NDArray[Any], mu_water: float = MU_WATER) -> NDArray[Any]:
    """Convert attenuation in 1/mm to HU, 1000 (mu / mu_water - 1); nothing is clipped."""
    return 1000 * (np.asarray(mu) / _checked(mu_water) - 1)


def _checked(mu_water: float) -> float:
    if not (np.isfinite(mu_water) and mu_water > 0):
        raise ValueError(f"mu_water: expected a positive number in 1/mm, got {mu_water}")
    return mu_water
