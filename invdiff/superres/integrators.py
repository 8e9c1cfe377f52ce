"""The numerical methods for the probability-flow ODE by their names.

``ddim`` is of first order, ``heun``, ``dpm_2`` and ``dpmpp_2m`` of second, ``unipc_2`` of third;
``heun`` and ``dpm_2`` make two calls a step.
"""

from __future__ import annotations

from collections.abc import Callable

from invdiff.superres.integrators_base import Denoise, Integrator
from invdiff.superres.integrators_multistep import DPMSolverPlusPlus2M, UniPC2
from invdiff.superres.integrators_singlestep import DDIM, DPMSolver2, Heun

__all__ = [
    "DDIM",
    "DPMSolver2",
    "DPMSolverPlusPlus2M",
    "Denoise",
    "Heun",
    "Integrator",
    "UniPC2",
    "integrator_named",
    "list_integrators",
]

_INTEGRATORS: dict[str, Callable[[], Integrator]] = {
    "ddim": DDIM,
    "dpm_2": DPMSolver2,
    "dpmpp_2m": DPMSolverPlusPlus2M,
    "heun": Heun,
    "unipc_2": UniPC2,
}


def list_integrators() -> list[str]:
    """Return the names of the methods, sorted."""
    return sorted(_INTEGRATORS)


def integrator_named(name: str) -> Integrator:
    """Return the method of that name.

    Raises:
        ValueError: No method has that name.
    """
    if name not in _INTEGRATORS:
        raise ValueError(
            f"integrator: expected one of {', '.join(list_integrators())}, got {name!r}"
        )
    return _INTEGRATORS[name]()
