"""Tables and words of the study of molecules."""

from __future__ import annotations

from collections.abc import Mapping

from invdiff.study.scripted import Metrics, Table

__all__ = ["CAPTIONS", "composition_table", "molecule_table", "summary_text"]

CAPTIONS = {
    "molecules": "The first molecules of the first run, none chosen and none corrected, and some "
    "that were held out. Hydrogen isn't drawn apart from where it is written; red frame: an atom "
    "has too many bonds.",
    "validity": "Share of molecules in which no atom has too many bonds, as they come out of the "
    "networks. Strict: without the charge that nitrogen with four bonds and oxygen with three "
    "may have. Bars: standard deviation between runs. Dashed: held-out molecules as graphs.",
    "loss": "Loss of each step (grey) and means of it. Dashed: the same loss on molecules that "
    "were held out, with the weights that molecules are drawn with.",
}


def molecule_table(metrics: Metrics, rows: Mapping[str, str]) -> Table:
    """Return shares without correction, a way to draw a row.

    Args:
        metrics: Of the study.
        rows: Titles by the name behind the metrics.
    """
    measures = {
        "validity": "valid (%)",
        "validity_strict": "strict (%)",
        "connected": "in one piece (%)",
        "uniqueness": "different (%)",
        "novelty": "new (%)",
    }
    cells = tuple(
        (
            title,
            *(_percent(metrics, f"{measure}_{name}") for measure in measures),
            _seconds(metrics, name),
        )
        for name, title in rows.items()
    )
    caption = (
        "Without correction of any bond; mean and standard deviation between runs. Molecules in "
        "several pieces count as valid, as in the published evaluation. Strict: without charges. "
        "In one piece and different: of the valid ones; new: of the different "
        "ones, not among the training molecules as graphs, which have forgotten charges and "
        "stereochemistry. The distances of distributions that are often published with these "
        "(NSPDK, FCD) need features that don't ship with this package, and aren't computed."
    )
    columns = ("drawn by", *measures.values(), "seconds")
    return Table("Molecules as they are drawn", columns, cells, caption)


def composition_table(metrics: Metrics, rows: Mapping[str, str]) -> Table:
    """Return sizes, and shares after the valency correction, a way to draw a row.

    Args:
        metrics: Of the study.
        rows: Titles by the name behind the metrics.
    """
    shares = ("validity_corrected", "uniqueness_corrected", "novelty_corrected")
    cells = tuple(
        (
            title,
            *(f"{metrics[f'{measure}_{name}']:.2f}" for measure in ("atoms", "bonds", "rings")),
            *(_percent(metrics, f"{measure}_{name}") for measure in ("carbon", *shares)),
        )
        for name, title in rows.items()
    )
    caption = (
        "Mean numbers over all molecules, valid or not, without hydrogen; carbon: of all atoms. "
        "Molecules that are far too small or of carbon alone are easily valid. Corrected: bonds "
        "are lowered or removed until no atom has too many, and the largest piece is kept; all "
        "are valid then, by construction."
    )
    columns = (
        "drawn by", "atoms", "bonds", "rings", "carbon (%)", "corrected: valid (%)",
        "different (%)", "new (%)",
    )  # fmt: skip
    return Table("Sizes, and molecules after correction", columns, cells, caption)


def summary_text(metrics: Metrics, ways: Mapping[str, tuple[str, int]]) -> str:
    """Say what was learnt from, and what share of molecules is valid.

    Args:
        metrics: Of the study.
        ways: Title and number of calls of each way to draw, by its name.
    """
    results = "; ".join(
        f"{100 * metrics[f'validity_{name}_{calls}']:.1f} % by {title} in {calls} calls"
        for name, (title, calls) in ways.items()
    )
    return (
        f"Trained on {metrics['num_training']} molecules in {metrics['training_seconds']:.0f} s; "
        f"{metrics['num_heldout']} were held out, and {metrics['num_left_out']} didn't fit. Valid "
        f"without correction: {results}; of those that were held out, "
        f"{100 * metrics['validity_heldout']:.1f} %. The folder prior holds the networks."
    )


def _percent(metrics: Metrics, key: str) -> str:
    text = f"{100 * metrics[key]:.1f}"
    spread = metrics.get(f"{key}_std")
    return text if spread is None else f"{text} \N{PLUS-MINUS SIGN} {100 * spread:.1f}"


def _seconds(metrics: Metrics, name: str) -> str:
    found = metrics.get(f"seconds_{name}")
    return "" if found is None else f"{found:.1f}"
