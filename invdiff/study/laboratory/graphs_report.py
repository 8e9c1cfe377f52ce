"""Tables, captions and summary of a study of graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from invdiff.study.laboratory.graphs_config import IntegratorBase
from invdiff.study.laboratory.graphs_scores import PROTOCOLS, STATISTICS
from invdiff.study.scripted import Metrics, Table

__all__ = ["captions", "integrator_table", "statistic_table", "summary_text", "training_table"]

_NAMES = {
    "degree": "degree",
    "cluster": "clustering",
    "orbit": "orbits",
    "spectral": "spectrum",
    "average": "mean of the first three",
}


def captions(num_runs: int) -> dict[str, str]:
    """Say what the figures show.

    Args:
        num_runs: Of each integrator.
    """
    return {
        "graphs": "The first test graphs, and the first graphs of the first run, none chosen. "
        "Framed: isomorphic to a training graph. Colours are communities; nodes without edges "
        "are left out.",
        "trajectory": "One graph on its way from noise (t = 1). Above: its adjacency, with the "
        "nodes in the order of the last graph's communities. Below: entries nearer to an edge "
        "than to none, at the places of the last graph.",
        "discrepancies": f"Bars: means of {num_runs} runs, which are the points. Lines: training "
        "graphs in place of generated ones, on the left as many as test graphs, on the right all. "
        "Dotted: as many graphs as are scored, drawn from the training graphs, which is what a "
        "generator gets that has learnt them, and what a copy of them gets.",
        "calls": "Means of runs with their standard deviation; lines join integrators that "
        "differ by their steps alone.",
        "loss": "Loss of each step (grey) and means of it.",
    }


def statistic_table(metrics: Metrics, num_graphs: int) -> Table:
    """Return a row for each statistic: what was generated, and the floor, in each protocol.

    Args:
        metrics: Of the study.
        num_graphs: Generated graphs of a run.
    """
    scored = min(metrics["num_test"], num_graphs)
    titles = {"first": f"first {scored}", "all": f"all {num_graphs}", "tv": f"TV, first {scored}"}
    columns = ["statistic"]
    for title in titles.values():
        columns += [title, "floor"]
    rows = []
    for statistic in STATISTICS:
        row = [_NAMES[statistic]]
        for name in titles:
            protocol = PROTOCOLS[name]
            floor = metrics[f"{protocol.floor}_{statistic}"]
            row += [_pair(metrics, f"{protocol.mmd}_{statistic}"), f"{floor:.4f}"]
        rows.append(tuple(row))
    caption = (
        "Squared discrepancies from the test graphs, mean and standard deviation of "
        f"{metrics['num_runs']} runs. Floor: training graphs in place of the generated ones, as "
        "many as test graphs or, where all generated graphs are scored, all of them. TV: with "
        "the kernels of later work, on another scale."
    )
    return Table("Generated against test graphs", tuple(columns), tuple(rows), caption)


def integrator_table(
    metrics: Metrics, integrators: Sequence[IntegratorBase], keys: Mapping[str, Mapping[str, str]]
) -> Table:
    """Return a row for each integrator.

    Args:
        metrics: Of the study.
        integrators: In the order of the study.
        keys: For the name of each, its keys of "calls", "seconds", "first", "all", "novelty" and
            "uniqueness".
    """
    rows = []
    for integrator in integrators:
        own = keys[integrator.name]
        rows.append((
            integrator.title,
            f"{metrics[own['calls']]:g}",
            f"{metrics[own['seconds']]:.1f}",
            *(_pair(metrics, own[name]) for name in ("first", "all")),
            *(f"{metrics[own[name]]:.2f}" for name in ("novelty", "uniqueness")),
        ))  # fmt: skip
    floors = (f"{metrics[f'{PROTOCOLS[name].floor}_average']:.4f}" for name in ("first", "all"))
    rows.append(("training graphs (floor)", "", "", *floors, f"{0:.2f}", ""))
    drawn = (_pair(metrics, f"drawn_{PROTOCOLS[name].mmd}_average") for name in ("first", "all"))
    rows.append(("drawn from training graphs", "", "", *drawn, f"{0:.2f}", ""))
    columns = (
        "integrator", "calls", "seconds", "mean discrepancy, first", "the same, all", "novel",
        "distinct",
    )  # fmt: skip
    caption = (
        "Of all integrators from the same noise. Calls: of the scores, for each graph. Seconds: "
        "of a run. Novel: isomorphic to no training graph; distinct: of all graphs of a run. "
        "Drawn: as many training graphs, at random, which is what a generator gets that has "
        "learnt them."
    )
    return Table("Integrators", columns, tuple(rows), caption)


def training_table(metrics: Metrics) -> Table:
    """Return what the training took."""
    rows = (
        ("parameters", f"{metrics['num_parameters']}"),
        ("steps", f"{metrics['num_steps']}"),
        ("seconds", f"{metrics['training_seconds']:.1f}"),
        ("seconds of a step, median", f"{metrics['seconds_per_step']:.4f}"),
        ("loss at the end", f"{metrics['loss_last']:.4f}"),
    )
    caption = "The loss is the mean of the last twentieth of the steps."
    return Table("Training", ("", "value"), rows, caption)


def summary_text(metrics: Metrics, integrator: IntegratorBase, num_graphs: int) -> str:
    """Say how far the generated graphs are from the test graphs, and how new they are.

    Args:
        metrics: Of the study.
        integrator: The main one.
        num_graphs: Generated graphs of a run.
    """
    trained = ""
    if "training_seconds" in metrics:
        trained = (
            f"Trained {metrics['num_parameters']} weights on {metrics['num_training']} graphs in "
            f"{metrics['training_seconds']:.0f} s. "
        )
    return (
        f"{trained}{metrics['num_runs']} runs of {num_graphs} graphs each, "
        f"{metrics['num_calls']:g} calls of the scores for a graph ({integrator.title}). The "
        "mean discrepancy of degrees, clustering and orbits from the test graphs is "
        f"{_pair(metrics, 'mmd_average')} for the first {min(metrics['num_test'], num_graphs)} "
        f"graphs of a run, {_verdict(metrics, 'first')}, and {_pair(metrics, 'all_mmd_average')} "
        f"for all, {_verdict(metrics, 'all')}. Of the generated graphs, "
        f"{100 * metrics['novelty']:.0f} per cent are isomorphic to no training graph and "
        f"{100 * metrics['uniqueness']:.0f} per cent of a run are distinct; of the test graphs, "
        f"{100 * metrics['test_novelty']:.0f} per cent are new in that sense. "
        "A copy of the training set would score the floor, with no novel graph."
    )


def _verdict(metrics: Metrics, name: str) -> str:
    protocol = PROTOCOLS[name]
    floor = metrics[f"{protocol.floor}_average"]
    excess = metrics[f"{protocol.mmd}_average"] - floor
    spread = metrics[f"{protocol.mmd}_average_std"]
    if abs(excess) <= spread:
        return f"no farther from the floor of {floor:.4f} than runs are from each other"
    side = "above" if excess > 0 else "below"
    return f"{side} the floor of {floor:.4f} by more than the spread between runs"


def _pair(metrics: Metrics, key: str) -> str:
    return f"{metrics[key]:.4f} +- {metrics[f'{key}_std']:.4f}"
