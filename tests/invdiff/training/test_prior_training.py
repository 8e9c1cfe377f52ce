"""The training of a prior: the same on one process, on two, and after it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import prior_training_run as small
import pytest
import torch
from safetensors.torch import load_file

from invdiff.rng import derive_generator
from invdiff.training.batches import Batches
from invdiff.training.prior import heldout_losses
from invdiff.training.processes import Processes

ROOT = Path(__file__).parents[3]


def test_every_slice_comes_once_in_an_epoch():
    batches = Batches(12, 8, 4, seed=2)
    seen = torch.cat([batches.indices(step, part) for step in range(6) for part in range(4)])
    for epoch in seen.reshape(4, 12):
        assert epoch.sort().values.tolist() == list(range(12))
    assert not torch.equal(seen[:12], seen[12:24])


def test_parts_of_a_batch_do_not_depend_on_their_number_of_processes():
    batches = Batches(12, 8, 4, seed=2)
    again = [batches.generator(5, part, "cpu").initial_seed() for part in range(4)]
    assert len(set(again)) == 4
    assert Batches(12, 8, 2).part_size == 4


@pytest.mark.parametrize("numbers", [(0, 8, 4), (12, 8, 3), (12, 0, 1), (12, 8, 0)])
def test_refuses_batches_without_equal_parts(numbers):
    with pytest.raises(ValueError, match="equal parts, got"):
        Batches(*numbers)


def relative(found, expected):
    """Compare all weights together.

    Biases before a normalisation have no gradient but rounding, which Adam makes as large as any:
    each for itself, they would differ by a step.
    """
    names = [name for name in expected if not name.endswith(("bias", "losses"))]
    error = torch.stack([(found[name] - expected[name]).norm() for name in names]).norm()
    return float(error / torch.stack([expected[name].norm() for name in names]).norm())


def test_passes_change_nothing_but_rounding():
    once, losses = small.trained(num_steps=6)
    often, again = small.trained(num_steps=6, num_passes=4)
    torch.testing.assert_close(again, losses, rtol=1e-5, atol=0)
    assert relative(often.state_dict(), once.state_dict()) < 1e-5


def test_the_loss_falls_and_a_killed_training_ends_with_the_same_bits(tmp_path):
    expected, losses = small.trained(num_steps=20)
    assert losses[-5:].mean() < losses[:5].mean()

    def killed(step):
        if step.step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.trained(tmp_path, 20, callback=killed)
    found, again = small.trained(tmp_path, 20)
    assert torch.equal(again, losses)
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_a_network_is_told_the_class_or_that_there_is_none(dropout):
    told = []
    network = small.network(3)
    network.register_forward_pre_hook(
        lambda _, args, kwargs: told.append(kwargs["class_labels"].clone()), with_kwargs=True
    )
    slices = small.slices(num_classes=3)
    small.train_prior(network, slices, small.recipe(3, label_dropout=dropout), seed=3)
    labels = torch.cat(told)
    batches = Batches(len(slices), 8, 4, 3)
    index = torch.cat([batches.indices(step, part) for step in range(3) for part in range(4)])
    assert torch.equal(labels, torch.full_like(labels, 3) if dropout else slices.labels[index])


def test_held_out_losses_are_one_a_slice_whatever_the_batch():
    network, slices = small.network().eval(), small.slices()
    objective = small.recipe().objective
    few, many = (
        heldout_losses(
            network, slices, objective, generator=derive_generator(0, "noise"), batch_size=size
        )
        for size in (24, 32)
    )
    assert few.shape == (24,)
    torch.testing.assert_close(few, many)


def launched(folder, count, num_steps):
    """Run the training in so many processes, as a launcher would start them."""
    folder.mkdir(exist_ok=True)
    script = str(Path(__file__).with_name("prior_training_run.py"))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "0",
    }
    if count == 1:
        command = [sys.executable, script]
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                   f"--nproc-per-node={count}", script]  # fmt: skip
    subprocess.run(
        [*command, str(folder), str(num_steps)], env=environment, check=True, timeout=120
    )
    return load_file(folder / "rank0.safetensors")


def test_two_processes_train_as_one(tmp_path):
    one = launched(tmp_path / "one", 1, 20)
    two = launched(tmp_path / "two", 2, 20)
    other = load_file(tmp_path / "two" / "rank1.safetensors")
    assert relative(two, one) < 1e-5
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=0)
    assert all(torch.equal(other[name], value) for name, value in two.items())


def test_parts_that_cannot_be_shared_are_refused():
    processes = Processes()
    processes.count = 3
    with pytest.raises(ValueError, match="4 parts of a batch cannot be shared by 3"):
        processes.share(4)


def test_processes_that_see_different_checkpoints_are_refused(tmp_path):
    class Other(Processes):
        def told(self, message):
            return "8"

    with pytest.raises(ValueError, match="goes on from step 0, the main one from 8"):
        small.trained(tmp_path, 4, processes=Other())
