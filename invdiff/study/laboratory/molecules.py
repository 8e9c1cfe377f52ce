"""Learn molecules from a list of SMILES, draw new ones, and count those that can be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt, model_validator

from invdiff.graphs.batches import GraphBatches
from invdiff.graphs.fit import CheckpointFile, train_scores
from invdiff.graphs.generation import generate
from invdiff.graphs.losses import ScoreMatchingLoss
from invdiff.graphs.moments import GraphMoments, graph_moments
from invdiff.graphs.prior_folder import save_graph_prior
from invdiff.graphs.scores import NetworkScores
from invdiff.graphs.state import GraphState, size_mask
from invdiff.rng import derive_generator
from invdiff.study.laboratory import molecules_figures as figures
from invdiff.study.laboratory.graphs_training_run import trained_weights
from invdiff.study.laboratory.molecules_config import (
    ExponentialConfig,
    MoleculeFile,
    MoleculeRecipe,
    PublishedConfig,
)
from invdiff.study.laboratory.molecules_data import (
    MoleculeSplit,
    batched,
    round_trip,
    split_molecules,
)
from invdiff.study.laboratory.molecules_drawing import molecule_pictures
from invdiff.study.laboratory.molecules_report import (
    CAPTIONS,
    composition_table,
    molecule_table,
    summary_text,
)
from invdiff.study.laboratory.molecules_scores import MEASURES, molecule_scores, over_runs
from invdiff.study.progress import StepBar
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.study.stored_weights import restore_weights
from invdiff.training import TrainingStep, drawn_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Molecules"]

# batches that the held-out loss is the mean of, and molecules that are shown
_NUM_BATCHES, _NUM_SHOWN = 20, 12
_TITLES = {
    "published": "reverse diffusion with correction",
    "exponential": "exponential steps",
}


class Molecules(ScriptedStudy):
    """Train scores of molecules, save them as a prior, and judge what they draw.

    Args:
        smiles: Where the molecules are.
        recipe: What is trained on them.
        heldout: Share of the molecules that is kept from the training.
        num_molecules: Drawn in each run.
        num_runs: With random numbers of their own.
        sampling_batch: Molecules drawn at a time.
        checkpoint_every: Steps after which a training that was interrupted can go on.
        published: How the authors draw molecules.
        exponential: How they are drawn with fewer calls.
    """

    kind: Literal["molecules"] = "molecules"
    smiles: MoleculeFile
    recipe: MoleculeRecipe
    heldout: float = Field(0.1, gt=0, lt=1)
    num_molecules: PositiveInt = 1000
    num_runs: PositiveInt = 3
    sampling_batch: PositiveInt = 1000
    checkpoint_every: PositiveInt = 1000
    published: PublishedConfig = PublishedConfig()
    exponential: ExponentialConfig = ExponentialConfig()

    @model_validator(mode="after")
    def _check_calls(self) -> Self:
        if not self._calls():
            raise ValueError("num_calls: expected some in published or in exponential, got none")
        return self

    def check_inputs(self) -> None:
        """Refuse to run without rdkit, or without the file."""
        try:
            from rdkit import Chem  # noqa: F401
        except ImportError:
            raise ValueError(
                "a study of molecules needs rdkit: pip install 'invdiff[molecules]'"
            ) from None
        self.smiles.check()

    def compute(self, stages: Stages) -> Outcome:
        """Train, then draw molecules in every way and judge them."""
        parts = self._split()
        moments = graph_moments(parts.training)
        train = partial(
            trained_weights, partial(self._fit, parts), self.checkpoint_every, stages.folder
        )
        trained = stages.run("training", train)
        scores = self._scores(trained)
        known = stages.run("known", partial(self._known, parts))["smiles"].tolist()
        heldout = stages.run("heldout", partial(self._judge, parts, scores, known))
        metrics: Metrics = {
            "num_training": len(parts.training.mask),
            "num_heldout": len(parts.heldout.mask),
            "num_left_out": parts.num_left_out,
            "num_parameters": sum(p.numel() for p in scores.parameters()),
            "training_seconds": float(trained["step_seconds"].sum()),
            "loss_training": float(trained["loss"][-max(1, len(trained["loss"]) // 10) :].mean()),
            "loss_heldout": float(heldout["loss"]),
        }
        arrays = {"loss": trained["loss"]} | _pictures(heldout, "heldout")
        for name, counts in self._calls().items():
            for count in counts:
                key, runs = f"{name}_{count}", list[Arrays]()
                for run in range(self.num_runs):
                    draw = partial(self._draw, scores, moments, known, name, count, run)
                    runs.append(stages.run(f"{key}_run{run}", draw))
                found = [{k: float(r[k]) for k in (*MEASURES, "seconds")} for r in runs]
                metrics |= over_runs(found, key)
            # of the most calls
            arrays |= _pictures(runs[0], name)
        metrics |= over_runs([{k: float(heldout[k]) for k in MEASURES}], "heldout")
        info = self._info(metrics)
        save = partial(save_graph_prior, scores=scores, moments=moments, info=info)
        return Outcome(metrics, arrays, folders={"prior": save})

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw molecules, validity and the loss."""
        titles = {
            name: f"{_TITLES[name].capitalize()}, {counts[-1]} calls"
            for name, counts in self._calls().items()
        }
        return {
            "molecules": figures.molecules(arrays, titles | {"heldout": "Held out"}),
            "validity": figures.validity(metrics, self._calls(), _TITLES),
            "loss": figures.loss(arrays, metrics["loss_heldout"]),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return CAPTIONS

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return what is known of each way to draw molecules."""
        rows = {
            f"{name}_{count}": f"{_TITLES[name]}, {count} calls"
            for name, counts in self._calls().items()
            for count in counts
        } | {"heldout": "held out"}
        return [molecule_table(metrics, rows), composition_table(metrics, rows)]

    def summary(self, metrics: Metrics) -> str:
        """Say what was learnt from, and how many molecules are valid."""
        most = {name: (_TITLES[name], counts[-1]) for name, counts in self._calls().items()}
        return summary_text(metrics, most)

    def _calls(self) -> dict[str, tuple[int, ...]]:
        """Return the numbers of calls of each way that is tried, by its name."""
        calls = {"published": self.published.num_calls, "exponential": self.exponential.num_calls}
        return {name: counts for name, counts in calls.items() if counts}

    def _split(self) -> MoleculeSplit:
        return split_molecules(
            self.smiles.read(),
            atoms=self.recipe.atoms,
            max_nodes=self.recipe.build().max_nodes,
            fraction=self.heldout,
            generator=derive_generator(self.seed, "heldout"),
        )

    def _fit(
        self,
        parts: MoleculeSplit,
        checkpoint: CheckpointFile,
        callback: Callable[[TrainingStep], None],
    ) -> NetworkScores:
        recipe = self.recipe.build()
        trained = train_scores(
            self._moved(parts.training),
            recipe,
            generator=self._generator("training"),
            checkpoint=checkpoint,
            callback=callback,
        )
        return trained.average if recipe.ema_sampling else trained.last

    def _scores(self, trained: Arrays) -> NetworkScores:
        scores = drawn_network(self.recipe.build().build, generator=self._generator("unused"))
        restore_weights(scores, trained)
        return scores.requires_grad_(False)

    def _known(self, parts: MoleculeSplit) -> Arrays:
        return {"smiles": np.array(round_trip(parts.training, self.recipe.atoms))}

    def _judge(self, parts: MoleculeSplit, scores: NetworkScores, known: list[str]) -> Arrays:
        graphs, atoms = parts.heldout, self.recipe.atoms
        batches = GraphBatches(
            self._moved(graphs), self.recipe.build().batch_size,
            generator=self._generator("heldout_loss"),
        )  # fmt: skip
        loss = ScoreMatchingLoss(batches)
        with torch.no_grad():
            losses = torch.stack([loss(scores, step) for step in range(_NUM_BATCHES)])
        (whole,) = batched(graphs, len(graphs.mask))
        shown = GraphState(*(part[:_NUM_SHOWN] for part in whole))
        found = {k: np.asarray(v) for k, v in molecule_scores(whole, atoms, known).items()}
        return {"loss": losses.mean().cpu().numpy()} | found | molecule_pictures(shown, atoms)

    def _draw(
        self, scores: NetworkScores, moments: GraphMoments, known: list[str], name: str, count: int,
        run: int,
    ) -> Arrays:  # fmt: skip
        recipe, atoms = self.recipe.build(), self.recipe.atoms
        way = self.published if name == "published" else self.exponential
        # every way has the same sizes and starts with the same noise
        sizes = moments.draw_sizes(
            self.num_molecules, generator=derive_generator(self.seed, "sizes", run)
        )
        chunks = -(-self.num_molecules // self.sampling_batch)
        bar = StepBar(f"{_TITLES[name]}, {count} calls, run {run + 1} of {self.num_runs}")
        with torch.no_grad():
            graphs = generate(
                scores,
                size_mask(sizes, recipe.max_nodes).to(self.device),
                way.build(recipe, count),
                generator=self._generator("molecules", run),
                moments=moments if way.matched_start else None,
                batch_size=self.sampling_batch,
                callback=lambda progress: bar.step(chunks * progress.num_steps),
            )
        bar.close()
        graphs = GraphState(*(part.cpu() for part in graphs))
        shown = GraphState(*(part[:_NUM_SHOWN] for part in graphs))
        found = {k: np.asarray(v) for k, v in molecule_scores(graphs, atoms, known).items()}
        return found | molecule_pictures(shown, atoms)

    def _info(self, metrics: Metrics) -> dict[str, Any]:
        return {
            "title": self.title,
            "atoms": list(self.recipe.atoms),
            "bond_orders": [0, 1, 2, 3],
            "training": self.model_dump(mode="json"),
            "metrics": metrics,
        }

    def _moved(self, graphs: GraphState) -> GraphState:
        return GraphState(*(part.to(self.device) for part in graphs))

    def _generator(self, *labels: str | int) -> torch.Generator:
        return derive_generator(self.seed, *labels, device=self.device)


def _pictures(arrays: Arrays, name: str) -> Arrays:
    return {f"{key}_{name}": arrays[key] for key in ("pictures", "valid")}
