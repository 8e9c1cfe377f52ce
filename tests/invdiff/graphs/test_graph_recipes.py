"""The published settings, as far as they are known from elsewhere."""

import dataclasses

import pytest
import torch

from invdiff.graphs.recipes import GRAPH_RECIPES, LogOddsRecipe
from invdiff.graphs.schedules import VE, VP
from invdiff.rng import derive_generator
from invdiff.training import drawn_network

# of the published checkpoints: parameters of the networks of the nodes and of the adjacency
SIZES = {"community_small": (72434, 134369), "ego_small": (44093, 135713)}


def size(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", SIZES)
def test_networks_have_the_published_numbers_of_parameters(name):
    scores = GRAPH_RECIPES[name].build()
    assert (size(scores.node_network), size(scores.adjacency_network)) == SIZES[name]


@pytest.mark.parametrize("name", GRAPH_RECIPES)
def test_recipes_build_what_they_say(name):
    recipe = GRAPH_RECIPES[name]
    scores = drawn_network(recipe.build, generator=derive_generator(0))
    assert scores.system == recipe.system
    assert scores.num_features == recipe.num_features
    nodes, adjacency = scores.node_network.settings, scores.adjacency_network.settings
    assert nodes["depth"] == recipe.node_depth
    assert adjacency["depth"] == recipe.adjacency_depth
    assert nodes["width"] == adjacency["width"] == recipe.width
    for part in ("attention_width", "num_heads", "num_powers", "num_channels",
                 "num_last_channels", "num_linear"):  # fmt: skip
        assert adjacency[part] == getattr(recipe, part)


def test_published_settings():
    rows = {
        name: (r.max_nodes, r.num_features, r.batch_size, r.node_depth, r.adjacency_depth,
               r.width, r.num_linear, r.learning_rate, r.num_epochs)
        for name, r in GRAPH_RECIPES.items()
    }  # fmt: skip
    assert rows == {
        "community_small": (20, 10, 128, 3, 5, 32, 2, 0.01, 5000),
        "ego_small": (18, 17, 128, 2, 5, 32, 2, 0.01, 5000),
        "enzymes": (125, 10, 64, 5, 7, 32, 2, 0.01, 5000),
        "grid": (361, 5, 8, 5, 7, 32, 2, 0.01, 5000),
        "qm9": (9, 4, 1024, 2, 3, 16, 3, 0.005, 300),
        "zinc250k": (38, 9, 1024, 2, 6, 16, 3, 0.005, 500),
    }
    sampled = {
        name: (r.nodes, r.adjacency, r.sampler, r.snr, r.scale_eps, r.ema_sampling)
        for name, r in GRAPH_RECIPES.items()
    }
    vp = VP(0.1, 1.0)
    assert sampled == {
        "community_small": (vp, vp, "euler", 0.05, 0.7, False),
        "ego_small": (vp, vp, "euler", None, 0.7, False),
        "enzymes": (vp, VE(0.2, 1.0), "s4", 0.15, 0.7, True),
        "grid": (vp, VP(0.2, 0.8), "reverse", 0.1, 0.7, True),
        "qm9": (VE(0.1, 1.0), VE(0.1, 1.0), "reverse", 0.2, 0.7, False),
        "zinc250k": (vp, VE(0.2, 1.0), "reverse", 0.2, 0.9, False),
    }


def test_the_rate_falls_once_an_epoch():
    training = GRAPH_RECIPES["ego_small"].training(160)
    assert training.num_steps == 10000
    assert [training.rate(step) for step in range(5)] == [1, 1, 0.999, 0.999, 0.999**2]
    assert not training.decoupled
    assert training.growing_ema
    assert (training.ema_decay, training.weight_decay, training.gradient_clip) == (0.999, 1e-4, 1)
    assert training.dtype == torch.float32
    assert GRAPH_RECIPES["community_small"].training(80).num_steps == 5000


def test_a_denoiser_has_the_settings_of_its_recipe():
    denoiser = LogOddsRecipe(node_depth=1, adjacency_depth=2, width=8).build(4, 0.25)
    assert denoiser.settings == {
        "num_features": 4, "density": 0.25, "node_depth": 1, "adjacency_depth": 2, "width": 8,
        "tell_size": True,
    }  # fmt: skip


@pytest.mark.parametrize("part", ["max_nodes", "num_features", "batch_size", "num_epochs", "width"])
def test_refuses_counts_below_one(part):
    with pytest.raises(ValueError, match=r"GraphRecipe.*at least 1"):
        dataclasses.replace(GRAPH_RECIPES["grid"], **{part: 0})


@pytest.mark.parametrize("choice", [{"batch_size": 0}, {"width": 0}, {"sigma_min": 0.0},
                                    {"sigma_max": 0.1}, {"sigma_max": float("nan")}])  # fmt: skip
def test_refuses_numbers_out_of_their_range(choice):
    with pytest.raises(ValueError, match="LogOddsRecipe: expected"):
        LogOddsRecipe(**choice)
