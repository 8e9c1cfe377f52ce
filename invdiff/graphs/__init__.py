"""Graphs by a system of SDEs: node features and adjacency diffuse together."""

from invdiff.graphs.adjacency import AnyGraph, as_adjacency, as_networkx
from invdiff.graphs.batches import GraphBatches
from invdiff.graphs.completion import GraphCompletion, complete_graph, graph_likelihood
from invdiff.graphs.coordinates import GraphCoordinates
from invdiff.graphs.corrector import Langevin, PredictorCorrector
from invdiff.graphs.datasets import GraphSplit, list_graph_sets, load_graphs, split_graphs
from invdiff.graphs.descriptors import (
    Descriptors,
    clustering_distribution,
    degree_distribution,
    describe,
    orbit_means,
    spectral_distribution,
)
from invdiff.graphs.edge_mixture import EdgeMixture, block_mixture
from invdiff.graphs.encoding import decode_graphs, encode_graphs, quantized
from invdiff.graphs.evaluation import (
    Evaluation,
    RunsEvaluation,
    drawn_floor,
    evaluate_graphs,
    evaluate_runs,
)
from invdiff.graphs.exponential import Exponential
from invdiff.graphs.fit import CheckpointFile, TrainedScores, train_denoiser, train_scores
from invdiff.graphs.flow_ode import GraphHeun
from invdiff.graphs.gaussian_graphs import GaussianGraphs
from invdiff.graphs.generation import generate, matched_start
from invdiff.graphs.generators import (
    block_model_graphs,
    community_graphs,
    ego_graphs,
    grid_graphs,
    planar_graphs,
)
from invdiff.graphs.graph_kernels import GaussianEMD, GaussianL2, GaussianTV, GraphKernel
from invdiff.graphs.graph_mmd import PROTOCOLS, GraphMMD, ProtocolName, graph_mmd, squared_mmd
from invdiff.graphs.integrator import GraphCallback, GraphIntegrator, GraphProgress, posterior_mean
from invdiff.graphs.isomorphism import IsomorphismClasses, count_distinct, novelty, uniqueness
from invdiff.graphs.link_scores import link_scores, ranking_auc
from invdiff.graphs.log_odds import LogOddsDenoiser
from invdiff.graphs.losses import (
    CrossEntropyLoss,
    ScoreMatchingLoss,
    cross_entropies,
    score_matching_losses,
)
from invdiff.graphs.moments import GraphMoments, graph_moments
from invdiff.graphs.networks import AdjacencyNetwork, NodeNetwork
from invdiff.graphs.observations import draw_known_pairs, observe_pairs, observe_subgraph
from invdiff.graphs.orbits import orbit_counts
from invdiff.graphs.prior_folder import (
    SavedGraphPrior,
    list_graph_priors,
    load_graph_prior,
    save_graph_prior,
)
from invdiff.graphs.recipes import GRAPH_RECIPES, GraphRecipe, LogOddsRecipe
from invdiff.graphs.reverse_sde import EulerMaruyama, ReverseDiffusion
from invdiff.graphs.reverse_times import Spacing
from invdiff.graphs.schedules import VE, VP, Schedule, SubVP
from invdiff.graphs.scores import (
    DenoiserScores,
    GraphDenoiser,
    NetworkScores,
    PartialScores,
    ScoreDenoiser,
)
from invdiff.graphs.splitting import Splitting
from invdiff.graphs.state import (
    GraphState,
    flattened,
    from_pairs,
    masked,
    normal_noise,
    size_mask,
    to_pairs,
)
from invdiff.graphs.stepper import Stepper
from invdiff.graphs.system import GraphSystem, scaled_by
from invdiff.graphs.vector_prior import VectorDenoiser

__all__ = [
    "GRAPH_RECIPES",
    "PROTOCOLS",
    "VE",
    "VP",
    "AdjacencyNetwork",
    "AnyGraph",
    "CheckpointFile",
    "CrossEntropyLoss",
    "DenoiserScores",
    "Descriptors",
    "EdgeMixture",
    "EulerMaruyama",
    "Evaluation",
    "Exponential",
    "GaussianEMD",
    "GaussianGraphs",
    "GaussianL2",
    "GaussianTV",
    "GraphBatches",
    "GraphCallback",
    "GraphCompletion",
    "GraphCoordinates",
    "GraphDenoiser",
    "GraphHeun",
    "GraphIntegrator",
    "GraphKernel",
    "GraphMMD",
    "GraphMoments",
    "GraphProgress",
    "GraphRecipe",
    "GraphSplit",
    "GraphState",
    "GraphSystem",
    "IsomorphismClasses",
    "Langevin",
    "LogOddsDenoiser",
    "LogOddsRecipe",
    "NetworkScores",
    "NodeNetwork",
    "PartialScores",
    "PredictorCorrector",
    "ProtocolName",
    "ReverseDiffusion",
    "RunsEvaluation",
    "SavedGraphPrior",
    "Schedule",
    "ScoreDenoiser",
    "ScoreMatchingLoss",
    "Spacing",
    "Splitting",
    "Stepper",
    "SubVP",
    "TrainedScores",
    "VectorDenoiser",
    "as_adjacency",
    "as_networkx",
    "block_mixture",
    "block_model_graphs",
    "clustering_distribution",
    "community_graphs",
    "complete_graph",
    "count_distinct",
    "cross_entropies",
    "decode_graphs",
    "degree_distribution",
    "describe",
    "draw_known_pairs",
    "drawn_floor",
    "ego_graphs",
    "encode_graphs",
    "evaluate_graphs",
    "evaluate_runs",
    "flattened",
    "from_pairs",
    "generate",
    "graph_likelihood",
    "graph_mmd",
    "graph_moments",
    "grid_graphs",
    "link_scores",
    "list_graph_priors",
    "list_graph_sets",
    "load_graph_prior",
    "load_graphs",
    "masked",
    "matched_start",
    "normal_noise",
    "novelty",
    "observe_pairs",
    "observe_subgraph",
    "orbit_counts",
    "orbit_means",
    "planar_graphs",
    "posterior_mean",
    "quantized",
    "ranking_auc",
    "save_graph_prior",
    "scaled_by",
    "score_matching_losses",
    "size_mask",
    "spectral_distribution",
    "split_graphs",
    "squared_mmd",
    "to_pairs",
    "train_denoiser",
    "train_scores",
    "uniqueness",
]
