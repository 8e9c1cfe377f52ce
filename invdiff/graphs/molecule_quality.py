"""What share of generated molecules is valid, different, and new; needs rdkit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["novelty", "uniqueness", "valid_smiles", "validity"]


def validity(molecules: Sequence[Mol]) -> float:
    """Return the share of molecules that pass the valency check of rdkit as they are.

    One without atoms doesn't pass.

    Raises:
        ValueError: No molecules.
    """
    if not molecules:
        raise ValueError("molecules: expected at least one, got none")
    return sum(map(_is_valid, molecules)) / len(molecules)


def valid_smiles(molecules: Sequence[Mol]) -> list[str]:
    """Return canonical SMILES of those molecules that are valid, in their order.

    A molecule in several pieces stays one, with dots in its SMILES.
    """
    from rdkit import Chem

    found = []
    for molecule in molecules:
        if _is_valid(molecule):
            whole = Chem.Mol(molecule)
            Chem.SanitizeMol(whole)
            found.append(Chem.MolToSmiles(whole, isomericSmiles=False))
    return found


def uniqueness(smiles: Sequence[str]) -> float:
    """Return the share of different ones among canonical SMILES.

    Raises:
        ValueError: No SMILES.
    """
    return len(set(smiles)) / _count(smiles)


def novelty(smiles: Sequence[str], training: Sequence[str]) -> float:
    """Return the share of the different SMILES that aren't in a training set.

    Args:
        smiles: Canonical ones, as from ``valid_smiles``.
        training: Canonical ones. Graphs forget charges, so take those of the graphs that were
            learned from, ``valid_smiles(to_molecules(state))``, not those of the file.

    Raises:
        ValueError: No SMILES.
    """
    _count(smiles)
    different = set(smiles)
    return len(different - set(training)) / len(different)


def _is_valid(molecule: Mol) -> bool:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        found = Chem.SanitizeMol(
            Chem.Mol(molecule),
            sanitizeOps=Chem.SanitizeFlags.SANITIZE_PROPERTIES,
            catchErrors=True,
        )
    return bool(molecule.GetNumAtoms()) and bool(found == Chem.SanitizeFlags.SANITIZE_NONE)


def _count(smiles: Sequence[str]) -> int:
    if not smiles:
        raise ValueError("smiles: expected at least one, got none")
    return len(smiles)
