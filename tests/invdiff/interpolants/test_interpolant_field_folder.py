import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from invdiff.interpolants import gammas, paths
from invdiff.interpolants.field_folder import load_field, save_field
from invdiff.interpolants.interpolant import Mirror, OneSided, TwoSided, foellmer
from invdiff.interpolants.networks import FieldMLP, FieldUNet
from invdiff.interpolants.settings import interpolant_from_settings, interpolant_settings
from invdiff.interpolants.skip import GaussianSkip
from invdiff.rng import derive_generator
from invdiff.training import drawn_network

INTERPOLANTS = [
    OneSided(),
    OneSided(paths.TrigonometricPath()),
    TwoSided(paths.PowerPath(3.0), gammas.BrownianGamma(0.5)),
    TwoSided(paths.EncodingDecodingPath(), gammas.SineSquaredGamma()),
    TwoSided(gamma=gammas.SigmoidGamma(8.0)),
    TwoSided(gamma=gammas.NoGamma()),
    Mirror(gammas.QuadraticGamma()),
    foellmer(0.7),
]
SETTINGS, WEIGHTS = "field.json", "weights.safetensors"


def perceptron():
    network = FieldMLP(2, 8, 2, condition_dim=1, frequencies=2, input_frequencies=3)
    torch.nn.init.ones_(network.layers[-1].weight)
    return network


def drawn(build):
    return drawn_network(build, generator=derive_generator(0)).eval()


@pytest.fixture
def folder(tmp_path):
    save_field(tmp_path / "field", drawn(perceptron), OneSided(), "b", {"title": "Tiny"})
    return tmp_path / "field"


def changed(folder, change):
    path = folder / SETTINGS
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))


@pytest.mark.parametrize("interpolant", INTERPOLANTS)
def test_interpolants_come_back_from_their_settings(interpolant):
    text = json.dumps(interpolant_settings(interpolant))
    assert interpolant_from_settings(json.loads(text)) == interpolant


def test_a_field_comes_back(folder):
    saved, network = load_field(folder), drawn(perceptron)
    x, condition = torch.ones(3, 2), torch.ones(3, 1)
    t = torch.tensor(0.3)
    assert torch.equal(saved.network(x, t, condition), network(x, t, condition))
    assert (saved.interpolant, saved.objective) == (OneSided(), "b")
    assert saved.info == {"title": "Tiny"}
    assert not saved.network.training


def test_a_skip_and_images_come_back(tmp_path):
    interpolant = TwoSided(gamma=gammas.BrownianGamma(0.5))

    def build():
        unet = FieldUNet(1, 1, patch=1, widths=(16, 32))
        return GaussianSkip(unet, interpolant, "eta", base_std=0.5, target_std=2.0)

    network = drawn(build)
    save_field(tmp_path, network, interpolant, "eta")
    x, t = torch.ones(2, 1, 4, 4), torch.tensor([0.1, 0.8])
    found = load_field(tmp_path).network
    with torch.no_grad():
        assert torch.equal(found(x, t, 2 * x), network(x, t, 2 * x))


def test_nothing_is_drawn_from_the_default_generator(folder):
    before = torch.random.get_rng_state()
    load_field(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_skip_of_another_field_is_not_saved(tmp_path):
    network = GaussianSkip(FieldMLP(2, 8), OneSided(), "b")
    with pytest.raises(ValueError, match="expected b of OneSided"):
        save_field(tmp_path, network, OneSided(), "s")


def test_unknown_networks_and_interpolants_are_not_saved(tmp_path):
    class Other(OneSided):
        pass

    with pytest.raises(ValueError, match="expected one of FieldMLP, FieldUNet, got Linear"):
        save_field(tmp_path, torch.nn.Linear(2, 2), OneSided(), "b")
    with pytest.raises(ValueError, match="got Other"):
        save_field(tmp_path, FieldMLP(2, 8), Other(), "b")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: s.update(objective="x"), "objective"),
        (lambda s: s.pop("network"), "no 'network'"),
        (lambda s: s["network"].update(kind="Transformer"), "FieldMLP, FieldUNet, got"),
        (lambda s: s["network"].update(kind=[1]), "unhashable"),
        (lambda s: s["network"]["settings"].update(depth=0), "at least 1"),
        (lambda s: s["network"]["settings"].update(heads=2), "heads"),
        (lambda s: s["network"].update(skip={"target_std": -1.0}), "target_std > 0"),
        (lambda s: s["interpolant"].update(kind="ThreeSided"), "unknown kind 'ThreeSided'"),
        (lambda s: s["interpolant"].pop("path"), r"expected \['path'\]"),
        (lambda s: s["interpolant"].update(path=3), "unknown kind None"),
        (lambda s: s["interpolant"].update(path={"kind": "NoGamma"}), "expected a path"),
        (
            lambda s: s["interpolant"].update(path={"kind": "PowerPath", "power": "2"}),
            "expected a number as power",
        ),
        (
            lambda s: s["interpolant"].update(path={"kind": "PowerPath", "power": 0.5}),
            "expected power >= 1",
        ),
        (lambda s: s.update(interpolant={"kind": "LinearPath"}), "expected an interpolant"),
        (lambda s: s.pop("info"), "info"),
    ],
)
def test_settings_that_are_wrong_are_refused_in_one_line(folder, change, complaint):
    changed(folder, change)
    with pytest.raises(ValueError, match=complaint) as caught:
        load_field(folder)
    assert SETTINGS in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files_are_refused(folder):
    for name in (WEIGHTS, SETTINGS):
        path = folder / name
        path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(ValueError, match=f"{name}: not a readable"):
            load_field(folder)
        path.unlink()
        with pytest.raises(ValueError, match=f"{name}: not a readable"):
            load_field(folder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda w: w.pop("layers.0.weight"), "missing or unknown, such as layers.0.weight"),
        (lambda w: w.update(more=torch.ones(1)), "missing or unknown, such as more"),
        (lambda w: w.update({"layers.0.bias": torch.ones(3)}), "expected layers.0.bias of shape"),
        (lambda w: w.update({"layers.0.bias": torch.ones(8).half()}), "got .*float16"),
        (lambda w: w["layers.0.bias"].fill_(torch.nan), "layers.0.bias is not finite"),
    ],
)
def test_other_tensors_are_refused(folder, change, complaint):
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(ValueError, match=complaint):
        load_field(folder)
