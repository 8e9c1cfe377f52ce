r"""
A graph of which a part is known
================================

A graph of n nodes is a vector: the features of its nodes, then its pairs i < j. What is known of it
is a mask, and how far that can be trusted is a noise model. So a prior of graphs and a sampler of
images complete a graph, and say how sure they are of each edge.
"""

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import torch

from invdiff.graphs import (
    VectorDenoiser,
    community_graphs,
    complete_graph,
    draw_known_pairs,
    link_scores,
    load_graph_prior,
    ranking_auc,
)
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff
from operators import GaussianNoise

# %%
# What is known
# -------------
# The graph is new: two random blocks of eight nodes with few edges between them. Three pairs of
# ten are hidden.

(graph,) = community_graphs(1, generator=np.random.default_rng(5), sizes=(16, 16))
truth = torch.tensor(nx.to_numpy_array(graph), dtype=torch.float32)
known = draw_known_pairs(16, 36, generator=derive_generator(0, "known"))
told = truth.where(known, torch.nan)

# %%
# Sixteen answers
# ---------------
# The nodes' features are their degrees, unknown as well. Each sample is a whole graph; the share
# of samples with an edge is its probability.

prior = VectorDenoiser(load_graph_prior("community-small").scores.denoiser, 16)
with torch.no_grad():
    found = complete_graph(
        told,
        prior,
        RedDiff(num_steps=50, sigma_max=10, sigma_min=0.1),
        16,
        noise=GaussianNoise(0.05),
        generator=derive_generator(0, "samples"),
    )
probability = found.edge_probabilities()

figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
spread = (probability * (1 - probability)).sqrt()
shown = {"truth": truth, "known": told, "probability": probability, "spread": spread}
for axis, (title, picture) in zip(axes, shown.items(), strict=True):
    axis.set_facecolor("tab:orange")  # where nothing is known
    axis.imshow(picture.numpy(), cmap="gray_r", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])

# %%
# Beside the neighbours
# ---------------------
# Classical scores count what two nodes have in common in the known part. The area under the ROC
# curve is the probability that a hidden edge scores higher than a hidden pair without one.

hidden = (~known).triu(1).nonzero()
edges = truth[hidden[:, 0], hidden[:, 1]] > 0.5
scores = link_scores(told, hidden)
scores["prior"] = probability[hidden[:, 0], hidden[:, 1]]
for name, score in scores.items():
    print(f"{name:24} {ranking_auc(score, edges):.2f}")
