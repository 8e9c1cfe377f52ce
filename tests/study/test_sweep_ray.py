"""A sweep on a cluster of two machines, one of which is lost midway."""

import csv
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from invdiff.study.cli import main

pytest.importorskip("ray")

SWEEP = {
    "kind": "sweep",
    "base": {"kind": "gaussian-calibration", "size": 8, "num_samples": 8},
    "axes": {
        "keep": {"key": "keep", "values": [0.3, 0.5, 0.7]},
        "method": [
            {"name": "RED-diff", "set": {"samplers": [{"kind": "red-diff", "num_steps": 3}]}},
            {"name": "DDRM", "set": {"samplers": [{"kind": "ddrm", "num_steps": 3}]}},
        ],
        "noise": {"key": "sigma", "values": [0.1, 0.2]},
        "seed": {"key": "seed", "values": [0, 1]},
    },
    "repeats": ["seed"],
}
FINISHED = "cells/*/report.html"


@pytest.fixture(scope="module")
def cluster():
    """Two machines of one worker each, in the sense of Ray."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    from ray.cluster_utils import Cluster

    machine = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    # one that was killed refuses at once; one that is busy has ten seconds for an answer
    watch = {"health_check_period_ms": 500, "health_check_timeout_ms": 10_000,
             "health_check_initial_delay_ms": 0, "health_check_failure_threshold": 4,
             # those that wait for tasks of any kind are none that cells can use
             "enable_worker_prestart": False, "prestart_worker_first_driver": False}  # fmt: skip
    head = {**machine, "include_dashboard": False, "_system_config": watch}
    cluster = Cluster(True, False, head)
    cluster.add_node(**machine)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(SWEEP, sort_keys=False))
    return str(path)


def untimed(path):
    with path.open(newline="") as file:
        return [
            {k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)
        ]


def rows_of(path):
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if "seconds" not in row["metric"]]


def wait_for(count, out):
    deadline = time.monotonic() + 300
    while len(list(out.glob(FINISHED))) < count and time.monotonic() < deadline:
        time.sleep(0.02)


def workers_of(raylet):
    """Processes that a machine runs cells in; other children are its own, and it dies with them."""
    children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
    return [int(c) for c in children if "ray::_exec" in title_of(c)]


def title_of(process):
    # it may be gone in between
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text()
    return ""


def kill_a_worker_then_a_machine(cluster, out, killed):
    # the command is connected to the first, which has to live as long as it does
    first, second = (n.all_processes["raylet"][0].process.pid for n in cluster.list_all_nodes())
    wait_for(6, out)
    while not killed and len(list(out.glob(FINISHED))) < 20:
        for worker in workers_of(first)[:1]:
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
        time.sleep(0.01)
    wait_for(10, out)
    os.kill(second, signal.SIGKILL)
    killed.append(second)


@pytest.mark.slow
def test_nothing_is_lost_with_a_worker_and_a_machine_killed_midway(cluster, study, tmp_path):
    here, there, killed = tmp_path / "here", tmp_path / "there", []
    assert main(["sweep", study, "--out", str(here), "--workers", "0"]) == 0
    killer = threading.Thread(target=kill_a_worker_then_a_machine, args=(cluster, there, killed))
    killer.start()
    assert main(["sweep", study, "--out", str(there), "--ray", cluster.address]) == 0
    killer.join()
    assert len(killed) == 2
    assert len(list((there / "cells").iterdir())) == len(list(there.glob(FINISHED))) == 24
    assert untimed(there / "table.csv") == untimed(here / "table.csv")
    assert rows_of(there / "summary.csv") == rows_of(here / "summary.csv")
