"""A prior of graphs as a folder: weights, what they are the weights of, and of which graphs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.moments import GraphMoments
from invdiff.graphs.networks import AdjacencyNetwork, NodeNetwork
from invdiff.graphs.prior_settings import (
    check_sizes,
    moments_of,
    schedule_of,
    schedule_settings,
)
from invdiff.graphs.scores import DenoiserScores, NetworkScores
from invdiff.graphs.system import GraphSystem
from invdiff.priors.folder import find_prior, names_in
from invdiff.training.weights import (
    give_weights,
    read_settings,
    read_tensors,
    reason,
    write_weights,
)

__all__ = ["SavedGraphPrior", "list_graph_priors", "load_graph_prior", "save_graph_prior"]

_SETTINGS, _WEIGHTS = "prior.json", "weights.safetensors"


class SavedGraphPrior(NamedTuple):
    """What a folder holds.

    Args:
        scores: With the system of its SDEs; in evaluation mode.
        moments: Of the training graphs, with their sizes.
        info: What else was said of it: title, licence, training, ...
    """

    scores: NetworkScores | DenoiserScores
    moments: GraphMoments
    info: dict[str, Any]


def list_graph_priors() -> list[str]:
    """Names of the priors of graphs that ship with the package."""
    return names_in(_shipped())


def save_graph_prior(
    folder: str | os.PathLike[str],
    scores: NetworkScores | DenoiserScores,
    moments: GraphMoments,
    info: Mapping[str, Any] | None = None,
) -> None:
    """Write ``prior.json`` and ``weights.safetensors``.

    Args:
        folder: Made if it isn't there.
        scores: Of a ``NodeNetwork`` and an ``AdjacencyNetwork``, or of a ``LogOddsDenoiser``.
        moments: Of the training graphs.
        info: Title, licence, settings of the training, ...; plain values.

    Raises:
        ValueError: Other networks.
    """
    module = _module(scores)
    settings = {
        "prior": _prior_settings(scores),
        "system": {
            "nodes": schedule_settings(scores.system.nodes),
            "adjacency": schedule_settings(scores.system.adjacency),
        },
        "moments": asdict(moments),
        "info": dict(info or {}),
    }
    text = json.dumps(settings, indent=2) + "\n"
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    write_weights(path / _WEIGHTS, module)
    (path / _SETTINGS).write_text(text)


def load_graph_prior(
    name_or_folder: str | os.PathLike[str], *, device: torch.device | str = "cpu"
) -> SavedGraphPrior:
    """Read what ``save_graph_prior`` wrote.

    Args:
        name_or_folder: One of ``list_graph_priors()``, or a folder.
        device: Where the networks run.

    Raises:
        ValueError: No such prior, a file that is missing or damaged, a kind that isn't known, or
            other tensors than those of the networks.
    """
    path = find_prior(name_or_folder, _shipped())
    settings, weights = read_settings(path / _SETTINGS), read_tensors(path / _WEIGHTS)
    try:
        system = GraphSystem(
            schedule_of(settings["system"]["nodes"]), schedule_of(settings["system"]["adjacency"])
        )
        moments = moments_of(settings["moments"])
        scores = _built(settings["prior"], system, weights)
        if len(moments.node_mean) != scores.num_features:
            raise ValueError(
                f"expected moments of {scores.num_features} features, got {len(moments.node_mean)}"
            )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path / _SETTINGS}: {reason(error)}") from error
    module = _module(scores)
    give_weights(path / _WEIGHTS, module, weights)
    module.to(device).eval().requires_grad_(False)
    return SavedGraphPrior(scores, moments, settings["info"])


def _shipped() -> Path:
    return Path(str(files("invdiff.graphs"))) / "weights"


def _module(scores: NetworkScores | DenoiserScores) -> nn.Module:
    module = scores.denoiser if isinstance(scores, DenoiserScores) else scores
    if not isinstance(module, NetworkScores | LogOddsDenoiser):
        raise ValueError(
            f"save_graph_prior: expected NetworkScores or DenoiserScores of a LogOddsDenoiser, "
            f"got {type(module).__name__}"
        )
    return module


def _prior_settings(scores: NetworkScores | DenoiserScores) -> dict[str, Any]:
    module = _module(scores)
    if isinstance(module, LogOddsDenoiser):
        return {"kind": "LogOddsDenoiser", "settings": module.settings}
    nodes, adjacency = module.node_network, module.adjacency_network
    if not isinstance(nodes, NodeNetwork) or not isinstance(adjacency, AdjacencyNetwork):
        raise ValueError(
            "save_graph_prior: expected a NodeNetwork and an AdjacencyNetwork, got "
            f"{type(nodes).__name__} and {type(adjacency).__name__}"
        )
    return {"kind": "NetworkScores", "nodes": nodes.settings, "adjacency": adjacency.settings}


def _built(
    settings: Mapping[str, Any], system: GraphSystem, weights: Mapping[str, Tensor]
) -> NetworkScores | DenoiserScores:
    """Return networks without memory for their weights: their shapes are not checked yet."""
    kind = settings["kind"]
    if kind == "LogOddsDenoiser":
        if system.nodes != system.adjacency:
            raise ValueError("expected one schedule of a denoiser, got two")
        check_sizes(settings["settings"], weights)
        with torch.device("meta"):
            return DenoiserScores(LogOddsDenoiser(**settings["settings"]), system.nodes)
    if kind != "NetworkScores":
        raise ValueError(f"expected a prior NetworkScores or LogOddsDenoiser, got {kind!r}")
    sides = settings["nodes"], settings["adjacency"]
    for side in sides:
        check_sizes(side, weights)
    nodes, adjacency = (side["num_features"] for side in sides)
    if nodes != adjacency:
        raise ValueError(f"expected networks of the same features, got {nodes} and {adjacency}")
    with torch.device("meta"):
        return NetworkScores(NodeNetwork(**sides[0]), AdjacencyNetwork(**sides[1]), system, nodes)
