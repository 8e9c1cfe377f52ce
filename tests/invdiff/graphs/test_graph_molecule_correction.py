import pytest
import torch

from invdiff.graphs.molecule_correction import molecule_corrected
from invdiff.graphs.molecule_quality import valid_smiles, validity
from invdiff.graphs.molecules import ZINC_ATOMS, molecules_from_smiles, to_molecules
from invdiff.graphs.state import GraphState, normal_noise
from invdiff.rng import problem_streams

Chem = pytest.importorskip("rdkit.Chem")


def unchecked(smiles):
    return Chem.MolFromSmiles(smiles, sanitize=False)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        # the strongest bond of the overfull atom loses one order at a time
        ("C=C(C)(C)C", "CC(C)(C)C"),
        ("F=C", "CF"),
        ("C#F", "CF"),
        # a single bond goes, and the larger piece stays
        ("CC(C)(C)(C)C", "CC(C)(C)C"),
        ("CCF(CCC)", "CCCF"),
    ],
)
def test_bonds_are_lowered_or_removed(wrong, right):
    molecule = unchecked(wrong)
    before = Chem.MolToSmiles(molecule)
    found = molecule_corrected(molecule)
    assert valid_smiles([found]) == [Chem.CanonSmiles(right)]
    assert Chem.MolToSmiles(molecule) == before


def test_every_noise_becomes_valid(generator):
    count, num_nodes = 40, 12
    mask = torch.ones(count, num_nodes, dtype=torch.bool)
    empty = GraphState(
        torch.zeros(count, num_nodes, 9), torch.zeros(count, num_nodes, num_nodes), mask
    )
    noise = normal_noise(empty, problem_streams(generator, count, ()))
    state = noise._replace(nodes=noise.nodes + 1)
    molecules = to_molecules(state, atoms=ZINC_ATOMS)
    assert validity(molecules) < 0.5
    corrected = [molecule_corrected(molecule) for molecule in molecules]
    assert validity(corrected) == 1
    assert not any("." in smiles for smiles in valid_smiles(corrected))


def test_valid_molecules_stay():
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "CC[N+](C)(C)C", "c1ccsc1"]
    found = molecules_from_smiles(smiles, atoms=ZINC_ATOMS, max_nodes=20)
    molecules = to_molecules(found.state, atoms=ZINC_ATOMS)
    corrected = [molecule_corrected(molecule) for molecule in molecules]
    assert valid_smiles(corrected) == valid_smiles(molecules)


def test_the_largest_piece_is_kept():
    assert valid_smiles([molecule_corrected(unchecked("C.CCO.N"))]) == ["CCO"]


def test_refuses_a_molecule_without_atoms():
    with pytest.raises(ValueError, match="at least one atom"):
        molecule_corrected(Chem.RWMol())
