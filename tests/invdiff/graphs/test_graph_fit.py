"""Short trainings: they learn, and go on to the same bits."""

import dataclasses

import pytest
import torch

from invdiff.graphs.batches import GraphBatches
from invdiff.graphs.fit import CheckpointFile, train_denoiser, train_scores
from invdiff.graphs.losses import CrossEntropyLoss, ScoreMatchingLoss
from invdiff.graphs.moments import graph_moments
from invdiff.graphs.recipes import GRAPH_RECIPES, LogOddsRecipe
from invdiff.graphs.state import GraphState, from_pairs, masked, pair_indices, size_mask
from invdiff.rng import derive_generator
from invdiff.training import Training, drawn_network

SMALL = dataclasses.replace(
    GRAPH_RECIPES["community_small"], num_features=4, batch_size=5, num_epochs=4, node_depth=1,
    adjacency_depth=2, width=8, attention_width=8,
)  # fmt: skip
DENOISER = LogOddsRecipe(
    batch_size=5, node_depth=1, adjacency_depth=2, width=8,
    training=Training(8, 1e-2, 2, dtype=torch.float32),
)  # fmt: skip


def communities(count, num_nodes, num_features):
    """Graphs of two dense halves."""
    generator = derive_generator(0, "communities")
    i, j = pair_indices(num_nodes)
    same = (i < num_nodes // 2) == (j < num_nodes // 2)
    edges = torch.rand(count, len(i), generator=generator) < torch.where(same, 0.8, 0.05)
    sizes = torch.randint(num_nodes - 3, num_nodes + 1, (count,), generator=generator)
    sizes[0] = num_nodes
    adjacency = from_pairs(edges.float(), num_nodes)
    empty = torch.zeros(count, num_nodes, 1)
    adjacency = masked(GraphState(empty, adjacency, size_mask(sizes, num_nodes))).adjacency
    degrees = adjacency.sum(-1).long().clamp(max=num_features - 1)
    nodes = torch.nn.functional.one_hot(degrees, num_features).float()
    return masked(GraphState(nodes, adjacency, size_mask(sizes, num_nodes)))


def loss_of(kind, network, graphs):
    """Return the mean loss on steps that the training hasn't seen."""
    batches = GraphBatches(graphs, len(graphs.mask), generator=derive_generator(0, "check"))
    with torch.no_grad():
        return torch.stack([kind(batches)(network, step) for step in range(4)]).mean()


def test_thirty_steps_of_the_published_training_lower_the_loss():
    graphs = communities(8, 20, 10)
    recipe = dataclasses.replace(GRAPH_RECIPES["community_small"], num_epochs=30)
    told = []
    trained = train_scores(graphs, recipe, generator=derive_generator(0), callback=told.append)
    assert len(told) == 30
    untrained = drawn_network(recipe.build, generator=derive_generator(0))
    start = loss_of(ScoreMatchingLoss, untrained, graphs)
    for scores in trained:
        assert not scores.training
        assert loss_of(ScoreMatchingLoss, scores, graphs) < 0.6 * start


def test_thirty_steps_lower_the_cross_entropy():
    graphs = communities(16, 12, 6)
    recipe = LogOddsRecipe(training=Training(30, 5e-3, 5, ema_decay=0.5, dtype=torch.float32))
    density = graph_moments(graphs).edge_mean
    untrained = drawn_network(lambda: recipe.build(6, density), generator=derive_generator(0))
    denoiser = train_denoiser(graphs, recipe, generator=derive_generator(0))
    start = loss_of(CrossEntropyLoss, untrained, graphs)
    assert loss_of(CrossEntropyLoss, denoiser, graphs) < 0.96 * start


class Killed(Exception):
    """Stands for the end of a process."""


def killed_after(step):
    def callback(done):
        if done.step == step:
            raise Killed

    return callback


TRAININGS = {"scores": (train_scores, SMALL), "denoiser": (train_denoiser, DENOISER)}


def weights(trained):
    modules = trained if isinstance(trained, tuple) else (trained,)
    return [value for module in modules for value in module.state_dict().values()]


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_killed_training_ends_with_the_same_bits(tmp_path, kind):
    train, recipe = TRAININGS[kind]
    # 7 graphs in batches of 5: the kill is in the middle of an epoch
    graphs = communities(7, 8, 4)
    checkpoint = CheckpointFile(tmp_path / "state.safetensors", 3)

    def run(**choices):
        return train(graphs, recipe, generator=derive_generator(1), **choices)

    with pytest.raises(Killed):
        run(checkpoint=checkpoint, callback=killed_after(4))
    found, expected = weights(run(checkpoint=checkpoint)), weights(run())
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_checkpoint_of_other_graphs_or_numbers_is_refused(tmp_path, kind):
    train, recipe = TRAININGS[kind]
    checkpoint = CheckpointFile(tmp_path / "state.safetensors", 3)
    train(communities(7, 8, 4), recipe, generator=derive_generator(1), checkpoint=checkpoint)
    for name, graphs, seed, other in (
        ("graphs", communities(6, 8, 4), 1, recipe),
        ("seed", communities(7, 8, 4), 2, recipe),
        ("recipe", communities(7, 8, 4), 1, dataclasses.replace(recipe, batch_size=4)),
    ):
        with pytest.raises(ValueError, match=f"of another training: {name} was") as caught:
            train(graphs, other, generator=derive_generator(seed), checkpoint=checkpoint)
        assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_weighting_is_refused(tmp_path):
    graphs, checkpoint = communities(5, 8, 4), CheckpointFile(tmp_path / "state.safetensors", 3)
    train_scores(graphs, SMALL, generator=derive_generator(1), checkpoint=checkpoint)
    with pytest.raises(ValueError, match="of another training: recipe was"):
        train_scores(
            graphs, SMALL, generator=derive_generator(1), checkpoint=checkpoint,
            likelihood_weighting=True,
        )  # fmt: skip


def test_the_networks_are_clipped_each_on_its_own(monkeypatch):
    seen = []
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda parameters, norm: seen.append(len([*parameters]))
    )
    trained = train_scores(communities(5, 8, 4), SMALL, generator=derive_generator(1)).last
    parts = (trained.node_network, trained.adjacency_network)
    assert seen == [len([*part.parameters()]) for part in parts] * SMALL.num_epochs


def test_refuses_graphs_of_other_features():
    with pytest.raises(ValueError, match=r"graphs: expected 4 features, got 5"):
        train_scores(communities(5, 8, 5), SMALL, generator=derive_generator(1))
