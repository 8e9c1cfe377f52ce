"""A killed training ends with the bits of one that wasn't; other files are refused."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from invdiff.rng import derive_generator
from invdiff.training import Training, drawn_network, train
from invdiff.training.resume import TrainingCheckpoint

NUM_STEPS, KILLED = 12, 8
TRAININGS = {
    "cosine": Training(NUM_STEPS, 1e-2, 3, ema_decay=0.9, dtype=torch.float32),
    "half": Training(NUM_STEPS, 1e-2, 3, ema_decay=0.9, dtype=torch.bfloat16),
    "plain": Training(
        NUM_STEPS, 1e-2, 0, ema_decay=0.9, dtype=torch.float32, rate_decay=0.9, decay_steps=2,
        decoupled=False, growing_ema=True,
    ),
}  # fmt: skip


class Killed(Exception):
    """Stands for the end of a process."""


def built():
    """Layers with a buffer and convolutions whose weights are laid out channels last."""
    layers = (nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 1, 1))
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def checkpoint_of(path, generators, every=3, about="data"):
    return TrainingCheckpoint(path, {"data": about}, every=every, generators=generators)


def trained(training, path=None, *, killed=None, network=None, every=3, about="data",
            device="cpu"):  # fmt: skip
    """Return network, average and the losses told; raise ``Killed`` after a step."""
    generator = derive_generator(0, "resume", device=device)
    network = drawn_network(network or built, generator=generator)
    losses = []

    def loss(current, step):
        x = torch.randn(6, 2, 5, 5, generator=generator, device=device)
        return (current(x).float() - x[:, :1, 1:-1, 1:-1] ** 2).square().mean()

    def callback(step):
        losses.append((step.step, float(step.loss)))
        if step.step == killed:
            raise Killed

    checkpoint = path and checkpoint_of(path, (generator,), every, about)
    average = train(network, loss, training, checkpoint=checkpoint, callback=callback)
    return network, average, losses


def assert_same_bits(found, expected):
    for a, b in zip(found[:2], expected[:2], strict=True):
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name]), name
    assert found[2] == expected[2]


@pytest.mark.parametrize("kind", TRAININGS)
@pytest.mark.parametrize("every", [1, 3, 7])
def test_a_killed_training_ends_with_the_same_bits(tmp_path, kind, every):
    training, path = TRAININGS[kind], tmp_path / "run" / "state.safetensors"
    with pytest.raises(Killed):
        trained(training, path, killed=KILLED, every=every)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert_same_bits(trained(training, path, every=every), trained(training))


def test_a_training_may_be_killed_often_or_before_its_first_checkpoint(tmp_path):
    training, path = TRAININGS["cosine"], tmp_path / "state.safetensors"
    for killed in (1, 4, 4, 7, 11):
        with pytest.raises(Killed):
            trained(training, path, killed=killed)
    assert_same_bits(trained(training, path), trained(training))


def test_a_training_may_go_on_with_other_times_of_its_checkpoints(tmp_path):
    training, path = TRAININGS["plain"], tmp_path / "state.safetensors"
    for killed, every in ((5, 3), (9, 4), (10, 1)):
        with pytest.raises(Killed):
            trained(training, path, killed=killed, every=every)
    found = trained(training, path, every=100)
    assert_same_bits(found, trained(training))
    assert [step for step, _ in found[2]] == list(range(NUM_STEPS))


def linear():
    """Layers whose gradients are the same in each run on a GPU."""
    return nn.Sequential(nn.Flatten(), nn.Linear(50, 9), nn.Unflatten(1, (1, 3, 3)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_killed_training_on_a_gpu_ends_with_the_same_bits(tmp_path):
    for kind, training in TRAININGS.items():
        run = {"network": linear, "device": "cuda"}
        with pytest.raises(Killed):
            trained(training, tmp_path / kind, killed=KILLED, **run)
        assert_same_bits(trained(training, tmp_path / kind, **run), trained(training, **run))


def test_a_finished_training_is_not_run_again(tmp_path):
    training, path = TRAININGS["cosine"], tmp_path / "state.safetensors"
    first = trained(training, path, every=5)
    written = path.read_bytes()
    again = trained(training, path, every=5)
    assert_same_bits(again, first)
    assert not again[1].training
    assert path.read_bytes() == written
    checkpoint_of(path, ()).delete()
    assert not path.exists()


def test_checkpoints_change_nothing(tmp_path):
    for training in TRAININGS.values():
        path = tmp_path / f"{training.dtype}{training.decoupled}"
        assert_same_bits(trained(training, path), trained(training))


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        trained(TRAININGS["cosine"], found, killed=KILLED)
    return found


def refusal(path, **choices):
    with pytest.raises(ValueError, match=path.name) as caught:
        trained(TRAININGS["cosine"], path, **choices)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_refuses_a_damaged_file(path, length):
    path.write_bytes(path.read_bytes()[:length])
    assert "not a readable checkpoint" in refusal(path)


def test_refuses_a_file_of_something_else(path):
    save_file({"x": torch.zeros(2)}, path)
    assert "not a readable checkpoint" in refusal(path)
    save_file({"x": torch.zeros(2)}, path, {"about": "[" * 100_000})
    assert "not a readable checkpoint" in refusal(path)
    save_file({"x": torch.zeros(2)}, path, {"about": "[1]"})
    assert "not a readable checkpoint" in refusal(path)


def test_refuses_another_training(path):
    assert "data was data, is other" in refusal(path, about="other")
    with pytest.raises(ValueError, match=r"training was .*float32.*, is .*bfloat16"):
        trained(TRAININGS["half"], path)


def test_refuses_another_network(path):
    message = refusal(path, network=lambda: nn.Sequential(nn.Conv2d(2, 1, 3)))
    assert "missing or unknown" in message
    message = refusal(path, network=lambda: built().append(nn.Identity()).double())
    assert "float64" in message


def rewritten(path, change):
    """Change the tensors of a checkpoint, and keep what is said about it."""
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, about)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("losses"), "losses"),
        (lambda t: t.pop("generators.0"), "generators"),
        (lambda t: t.update({"generators.0": torch.zeros(3, dtype=torch.uint8)}), ""),
        (lambda t: t.update({"network.0.weight": torch.zeros(1)}), "0.weight"),
        (lambda t: t.pop("average.0.weight"), "0.weight"),
        (lambda t: t.update({"optimizer.0.exp_avg": torch.zeros(1)}), "exp_avg"),
        (lambda t: t.pop("optimizer.0.exp_avg"), "optimizer"),
        (lambda t: t.update({"optimizer.99.step": torch.zeros(())}), "unknown"),
        (lambda t: t.update({"losses": torch.zeros(2, 2)}), "losses"),
    ],
)
def test_refuses_files_that_lack_a_part(path, change, told):
    rewritten(path, change)
    assert told in refusal(path)


def test_refuses_numbers_out_of_their_range():
    with pytest.raises(ValueError, match=r"every.*got 0"):
        TrainingCheckpoint("x", {}, every=0, generators=())
