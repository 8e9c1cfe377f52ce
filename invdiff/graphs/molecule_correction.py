"""Valency correction: what the published tables do to molecules before they count them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol, RWMol

__all__ = ["molecule_corrected"]


def molecule_corrected(molecule: Mol) -> Mol:
    """Return a molecule whose atoms have no more bonds than they can, in one piece.

    As long as an atom has too many, the order of its strongest bond is lowered by one, and a single
    bond is removed; then the largest piece is kept. A molecule that is valid changes in nothing but
    that. It is how :cite:t:`jo2022` make every molecule valid: validity after it says nothing.

    Args:
        molecule: As from ``to_molecules``, with at least one atom; it stays as it is.

    Raises:
        ValueError: No atoms.
    """
    from rdkit import Chem

    if not molecule.GetNumAtoms():
        raise ValueError("molecule: expected at least one atom, got none")
    corrected = Chem.RWMol(molecule)
    while (atom := _overfull_atom(corrected)) is not None:
        _lower_strongest_bond(corrected, atom)
    pieces = Chem.GetMolFrags(corrected, asMols=True, sanitizeFrags=False)
    return max(pieces, key=lambda piece: piece.GetNumAtoms())


def _overfull_atom(molecule: Mol) -> int | None:
    """Return the first atom with too many bonds, if there is one."""
    from rdkit import Chem, rdBase

    # no bond can be missing: hydrogen fills the places that are free
    with rdBase.BlockLogs():
        problems = Chem.DetectChemistryProblems(molecule, Chem.SanitizeFlags.SANITIZE_PROPERTIES)
    return problems[0].GetAtomIdx() if problems else None


def _lower_strongest_bond(molecule: RWMol, atom: int) -> None:
    from rdkit import Chem

    lower = {
        Chem.BondType.TRIPLE: Chem.BondType.DOUBLE,
        Chem.BondType.DOUBLE: Chem.BondType.SINGLE,
    }
    bonds = molecule.GetAtomWithIdx(atom).GetBonds()
    # of equal ones the first
    bond = max(bonds, key=lambda bond: bond.GetBondTypeAsDouble())
    if bond.GetBondType() in lower:
        bond.SetBondType(lower[bond.GetBondType()])
    else:
        molecule.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
