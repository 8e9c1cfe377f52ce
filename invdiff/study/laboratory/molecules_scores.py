"""What is measured of molecules that were drawn, and of those that were held out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from invdiff.graphs.molecule_correction import molecule_corrected
from invdiff.graphs.molecule_quality import novelty, uniqueness, valid_smiles, validity
from invdiff.graphs.molecules import to_molecules
from invdiff.graphs.state import GraphState
from invdiff.study.scripted import Metrics

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["MEASURES", "molecule_scores", "over_runs"]

MEASURES = (
    "validity", "validity_strict", "validity_corrected", "connected", "uniqueness", "novelty",
    "uniqueness_corrected", "novelty_corrected", "carbon", "atoms", "bonds", "rings",
)  # fmt: skip


def molecule_scores(
    graphs: GraphState, atoms: Sequence[str], training: Collection[str]
) -> dict[str, float]:
    """Return the ``MEASURES`` of graphs.

    ``connected`` is the share of one piece among the valid ones. Shares of nothing are 0. Atoms,
    bonds and rings are means over all graphs, valid or not; ``carbon`` is its share of all atoms.

    Args:
        graphs: Leading shape ``(count,)``; nodes and adjacency may be far from whole numbers.
        atoms: Symbols of the features.
        training: Canonical SMILES that aren't new.
    """
    molecules = to_molecules(graphs, atoms=atoms)
    valid = valid_smiles(molecules)
    corrected = [molecule_corrected(m) for m in molecules if m.GetNumAtoms()]
    texts = valid_smiles(corrected)
    scores = {
        "validity": len(valid) / len(molecules),
        "validity_strict": validity(to_molecules(graphs, atoms=atoms, charged=False)),
        "validity_corrected": len(texts) / len(molecules),
        "connected": sum("." not in text for text in valid) / max(1, len(valid)),
    }
    for suffix, found in (("", valid), ("_corrected", texts)):
        scores[f"uniqueness{suffix}"] = uniqueness(found) if found else 0.0
        scores[f"novelty{suffix}"] = novelty(found, list(training)) if found else 0.0
    return scores | _sizes(molecules)


def over_runs(scores: Sequence[dict[str, float]], name: str) -> Metrics:
    """Return the means over runs, and behind ``_std`` the standard deviations between them.

    Args:
        scores: Of each run.
        name: Behind that of the measure. One run has no standard deviation.
    """
    found: Metrics = {}
    for key in scores[0]:
        values = np.array([score[key] for score in scores])
        found[f"{key}_{name}"] = float(values.mean())
        if len(values) > 1:
            found[f"{key}_{name}_std"] = float(values.std(ddof=1))
    return found


def _sizes(molecules: Sequence[Mol]) -> dict[str, float]:
    from rdkit import Chem

    atoms, bonds, carbon, pieces = np.array(
        [
            (m.GetNumAtoms(), m.GetNumBonds(), _num_carbon(m), len(Chem.GetMolFrags(m)))
            for m in molecules
        ],
        dtype=float,
    ).T
    return {
        "carbon": float(carbon.sum() / max(1, atoms.sum())),
        "atoms": float(atoms.mean()),
        "bonds": float(bonds.mean()),
        # those that are independent: also molecules that aren't valid have that number
        "rings": float((bonds - atoms + pieces).mean()),
    }


def _num_carbon(molecule: Mol) -> int:
    return sum(atom.GetSymbol() == "C" for atom in molecule.GetAtoms())
