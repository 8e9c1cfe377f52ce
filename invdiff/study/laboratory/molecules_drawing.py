"""Pictures of molecules, right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.graphs.molecule_quality import valid_smiles
from invdiff.graphs.molecules import to_molecules
from invdiff.graphs.state import GraphState
from invdiff.study.scripted import Arrays

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["molecule_pictures"]

_WIDTH, _HEIGHT = 240, 180


def molecule_pictures(graphs: GraphState, atoms: Sequence[str]) -> Arrays:
    """Draw graphs as molecules.

    Args:
        graphs: Leading shape ``(count,)``.
        atoms: Symbols of the features.

    Returns:
        ``pictures``, uint8 ``(count, height, width, 3)``, and ``valid``, booleans ``(count,)``.
    """
    molecules = to_molecules(graphs, atoms=atoms)
    return {
        "pictures": np.stack([_picture(molecule) for molecule in molecules]),
        "valid": np.array([bool(valid_smiles([molecule])) for molecule in molecules]),
    }


def _picture(molecule: Mol) -> NDArray[Any]:
    from matplotlib.image import imread
    from rdkit import Chem
    from rdkit.Chem import rdDepictor
    from rdkit.Chem.Draw import rdMolDraw2D

    drawn = Chem.Mol(molecule)
    # what isn't valid is drawn as it is
    drawn.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(drawn)
    rdDepictor.Compute2DCoords(drawn)
    canvas = rdMolDraw2D.MolDraw2DCairo(_WIDTH, _HEIGHT)
    options: Any = canvas.drawOptions()
    options.prepareMolsBeforeDrawing = False
    canvas.DrawMolecule(drawn)
    canvas.FinishDrawing()
    pixels = imread(BytesIO(canvas.GetDrawingText()), format="png")
    return np.round(255 * pixels[..., :3]).astype(np.uint8)
