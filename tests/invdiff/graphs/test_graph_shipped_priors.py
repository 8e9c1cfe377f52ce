"""The priors that ship draw graphs like those they were trained on."""

import pytest
import torch

from invdiff.graphs.datasets import load_graphs, split_graphs
from invdiff.graphs.encoding import decode_graphs
from invdiff.graphs.evaluation import evaluate_graphs
from invdiff.graphs.exponential import Exponential
from invdiff.graphs.generation import generate
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.prior_folder import list_graph_priors, load_graph_prior
from invdiff.graphs.scores import DenoiserScores
from invdiff.graphs.state import size_mask
from invdiff.rng import derive_generator
from invdiff.training import drawn_network


def discrepancy(name, scores, moments):
    training, test = split_graphs(load_graphs(name.replace("-", "_")))
    sizes = moments.draw_sizes(40, generator=derive_generator(0, "sizes"))
    with torch.no_grad():
        state = generate(
            scores,
            size_mask(sizes, max(moments.sizes)),
            Exponential(40, noise=1.0, end=0.05, spacing="log_snr"),
            generator=derive_generator(0, "graphs"),
            moments=moments,
        )
    return evaluate_graphs(decode_graphs(state), test, training, first_only=False).mmd.average


@pytest.mark.parametrize("name", list_graph_priors())
def test_shipped_prior_draws_graphs_of_its_kind(name):
    prior = load_graph_prior(name)
    trained = prior.scores.denoiser
    untrained = drawn_network(
        lambda: LogOddsDenoiser(**trained.settings), generator=derive_generator(0, "untrained")
    )
    other = DenoiserScores(untrained, prior.scores.schedule)
    found = discrepancy(name, prior.scores, prior.moments)
    assert found < 0.1
    assert found < discrepancy(name, other, prior.moments) / 2


def test_priors_of_communities_and_neighbourhoods_ship():
    assert list_graph_priors() == ["community-small", "ego-small"]
