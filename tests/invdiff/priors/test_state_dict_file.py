import sys
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from invdiff.priors.state_dict_file import read_state_dict

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}
AVERAGES = {name: value + 1 for name, value in WEIGHTS.items()}


def saved(content, path):
    torch.save(content, path)
    return path


def same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def prefixed(weights, prefix):
    return {f"{prefix}{name}": value for name, value in weights.items()}


def score_sde(model, averages):
    return {
        "optimizer": {"state": {}, "param_groups": []},
        "model": model,
        "ema": {"decay": 0.999, "num_updates": 7, "shadow_params": averages},
        "step": 7,
    }


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 3},
        {"model": prefixed(WEIGHTS, "module."), "optimizer": {}},
        {"state_dict": {"net": WEIGHTS}},
        prefixed(WEIGHTS, "module.model."),
        {"ema": AVERAGES, "ema_state_dict": AVERAGES, "model_state_dict": WEIGHTS},
    ],
)
def test_finds_the_network_wherever_a_training_keeps_it(tmp_path, content):
    same(read_state_dict(saved(content, tmp_path / "a.pt"), ema=False), WEIGHTS)


@pytest.mark.parametrize("name", ["a.safetensors", "a.bin"])
def test_safetensors_are_known_by_their_content(tmp_path, name):
    save_file(prefixed(WEIGHTS, "model."), tmp_path / name)
    same(read_state_dict(tmp_path / name), WEIGHTS)


def test_files_of_before_the_zip_format(tmp_path):
    torch.save(WEIGHTS, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    same(read_state_dict(tmp_path / "a.pt"), WEIGHTS)


@pytest.mark.parametrize("key", ["ema", "model_ema", "ema_state_dict"])
def test_averages_come_first(tmp_path, key):
    path = saved({"state_dict": WEIGHTS, key: AVERAGES}, tmp_path / "a.pt")
    same(read_state_dict(path), AVERAGES)
    same(read_state_dict(path, ema=False), WEIGHTS)


def test_averages_of_score_sde_are_a_list_of_what_was_trained(tmp_path):
    # buffers and the frozen frequencies are in the state, not in the list
    fixed = {"sigmas": torch.full((4,), 5.0), "all_modules.0.W": torch.full((3,), 6.0)}
    model = prefixed(fixed | WEIGHTS, "module.")
    path = saved(score_sde(model, list(AVERAGES.values())), tmp_path / "checkpoint.pth")
    same(read_state_dict(path), fixed | AVERAGES)
    same(read_state_dict(path, ema=False), fixed | WEIGHTS)


@pytest.mark.parametrize(
    ("averages", "match"),
    [
        (list(AVERAGES.values())[:1], "expected averages of 2 parameters, got 1"),
        (None, "expected averages of 2 parameters, got NoneType"),
        (list(AVERAGES.values())[::-1], r"the average in the place of a\.weight has another shape"),
    ],
)
def test_refuses_averages_of_another_network(tmp_path, averages, match):
    path = saved(score_sde(WEIGHTS, averages), tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match=match):
        read_state_dict(path)


class Code:
    """An object whose pickle runs code of its module, as EDM's networks do."""

    def __reduce__(self):
        return (sys.exit, (3,))


@pytest.mark.parametrize("form", ["zip", "before zip", "bare"])
def test_says_how_to_convert_a_pickle_of_code(tmp_path, form):
    path, content = tmp_path / "net.pkl", {"ema": Code()}
    if form == "bare":
        # the protocol's number, a dictionary and the call of sys.exit(3)
        path.write_bytes(b"\x80\x04}\x8c\x03emacsys\nexit\nK\x03\x85Rs.")
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ValueError, match=r"runs code: load it in the project .* safetensors") as e:
        read_state_dict(path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_refuses_what_is_damaged_in_one_line(tmp_path, name, content):
    path = tmp_path / name
    if content is None:
        torch.save(WEIGHTS, path) if name == "a.pt" else save_file(WEIGHTS, path)
        content = path.read_bytes()[:-20]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a readable|nor a readable") as error:
        read_state_dict(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))


def test_refuses_what_is_missing_or_holds_no_network(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.pt: not a readable file \(No such file"):
        read_state_dict(tmp_path / "absent.pt")
    with pytest.raises(ValueError, match=r"not a readable file \(Is a directory"):
        read_state_dict(tmp_path)
    for content in ([torch.ones(2)], {}, {"model": {}}, {"state_dict": 3}, torch.ones(2)):
        with pytest.raises(ValueError, match="no tensors by name"):
            read_state_dict(saved(content, tmp_path / "a.pt"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", "a")
    with pytest.raises(ValueError, match=r"readable file of torch\.save"):
        read_state_dict(tmp_path / "a.zip")
