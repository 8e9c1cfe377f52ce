"""Which molecules are learnt from, what is trained on them, and how new ones are drawn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from invdiff.graphs.corrector import Langevin, PredictorCorrector
from invdiff.graphs.exponential import Exponential
from invdiff.graphs.integrator import GraphIntegrator
from invdiff.graphs.molecules import QM9_ATOMS, ZINC_ATOMS
from invdiff.graphs.recipes import GRAPH_RECIPES, GraphRecipe
from invdiff.graphs.reverse_sde import ReverseDiffusion
from invdiff.graphs.smiles import read_smiles
from invdiff.study.base import Config

__all__ = ["ExponentialConfig", "MoleculeFile", "MoleculeRecipe", "PublishedConfig"]


def _increasing(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"expected increasing numbers, got {values}")
    return values


def _even(values: tuple[int, ...]) -> tuple[int, ...]:
    if any(value % 2 for value in values):
        raise ValueError(f"expected even numbers, two calls a step, got {values}")
    return values


_Calls = Annotated[tuple[PositiveInt, ...], AfterValidator(_increasing)]


class MoleculeFile(Config):
    """A list of molecules.

    Args:
        path: A table, ``.csv``, or ``.smi``, a SMILES in each line; also with ``.gz``.
        column: Of a table, with the SMILES.
        limit: Molecules that are read, from the start; all by default.
    """

    path: str
    column: str = "SMILES"
    limit: PositiveInt | None = None

    def check(self) -> None:
        """Refuse a file that isn't there, or without SMILES in its column.

        Raises:
            ValueError: One line with its path.
        """
        if not Path(self.path).is_file():
            raise ValueError(f"smiles.path: {self.path}: no such file")
        self.read()

    def read(self) -> list[str]:
        """Return the SMILES.

        Raises:
            ValueError: See ``read_smiles``.
        """
        return read_smiles(self.path, self.column)[: self.limit]


class MoleculeRecipe(Config):
    """Published settings, and what is changed of them.

    Args:
        name: Of the settings.
        max_nodes: Atoms beyond hydrogen; larger molecules are left out.
        num_epochs: Passes through the training molecules.
        batch_size: Molecules of a step.
        learning_rate: At the start.
        adjacency_depth: Layers of the network of the bonds.
    """

    name: Literal["qm9", "zinc250k"]
    max_nodes: int | None = Field(None, ge=2)
    num_epochs: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    learning_rate: PositiveFloat | None = None
    adjacency_depth: PositiveInt | None = None

    @property
    def atoms(self) -> tuple[str, ...]:
        """Return the symbols of the atoms, in the order of the features."""
        return QM9_ATOMS if self.name == "qm9" else ZINC_ATOMS

    def build(self) -> GraphRecipe:
        """Return the settings with the changes."""
        changes = self.model_dump(exclude={"name"}, exclude_none=True)
        return dataclasses.replace(GRAPH_RECIPES[self.name], **changes)


class PublishedConfig(Config):
    """Reverse diffusion with a Langevin correction at each step.

    Args:
        num_calls: Increasing and even numbers of calls of the networks, two for each step; none:
            this way isn't tried.
        batch_norms: The correction has one size for all molecules that are drawn at a time.
        matched_start: Start with the mean and variance of noisy molecules; the published start is
            standard normal.
    """

    num_calls: Annotated[_Calls, AfterValidator(_even)] = (2000,)
    batch_norms: bool = True
    matched_start: bool = False

    def build(self, recipe: GraphRecipe, num_calls: int) -> GraphIntegrator:
        """Return the integrator with the correction of a recipe."""
        if recipe.snr is None:
            raise ValueError("recipe: expected one with a corrector")
        corrector = Langevin(recipe.snr, recipe.scale_eps, self.batch_norms)
        return PredictorCorrector(ReverseDiffusion(num_calls // 2, recipe.last_time), corrector)


class ExponentialConfig(Config):
    """Exponential steps of second order.

    Args:
        num_calls: Increasing numbers of calls of the networks, one for each step; none: this way
            isn't tried.
        noise: 0 for the ODE, 1 for the SDE.
        matched_start: Start with the mean and variance of noisy molecules, not standard normal.
    """

    num_calls: _Calls = (200,)
    noise: NonNegativeFloat = 0.0
    matched_start: bool = True

    def build(self, recipe: GraphRecipe, num_calls: int) -> GraphIntegrator:
        """Return the integrator to the last time of a recipe."""
        return Exponential(num_calls, recipe.last_time, self.noise)
