import os
import re
import subprocess
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from invdiff.rng import derive_generator
from invdiff.volumes import (
    RankSplit,
    RedDiff3D,
    TotalVariationZ,
    Whole,
    device_of_environment,
    process_group,
    split_of_environment,
)
from tests.invdiff.volumes.rank_runs import problem

ROOT = Path(__file__).parents[3]
RUN = """
import sys
import torch
from safetensors.torch import save_file
from invdiff.rng import derive_generator
from invdiff.volumes import *
from tests.invdiff.volumes.rank_runs import SLICES, problem

torch.set_num_threads(1)
with process_group():
    split = split_of_environment(SLICES)
    whole, prior = problem("float32")
    samples = RedDiff3D(num_steps=4, coupling=TotalVariationZ(0.3)).sample(
        local_likelihood(whole, split),
        local_prior(prior, split),
        generator=derive_generator(1),
        split=split,
    )
    volume = split.collect(samples.values)
    if split.is_main:
        save_file({"volume": volume}, sys.argv[1])
    print(f"rank {split.rank} holds {split.count}, main {split.is_main}")
assert not torch.distributed.is_initialized()
"""


def torchrun(folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "run.py"
    script.write_text(RUN)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, str(script), str(folder / "volume")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_torchrun_gives_the_volume_of_one_process(tmp_path):
    done = torchrun(tmp_path)
    assert done.returncode == 0, done.stderr
    # both write to one pipe, whose lines may run into each other
    assert sorted(re.findall(r"rank \d holds \d, main (?:True|False)", done.stdout)) == [
        "rank 0 holds 4, main True",
        "rank 1 holds 3, main False",
    ]
    likelihood, prior = problem("float32")
    alone = RedDiff3D(num_steps=4, coupling=TotalVariationZ(0.3)).sample(
        likelihood, prior, generator=derive_generator(1)
    )
    volume = load_file(tmp_path / "volume")["volume"]
    torch.testing.assert_close(volume, alone.values, rtol=1e-5, atol=0)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1"}], ids=["without", "one rank"])
def test_one_process_holds_the_whole(monkeypatch, environment):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with process_group():
        assert split_of_environment(5) == Whole(5)
        assert not dist.is_initialized()


@pytest.mark.parametrize("fails", [False, True])
def test_the_group_lasts_as_long_as_its_context(monkeypatch, fails):
    """As rank 0 of two would be, with a group that is there already."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    dist.init_process_group(
        "gloo", store=dist.HashStore(), rank=0, world_size=1, timeout=timedelta(seconds=5)
    )
    with pytest.raises(ArithmeticError) if fails else nullcontext(), process_group():
        split = split_of_environment(5)
        assert isinstance(split, RankSplit)
        assert (split.first, split.count, split.is_main) == (0, 5, True)
        if fails:
            raise ArithmeticError
    assert not dist.is_initialized()


def test_every_rank_has_a_device_of_its_own(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of_environment() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of_environment() == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="local rank 1 needs a GPU of its own, and there are 1"):
        device_of_environment()
