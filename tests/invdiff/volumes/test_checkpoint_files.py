import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from invdiff.likelihood import Likelihood
from invdiff.volumes import (
    Execution,
    FileCheckpoints,
    QuadraticZ,
    RedDiff3D,
    SlicePrior,
    Together,
    TotalVariationZ,
    fingerprint,
)
from operators import Blur, GaussianNoise, SliceStack, gaussian_psf

SLICES, SIZE, STEPS = 5, 16, 8
SETTINGS = {"sampler": "RedDiff3D", "seed": "1"}
ROOT = Path(__file__).parents[3]


class Inner(NamedTuple):
    a: torch.Tensor
    b: tuple[torch.Tensor, ...]


class State(NamedTuple):
    x: torch.Tensor
    inner: Inner


class Shrinking:
    """The posterior mean of a standard normal prior about 1 / 2."""

    data_range = (0.0, 1.0)
    image_shape = (SIZE, SIZE)

    def __call__(self, x, sigma):
        return 0.5 + (x - 0.5) / (1 + sigma[..., None, None] ** 2)


def sampler():
    return RedDiff3D(num_steps=STEPS, coupling=Together((TotalVariationZ(), QuadraticZ())))


def problem(seed=2):
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(SLICES, SIZE, SIZE, generator=generator)
    stack = SliceStack(Blur(gaussian_psf(1.0, 3), (SIZE, SIZE)), SLICES)
    return Likelihood(stack, GaussianNoise(0.05), y)


def run(checkpoints=None, callback=None, num_samples=1, execution=None):
    return sampler().sample(
        problem(),
        SlicePrior(Shrinking(), SLICES),
        num_samples,
        generator=torch.Generator().manual_seed(7),
        checkpoints=checkpoints,
        callback=callback,
        execution=execution,
    )


def named():
    return fingerprint(sampler(), problem(), 1, torch.Generator().manual_seed(7))


def killed_run(folder, step):
    """Run in a process of its own until a step, and die there."""

    def die(progress):
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    run(FileCheckpoints(folder, named(), every=2), die)


def state(value=1.0):
    b = (torch.full((3,), value, dtype=torch.complex64), torch.tensor(int(value)))
    return State(torch.full((2, 3), value, dtype=torch.float64), Inner(torch.tensor(value), b))


def assert_same(tree, expected):
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(tree, expected, rtol=0, atol=0)
    else:
        assert len(tree) == len(expected)
        for branch, other in zip(tree, expected, strict=True):
            assert_same(branch, other)


@pytest.fixture(scope="module")
def uninterrupted():
    return run().values


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, uninterrupted):
    code = f"import test_checkpoint_files as t; t.killed_run({str(tmp_path)!r}, 5)"
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    child = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert child.returncode == -signal.SIGKILL
    steps = []
    resumed = run(FileCheckpoints(tmp_path, named()), lambda p: steps.append((p.step, p.num_steps)))
    assert torch.equal(resumed.values, uninterrupted)
    # progress goes on from the step it had come to
    assert steps == [(i, STEPS) for i in range(4, STEPS)]


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_in_files_on_disk_resumes_to_the_same_bits(tmp_path, every, uninterrupted):
    execution = Execution(storage="disk", folder=tmp_path / "volumes")

    class Stop(Exception):
        pass

    def stop(progress):
        if progress.step == 6:
            raise Stop

    with pytest.raises(Stop):
        run(FileCheckpoints(tmp_path, named(), every=every), stop, execution=execution)
    resumed = run(FileCheckpoints(tmp_path, named()), execution=execution)
    assert torch.equal(resumed.values, run(execution=execution).values)
    torch.testing.assert_close(resumed.values, uninterrupted, rtol=0, atol=1e-5)


def test_nested_states_come_back(tmp_path):
    FileCheckpoints(tmp_path, SETTINGS).save(3, state(2.5))
    step, parts = FileCheckpoints(tmp_path, SETTINGS).load()
    assert step == 3
    assert_same(State(parts[0], Inner(*parts[1])), state(2.5))


def test_other_readers_of_safetensors_take_the_files(tmp_path):
    FileCheckpoints(tmp_path, SETTINGS).save(3, state(2.5))
    (path,) = tmp_path.iterdir()
    found = load_file(path)
    torch.testing.assert_close(found["0"], state(2.5).x)
    assert found["2"].shape == (3, 2)  # real and imaginary part


def test_large_and_strided_tensors_are_written_piece_by_piece(tmp_path, generator):
    x = torch.randn(3, 700, 700, 2, generator=generator)
    strided = torch.view_as_complex(x).transpose(0, 2)
    FileCheckpoints(tmp_path, SETTINGS).save(1, (strided, x[:1].expand(3, -1, -1, -1)))
    _, parts = FileCheckpoints(tmp_path, SETTINGS).load()
    assert_same(parts, (strided, x[:1].expand(3, -1, -1, -1)))


def test_nothing_is_found_at_the_start(tmp_path):
    assert FileCheckpoints(tmp_path / "none", SETTINGS).load() is None


def test_every_counts_steps_and_two_files_are_kept(tmp_path):
    checkpoints = FileCheckpoints(tmp_path, SETTINGS, every=3)
    kept = []
    for step in range(11):
        checkpoints.save(step, state())
        kept.append(sorted(int(path.name[-18:-12]) for path in tmp_path.iterdir()))
    assert kept[2] == []
    assert kept[3] == [3]
    assert kept[10] == [6, 9]
    checkpoints.delete()
    assert list(tmp_path.iterdir()) == []


def test_seconds_space_checkpoints(tmp_path):
    rare = FileCheckpoints(tmp_path, SETTINGS, seconds=1000)
    rare.save(4, state())
    assert rare.load() is None
    often = FileCheckpoints(tmp_path, SETTINGS, seconds=0)
    often.save(4, state())
    assert often.load()[0] == 4


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_truncated_file_is_passed_over_for_the_one_before(tmp_path, size, caplog):
    checkpoints = FileCheckpoints(tmp_path, SETTINGS)
    checkpoints.save(1, state(1.0))
    checkpoints.save(2, state(2.0))
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:size])
    step, parts = checkpoints.load()
    assert step == 1
    assert_same(parts, state(1.0))
    assert newest.name in caplog.text


def test_broken_files_alone_are_an_error(tmp_path):
    FileCheckpoints(tmp_path, SETTINGS).save(1, state())
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="delete the folder to start anew"):
        FileCheckpoints(tmp_path, SETTINGS).load()


def test_a_file_that_is_being_written_does_not_count(tmp_path):
    checkpoints = FileCheckpoints(tmp_path, SETTINGS)
    checkpoints.save(1, state())
    (path,) = tmp_path.iterdir()
    (tmp_path / f".{path.name.replace('1.', '2.')}.new").write_bytes(path.read_bytes()[:20])
    assert checkpoints.load()[0] == 1


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    checkpoints = FileCheckpoints(tmp_path, SETTINGS)
    checkpoints.save(1, state(1.0))

    def full(file, tensor):
        raise OSError("no space left")

    monkeypatch.setattr("invdiff.volumes.checkpoint_file._write", full)
    with pytest.raises(OSError, match="no space left"):
        checkpoints.save(1, state(2.0))
    assert_same(checkpoints.load()[1], state(1.0))


def test_another_run_is_refused_by_name(tmp_path):
    FileCheckpoints(tmp_path, SETTINGS).save(1, state())
    other = FileCheckpoints(tmp_path, {"sampler": "RedDiff3D", "seed": "2"})
    with pytest.raises(ValueError, match="another run: seed was 1, is 2"):
        other.load()


@pytest.mark.parametrize("changed", ["sampler.num_steps", "seed", "measurements", "num_samples"])
def test_the_fingerprint_names_what_changed(changed):
    method, likelihood, count = sampler(), problem(), 1
    generator = torch.Generator().manual_seed(7)
    if changed == "sampler.num_steps":
        method = RedDiff3D(num_steps=STEPS + 1, coupling=method.coupling)
    if changed == "seed":
        generator.manual_seed(8)
    if changed == "measurements":
        likelihood = problem(seed=3)
    if changed == "num_samples":
        count = 2
    other, same = fingerprint(method, likelihood, count, generator), named()
    assert {name for name in same if same[name] != other[name]} == {changed}


def test_ranks_go_on_from_a_step_that_all_have(tmp_path):
    first, second = (FileCheckpoints(tmp_path, SETTINGS, rank=r, num_ranks=2) for r in (0, 1))
    for step in (1, 2):
        first.save(step, state(10.0 + step))
    second.save(1, state(21.0))
    for checkpoints, value in ((first, 11.0), (second, 21.0)):
        step, parts = checkpoints.load()
        assert step == 1
        assert_same(parts, state(value))
    # another number of ranks has other slices
    assert FileCheckpoints(tmp_path, SETTINGS).load() is None


def test_bad_settings_of_checkpoints_are_refused(tmp_path):
    for bad in ({"every": 0}, {"rank": 2, "num_ranks": 2}, {"seconds": -1.0}):
        with pytest.raises(ValueError, match="expected every >= 1"):
            FileCheckpoints(tmp_path, SETTINGS, **bad)
    with pytest.raises(ValueError, match="several ranks"):
        FileCheckpoints(tmp_path, SETTINGS, seconds=5.0, num_ranks=2)
    with pytest.raises(TypeError, match="tensors in tuples, got list"):
        FileCheckpoints(tmp_path, SETTINGS).save(1, [torch.ones(1)])
