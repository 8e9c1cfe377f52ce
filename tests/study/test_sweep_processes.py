"""Processes of a sweep: none takes another with it, none is left behind."""

import subprocess
import sys
import time

import pytest

from invdiff.study.sweep import Status, Sweep, cells_of, local
from invdiff.study.sweep.environment import EXIT_FAILED, thread_variables
from invdiff.study.sweep.folders import SweepFolder

TINY = {
    "kind": "gaussian-calibration",
    "size": 4,
    "num_samples": 4,
    "samplers": [{"kind": "red-diff", "num_steps": 2}],
}
SWEEP = Sweep(base=TINY, axes={"seed": {"key": "seed", "values": [0, 1]}})
CELLS = cells_of(SWEEP)


@pytest.fixture
def folder(tmp_path):
    folder = SweepFolder(tmp_path / "out")
    folder.create()
    folder.write(SWEEP)
    return folder


@pytest.fixture
def scripted(folder, monkeypatch):
    """Let processes run a line of Python each instead of a cell; give what is reported."""

    def scripted(*scripts, workers=1, stop=False):
        left, told, started = list(scripts), [], []

        def start(cell, folder, threads):
            words = [sys.executable, "-S", "-c", left.pop(0)]
            started.append(subprocess.Popen(words, stdin=subprocess.PIPE))
            return started[-1]

        def report(cell, status, why):
            told.append((cell.name, status, why))
            if stop:
                raise KeyboardInterrupt

        monkeypatch.setattr(local, "_started", start)
        try:
            local.run_in_processes(CELLS, folder, 1, workers, report)
        finally:
            assert all(process.returncode is not None for process in started)
        return told

    return scripted


DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def test_exit_status_says_how_a_cell_went(scripted):
    told = scripted("", f"raise SystemExit({EXIT_FAILED})")
    assert told == [("seed-0", Status.FINISHED, ""), ("seed-1", Status.FAILED, "")]


def test_a_killed_process_loses_only_its_cell_which_is_tried_again(scripted):
    told = scripted(DIE, "", "")
    assert told == [("seed-1", Status.FINISHED, ""), ("seed-0", Status.FINISHED, "")]


def test_a_cell_that_is_killed_twice_is_told_with_the_signal(scripted, folder):
    told = scripted(DIE, "", DIE)
    assert told[0][:2] == ("seed-1", Status.FINISHED)
    assert told[1][:2] == ("seed-0", Status.LOST)
    assert "ended by SIGKILL, 2 times" in told[1][2]


def test_an_unexpected_exit_status_is_told(scripted):
    told = scripted("raise SystemExit(3)", "raise SystemExit(3)", "", "")
    assert [status for _, status, _ in told] == [Status.FINISHED] * 2
    told = scripted(*["raise SystemExit(3)"] * 4)
    assert "exit status 3" in told[0][2]


def test_an_interruption_leaves_no_process(scripted):
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        scripted("", "import time; time.sleep(60)", workers=2, stop=True)
    assert time.monotonic() - start < 30


def test_workers_fit_the_cores():
    cores = local.default_workers(1)
    assert local.default_workers(cores) == 1
    assert local.default_workers(10 * cores) == 1


def test_threads_are_limited_before_the_libraries_are_loaded():
    variables = thread_variables(3)
    assert {variables[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "NUMBA")} == {"3"}


@pytest.mark.slow
def test_a_cell_in_a_process_ends_with_its_sweep_and_is_the_same_as_here(folder, tmp_path):
    orphan = local._started(CELLS[0], folder, 1)
    local._close(orphan)
    assert orphan.wait(60) == 1
    told = []
    local.run_in_processes(CELLS[:1], folder, 1, 1, lambda *words: told.append(words[1]))
    assert told == [Status.FINISHED]
    assert folder.log(CELLS[0]).read_text() == ""
    here = SweepFolder(tmp_path / "here")
    here.create()
    here.write(SWEEP)
    local.run_here(CELLS[:1], here, lambda *words: None)
    first, second = (
        dict(_arrays(place.path / "cells" / CELLS[0].name / "arrays.npz"))
        for place in (folder, here)
    )
    assert first == second
    assert first


def _arrays(path):
    import numpy as np

    with np.load(path) as stored:
        return {name: stored[name].tobytes() for name in stored.files}
