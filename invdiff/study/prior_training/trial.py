"""A first reconstruction with a prior that was just trained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from invdiff.priors import PretrainedPrior
from invdiff.study.base import Config
from invdiff.study.scripted import Metrics

if TYPE_CHECKING:
    from invdiff.study.config import Experiment

__all__ = ["TrialConfig"]


class TrialConfig(Config):
    """An experiment that is run with the prior, into a folder beside it.

    Args:
        experiment: A shipped one by name, or a YAML file.
        set: Values that are changed in it, by their path, such as ``operator.views``.
    """

    experiment: str
    set: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @field_validator("set", mode="before")
    @classmethod
    def _flat(cls, values: Any) -> Any:
        # --set trial.set.operator.views=8 comes as one mapping in the other
        return dict(_paths(values)) if isinstance(values, dict) else values

    def read(self, prior: str, device: str) -> Experiment:
        """Return the experiment with the prior of a folder.

        Raises:
            ValueError: One line on what is wrong with it.
        """
        # the list of studies knows this one
        from invdiff.study.load import load_experiment

        changes = {**self.set, "prior.name": prior, "device": device}
        overrides = [f"{key}={value}" for key, value in changes.items()]
        try:
            return load_experiment(self.experiment, overrides)
        except ValueError as error:
            raise ValueError(f"trial: {error}") from None

    def check(self, prior: PretrainedPrior, device: str) -> None:
        """Refuse what couldn't be reconstructed with a prior of these images.

        Args:
            prior: Untrained.
            device: Where it will run.

        Raises:
            ValueError: One line: a class that is missing, or an input that can't be measured.
        """
        from invdiff.study.build import build_problem

        experiment = self.read("the-trained-prior", device)
        choices = experiment.prior
        try:
            PretrainedPrior(
                prior.network, prior.preconditioning, info=prior.info, label=choices.label,
                guidance=choices.guidance,
            )  # fmt: skip
            build_problem(experiment, prior.image_shape)
        except ValueError as error:
            raise ValueError(f"trial: {error}") from None

    def run(self, prior: Path, device: str, out: Path) -> Metrics:
        """Run it, and return its metrics under names that start with ``trial_``."""
        from invdiff.study.run import run_experiment

        metrics = run_experiment(self.read(str(prior), device), out, resume=True)
        return {
            f"trial_{name}": value
            for name, value in metrics.items()
            if isinstance(value, int | float)
        }

    @staticmethod
    def keep(out: Path, prior: Path, folder: Path) -> None:
        """Copy its folder, in which the prior is where it will be at the end.

        Args:
            out: Where it was run.
            prior: The folder of the prior it was run with.
            folder: The copy, in the folder of the study that gets its name when it is complete.
        """
        shutil.copytree(out, folder)
        study = folder.resolve().parent
        final = study.with_name(study.name.removesuffix(".partial")) / "prior"
        for name in ("config.yaml", "provenance.json", "report.html"):
            text = (folder / name).read_text(encoding="utf-8")
            (folder / name).write_text(text.replace(str(prior), str(final)), encoding="utf-8")


def _paths(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
