import pytest
import torch

from invdiff.graphs.batches import GraphBatches
from invdiff.graphs.molecule_quality import novelty, uniqueness, valid_smiles, validity
from invdiff.graphs.molecules import QM9_ATOMS, ZINC_ATOMS, molecules_from_smiles, to_molecules
from invdiff.graphs.state import GraphState, from_pairs, masked, pair_indices

pytest.importorskip("rdkit")

DRUGS = {
    "acetazolamide": "CC(=O)Nc1nnc(S(N)(=O)=O)s1",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "atenolol": "CC(C)NCC(O)COc1ccc(CC(N)=O)cc1",
    "bupropion": "CC(NC(C)(C)C)C(=O)c1cccc(Cl)c1",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "celecoxib": "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "chlorpromazine": "CN(C)CCCN1c2ccccc2Sc2ccc(Cl)cc21",
    "ciprofloxacin": "O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O",
    "clonidine": "Clc1cccc(Cl)c1NC1=NCCN1",
    "cyclophosphamide": "O=P1(N(CCCl)CCCl)NCCCO1",
    "diazepam": "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "efavirenz": "O=C1Nc2ccc(Cl)cc2C(C#CC2CC2)(C(F)(F)F)O1",
    "fluconazole": "OC(Cn1cncn1)(Cn1cncn1)c1ccc(F)cc1F",
    "fluorouracil": "O=c1[nH]cc(F)c(=O)[nH]1",
    "fluoxetine": "CNCCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1",
    "histamine": "NCCc1c[nH]cn1",
    "ibuprofen": "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "imatinib": "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "isoniazid": "NNC(=O)c1ccncc1",
    "lidocaine": "CCN(CC)CC(=O)Nc1c(C)cccc1C",
    "metformin": "CN(C)C(=N)NC(=N)N",
    "morphine": "CN1CCC23c4c5ccc(O)c4OC2C(O)C=CC3C1C5",
    "nicotine": "CN1CCCC1c1cccnc1",
    "omeprazole": "COc1ccc2[nH]c(S(=O)Cc3ncc(C)c(OC)c3C)nc2c1",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "penicillin": "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
    "salbutamol": "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1",
    "sildenafil": "CCCc1nn(C)c2c1nc(-c1cc(S(=O)(=O)N3CCN(C)CC3)ccc1OCC)[nH]c2=O",
    "sulfamethoxazole": "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1",
    "theophylline": "Cn1c(=O)c2[nH]cnc2n(C)c1=O",
    "warfarin": "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",
    "halothane": "FC(F)(F)C(Cl)Br",
    "diiodomethane": "ICI",
}


def one_state(symbols, bonds, atoms=QM9_ATOMS):
    """A molecule from its atoms and {(i, j): order}."""
    nodes = torch.zeros(len(symbols), len(atoms))
    for i, symbol in enumerate(symbols):
        nodes[i, atoms.index(symbol)] = 1
    adjacency = torch.zeros(len(symbols), len(symbols))
    for (i, j), order in bonds.items():
        adjacency[i, j] = adjacency[j, i] = order
    return GraphState(nodes, adjacency, torch.ones(len(symbols), dtype=torch.bool))


def test_drugs_come_back():
    found = molecules_from_smiles(list(DRUGS.values()), atoms=ZINC_ATOMS, max_nodes=38)
    assert found.num_left_out == 0
    assert found.state.nodes.shape == (len(DRUGS), 38, 9)
    molecules = to_molecules(found.state, atoms=ZINC_ATOMS)
    assert validity(molecules) == 1
    assert valid_smiles(molecules) == found.smiles


def test_encoded_molecules_obey_the_rules_of_states():
    state = molecules_from_smiles(list(DRUGS.values()), atoms=ZINC_ATOMS, max_nodes=40).state
    clean = masked(state)
    assert torch.equal(state.adjacency, state.adjacency.mT)
    assert torch.equal(clean.adjacency, state.adjacency)
    assert torch.equal(clean.nodes, state.nodes)
    assert torch.equal(state.nodes.sum(-1), state.mask.float())
    assert set(state.adjacency.unique().tolist()) == {0, 1, 2, 3}
    assert state.nodes.dtype == state.adjacency.dtype == torch.float32


def test_aromatic_rings_have_alternating_bonds():
    state = molecules_from_smiles(["c1ccccc1"]).state
    ring = [state.adjacency[0, i, (i + 1) % 6].item() for i in range(6)]
    assert ring in ([1, 2] * 3, [2, 1] * 3)
    assert state.adjacency.sum() == 18
    assert state.nodes[0, :, 0].tolist() == [1] * 6 + [0] * 3


def test_molecules_that_do_not_fit_are_counted():
    smiles = ["CCO", "CCl", "C" * 10, "[C]$[C]", "C#N"]
    found = molecules_from_smiles(smiles)
    assert found.smiles == ["CCO", "C#N"]
    assert found.num_left_out == 3
    with pytest.raises(ValueError, match="none among 1"):
        molecules_from_smiles(["CCl"])


@pytest.mark.parametrize("bad", ["not a molecule", "C(C)(C)(C)(C)C", "c1cccc1", ""])
def test_smiles_without_a_molecule_are_refused(bad, capfd):
    with pytest.raises(ValueError, match="expected a molecule"):
        molecules_from_smiles(["C", bad])
    assert capfd.readouterr() == ("", "")


def test_noise_below_half_does_not_change_molecules(generator):
    found = molecules_from_smiles(list(DRUGS.values()), atoms=ZINC_ATOMS, max_nodes=38)
    state = found.state
    count = pair_indices(38).shape[1]
    pairs = 0.98 * (torch.rand(len(DRUGS), count, generator=generator) - 0.5)
    nodes = state.nodes + 0.98 * (torch.rand(state.nodes.shape, generator=generator) - 0.5)
    noisy = masked(GraphState(nodes, state.adjacency + from_pairs(pairs, 38), state.mask))
    assert valid_smiles(to_molecules(noisy, atoms=ZINC_ATOMS)) == found.smiles


@pytest.mark.parametrize(
    ("symbols", "bonds"),
    [
        ("FCC", {(0, 1): 2, (1, 2): 1}),
        ("CCCCCC", {(0, i): 1 for i in range(1, 6)}),
        ("OCC", {(0, 1): 2, (0, 2): 2}),
        ("NCC", {(0, 1): 3, (0, 2): 2}),
    ],
)
def test_too_many_bonds_are_invalid(symbols, bonds, capfd):
    molecules = to_molecules(one_state(symbols, bonds))
    assert molecules[0].GetNumBonds() == len(bonds)
    assert validity(molecules) == 0
    assert valid_smiles(molecules) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("centre", "others", "smiles"), [("N", 4, "C[N+](C)(C)C"), ("O", 3, None)])
def test_one_bond_more_makes_a_cation(centre, others, smiles):
    state = one_state(centre + "C" * others, {(0, i): 1 for i in range(1, others + 1)})
    charged = to_molecules(state)
    assert validity(charged) == 1
    assert valid_smiles(charged) == [smiles or "C[O+](C)C"]
    assert validity(to_molecules(state, charged=False)) == 0


def test_nodes_without_a_type_are_no_atoms():
    state = one_state("COC", {(0, 1): 1, (1, 2): 1})
    state.nodes[2] *= 0.5
    assert valid_smiles(to_molecules(state)) == ["CO"]
    (empty,) = to_molecules(state._replace(nodes=state.nodes * 0))
    assert validity([empty]) == 0
    assert valid_smiles([empty]) == []


def test_padding_is_not_built():
    state = one_state("COC", {(0, 1): 1, (1, 2): 1})
    shorter = state._replace(mask=torch.tensor([True, True, False]))
    assert valid_smiles(to_molecules(shorter)) == ["CO"]


def test_pieces_stay_together():
    assert valid_smiles(to_molecules(one_state("CCO", {(0, 1): 1}))) == ["CC.O"]


def test_shares_of_molecules():
    state = molecules_from_smiles(["CO", "OC", "CCO", "CC"]).state
    molecules = [*to_molecules(state), *to_molecules(one_state("FCC", {(0, 1): 1, (0, 2): 1}))]
    assert validity(molecules) == pytest.approx(4 / 5)
    smiles = valid_smiles(molecules)
    assert uniqueness(smiles) == pytest.approx(3 / 4)
    assert novelty(smiles, ["CO", "CCC"]) == pytest.approx(2 / 3)
    assert novelty(smiles, smiles) == 0
    for call in (validity, uniqueness, lambda none: novelty(none, smiles)):
        with pytest.raises(ValueError, match="at least one"):
            call([])


def test_states_that_are_no_molecules_are_refused():
    state = one_state("CO", {(0, 1): 1})
    with pytest.raises(ValueError, match="4 symbols, got 9"):
        to_molecules(state, atoms=ZINC_ATOMS)
    with pytest.raises(ValueError, match="nodes: expected finite"):
        to_molecules(state._replace(nodes=state.nodes * torch.nan))
    with pytest.raises(ValueError, match="adjacency: expected finite"):
        to_molecules(state._replace(adjacency=state.adjacency * torch.inf))


def test_bytes_hold_the_same_molecules():
    smiles = list(DRUGS.values())
    wide = molecules_from_smiles(smiles, atoms=ZINC_ATOMS, max_nodes=38)
    narrow = molecules_from_smiles(smiles, atoms=ZINC_ATOMS, max_nodes=38, dtype=torch.uint8)
    assert narrow.state.nodes.dtype == narrow.state.adjacency.dtype == torch.uint8
    assert narrow.smiles == wide.smiles
    for part, expected in zip(narrow.state, wide.state, strict=True):
        assert torch.equal(part.to(expected.dtype), expected)
    batches = [
        GraphBatches(state, 5, generator=torch.Generator().manual_seed(0)).batch(3)
        for state in (wide.state, narrow.state)
    ]
    for part, expected in zip(batches[1], batches[0], strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=0)
