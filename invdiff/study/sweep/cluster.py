"""Cells on a cluster through Ray; every machine sees the same folders and has the same packages."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from invdiff.study.sweep.cells import Cell
from invdiff.study.sweep.config import Sweep
from invdiff.study.sweep.environment import thread_variables
from invdiff.study.sweep.folders import Status, SweepFolder
from invdiff.study.sweep.local import Report

__all__ = ["check_address", "run_on_ray"]

_ADDRESS = re.compile(r"auto|local|ray://.+|[^/:\s]+:\d+")
# how often Ray starts a cell again whose worker or machine is gone
_RETRIES = 3
_PROBE_SECONDS = 120
# cells hand over no arrays, their results are files
_STORE_BYTES = 100 * 2**20
_SWITCHES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def check_address(address: str) -> None:
    """Refuse an address that can't be one, or to go on without the package.

    Args:
        address: "auto" finds a cluster that runs on this machine, "local" starts one for the
            sweep; otherwise "host:port" or "ray://host:port".

    Raises:
        ValueError: One line.
    """
    from importlib.util import find_spec

    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"--ray: expected auto, local, host:port or ray://..., got {address!r}")
    if find_spec("ray") is None:
        raise ValueError("--ray needs the package ray: pip install 'invdiff[cluster]'")


def run_on_ray(
    cells: Sequence[Cell],
    folder: SweepFolder,
    sweep: Sweep,
    address: str,
    workers: int,
    report: Report,
) -> None:
    """Run every cell as a task of Ray, which starts it again if its worker or machine is lost.

    Args:
        cells: To run.
        folder: Of the sweep; all machines must see it under this path.
        sweep: Says how many threads and GPUs a cell takes.
        address: Of the cluster; see ``check_address``.
        workers: Cells at a time, for the address "local" alone.
        report: Called with each cell that ended.

    Raises:
        ValueError: One line: no cluster there, no machine large enough, or one that does not
            see the folder or has other packages.
    """
    with _connected(address, sweep, workers) as ray:
        _check_machines(ray, folder, sweep)
        task = _remote(ray, sweep, _execute, max_retries=_RETRIES)
        path = str(folder.path.resolve())
        tasks = {task.remote(path, cell.name, str(Path.cwd())): cell for cell in cells}
        while tasks:
            (done,), _ = ray.wait(list(tasks), num_returns=1)
            report(tasks.pop(done), *_outcome(ray, done))


@contextmanager
def _connected(address: str, sweep: Sweep, workers: int) -> Iterator[Any]:
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    import ray

    options: dict[str, Any] = {"address": address, "log_to_driver": False}
    options["runtime_env"] = {"env_vars": thread_variables(sweep.threads)}
    if address == "local":
        options |= {"num_cpus": workers * sweep.threads, "object_store_memory": _STORE_BYTES}
        options |= {"include_dashboard": False}
    try:
        ray.init(**options, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(f"--ray {address}: no cluster to be had there ({reason})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _remote(ray: Any, sweep: Sweep, function: Callable[..., Any], **options: Any) -> Any:
    return ray.remote(num_cpus=sweep.threads, num_gpus=sweep.gpus, **options)(function)


def _execute(path: str, name: str, cwd: str) -> str:
    """Run a cell where Ray put it, from the folder that relative paths of the sweep refer to."""
    os.chdir(cwd)
    from invdiff.study.sweep.execute import execute

    return execute(Path(path), name).value


def _outcome(ray: Any, done: Any) -> tuple[Status, str]:
    try:
        return Status(ray.get(done)), ""
    # Ray's own errors, and what the task could not even record, a folder that is gone
    except Exception as error:
        line = str(error).strip().rsplit("\n", 1)[-1]
        return Status.LOST, f"its worker was lost ({type(error).__name__}: {line})"


def _check_machines(ray: Any, folder: SweepFolder, sweep: Sweep) -> None:
    """Ask every machine that may run a cell for a file that was just written."""
    needs = {"CPU": sweep.threads, "GPU": sweep.gpus}
    nodes = [node for node in ray.nodes() if node["Alive"] and _has(node["Resources"], needs)]
    if not nodes:
        raise ValueError(
            f"--ray: no machine has the {sweep.threads} CPUs and {sweep.gpus:g} GPUs of a cell"
        )
    token = folder.path.resolve() / f".token-{uuid.uuid4().hex}"
    token.write_text(token.name)
    try:
        # all at once, since each has to load this package
        for node, answer in [(node, _asked(ray, node, token)) for node in nodes]:
            _check_answer(ray, node["NodeManagerHostname"], answer, token)
    finally:
        token.unlink()


def _has(resources: dict[str, float], needs: dict[str, float]) -> bool:
    return all(resources.get(name, 0.0) >= amount for name, amount in needs.items())


def _asked(ray: Any, node: dict[str, Any], token: Path) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(_probe).remote(
        str(token)
    )


def _check_answer(ray: Any, name: str, answer: Any, token: Path) -> None:
    try:
        sees, there = ray.get(answer, timeout=_PROBE_SECONDS)
    except Exception as error:
        line = str(error).strip().rsplit("\n", 1)[-1] or type(error).__name__
        raise ValueError(f"--ray: {name} can't run a cell ({line})") from None
    if not sees:
        raise ValueError(f"--ray: {name} does not see the folder {token.parent}; share it")
    if there != version("invdiff"):
        raise ValueError(f"--ray: {name} has invdiff {there}, here is {version('invdiff')}")


def _probe(token: str) -> tuple[bool, str]:
    """Say whether the file is to be seen, and the version of this package."""
    path = Path(token)
    return path.is_file() and path.read_text() == path.name, version("invdiff")
