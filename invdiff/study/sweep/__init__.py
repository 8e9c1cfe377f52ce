"""Grids of experiments: every cell a run folder, all of them one table."""

from invdiff.study.sweep.cells import Cell, cells_of
from invdiff.study.sweep.config import Axis, Setting, Sweep, load_sweep
from invdiff.study.sweep.folders import Status
from invdiff.study.sweep.run import Plan, plan_sweep, run_sweep
from invdiff.study.sweep.table import Row, Spread

__all__ = [
    "Axis",
    "Cell",
    "Plan",
    "Row",
    "Setting",
    "Spread",
    "Status",
    "Sweep",
    "cells_of",
    "load_sweep",
    "plan_sweep",
    "run_sweep",
]
