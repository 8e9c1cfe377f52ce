"""The folder of a routed prior, of priors as experiments name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invdiff.priors import RouterNetwork
from invdiff.study.prior import PriorConfig
from invdiff.training import save_routed_prior
from invdiff.training.routed_folder import copied_experts, is_routed

__all__ = ["check_experts", "write_routed"]


def check_experts(experts: Mapping[str, PriorConfig]) -> None:
    """Refuse priors that can't be experts of a folder.

    Raises:
        ValueError: One that isn't there, has experts itself, or is told a class.
    """
    for name, prior in experts.items():
        if prior.label is not None:
            raise ValueError(f"experts.{name}.prior.label: the folder of a router can't hold it")
        if is_routed(prior.name):
            raise ValueError(f"experts.{name}.prior.name: {prior.name} has experts itself")


def write_routed(
    folder: Path,
    experts: Mapping[str, PriorConfig],
    router: RouterNetwork,
    info: Mapping[str, Any],
) -> None:
    """Write a routed prior, with copies of the priors that don't ship.

    Args:
        folder: Where to.
        experts: The priors, in the order of the router's outputs.
        router: Trained.
        info: Title, licence, ...
    """
    names = copied_experts(folder, [prior.name for prior in experts.values()])
    save_routed_prior(folder, names, router, {**info, "experts": list(experts)})
