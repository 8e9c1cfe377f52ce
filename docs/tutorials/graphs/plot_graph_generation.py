r"""
Graphs from noise
=================

Node features X and a symmetric adjacency A diffuse together, and a system of reverse SDEs brings
them back,

.. math:: dA = \bigl(f A - g^2\, \nabla_A \log p_t(X, A)\bigr)\, d\bar t + g\, d\bar w,

with the same for X. The prior of this page was trained on 80 graphs of two communities.
"""

import matplotlib.pyplot as plt
import networkx as nx
import torch

from invdiff.graphs import (
    Exponential,
    decode_graphs,
    evaluate_graphs,
    generate,
    load_graph_prior,
    load_graphs,
    size_mask,
    split_graphs,
)
from invdiff.rng import derive_generator

prior = load_graph_prior("community-small")
mask = size_mask(prior.moments.draw_sizes(20, generator=derive_generator(2, "sizes")), 20)

# %%
# One graph on its way
# --------------------
# The exponential integrator calls the network once a step. A callback keeps the noisy states; the
# nodes are in the order of the communities of the graph that comes out.

seen = []
with torch.no_grad():
    state = generate(
        prior.scores,
        mask,
        Exponential(60, noise=1.0, end=0.05, spacing="log_snr"),
        generator=derive_generator(2, "graphs"),
        moments=prior.moments,
        callback=lambda progress: seen.append((float(progress.t), progress.state.adjacency[0])),
    )
graphs = decode_graphs(state, keep_isolated=True)
parts = nx.community.greedy_modularity_communities(graphs[0])
order = torch.tensor([node for part in parts for node in sorted(part)])

figure, axes = plt.subplots(1, 6, figsize=(10, 2), layout="constrained")
for axis, i in zip(axes, (0, 25, 35, 42, 50, 59), strict=True):
    t, adjacency = seen[i]
    axis.imshow(adjacency[order][:, order].numpy(), cmap="gray_r", vmin=-0.5, vmax=1.5)
    axis.set(title=f"t = {t:.2f}", xticks=[], yticks=[])

# %%
# Beside graphs of the test set
# -----------------------------
# Above generated graphs, below real ones that the prior has not seen.

training, test = split_graphs(load_graphs("community_small"))
figure, axes = plt.subplots(2, 6, figsize=(10, 3.6), layout="constrained")
for row, shown, title in zip(axes, (graphs, test), ("generated", "real"), strict=True):
    for axis, graph in zip(row, shown, strict=False):
        places = nx.kamada_kawai_layout(graph)
        parts = nx.community.greedy_modularity_communities(graph)
        colors = {node: f"C{k}" for k, part in enumerate(parts) for node in part}
        nx.draw(
            graph,
            places,
            ax=axis,
            node_size=25,
            width=0.6,
            edge_color="0.6",
            node_color=[colors[node] for node in graph],
        )
        axis.set_title(title, fontsize=9)

# %%
# How good they are
# -----------------
# Distances between sets of 20 graphs are never zero: the floor is what 20 training graphs get. And
# a copy of the training set would pass, so novelty is told with them.

found = evaluate_graphs(decode_graphs(state), test, training, first_only=True)
for name in ("degree", "cluster", "orbit"):
    value, floor = getattr(found.mmd, name), getattr(found.first_floor, name)
    print(f"{name:8} {value:.4f}   floor {floor:.4f}")
print(f"new {found.novelty:.0%}, unique {found.uniqueness:.0%}")
