"""Restore sparse-view CT by a bridge from its back-projection, on subjects never learnt from."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from invdiff.classical import fbp
from invdiff.interpolants.residual_predictor import ResidualPredictor, train_predictor
from invdiff.interpolants.restoration import BridgePrior, BridgeRestoration
from invdiff.rng import derive_generator
from invdiff.study.base import SampleName
from invdiff.study.laboratory import interpolant_bridge_figures as figures
from invdiff.study.laboratory.interpolant_bridge_config import BridgeConfig
from invdiff.study.laboratory.interpolant_bridge_data import (
    SparseScan,
    StudySlices,
    read_slices,
    sparse_scan,
)
from invdiff.study.laboratory.interpolant_bridge_runs import (
    Comparison,
    bridge_name,
    prior_at,
    share_within,
)
from invdiff.study.laboratory.interpolant_bridge_scores import gains, gathered, reliability, shown
from invdiff.study.laboratory.volume_scans import ScanSource
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.slices import SliceSource, SplitConfig
from invdiff.study.stages import Stages
from invdiff.study.stored_weights import restore_weights, stored_weights
from invdiff.training import TrainingStep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["InterpolantBridge"]


class InterpolantBridge(ScriptedStudy):
    """Train a bridge from back-projections to slices, and compare it with what is classical.

    Args:
        slices: What is learnt from.
        scans: Of other subjects, which judge it.
        fallback: The sample that takes the place of what isn't there.
        holdout: Which slices judge it if there are no scans.
        size: Rows and columns.
        views: Directions of the beams over half a turn.
        noise: Of each line integral, as a share of the largest one.
        network: What is trained, and how.
        num_heldout: Slices it is judged on.
        calls: Network calls of a sample, each a variant; the last is the one that is shown.
        stochasticity: Of the samples, see ``BridgeRestoration``.
        data_spread: Of the variants with data steps, in units of the image.
        num_samples: Samples of each slice.
        regression: Whether a network is also trained, with the same settings, for one call alone.
        prior: Shipped prior of RED-diff; None leaves it out.
        prior_calls: Its network calls, besides those of the last variant.
    """

    kind: Literal["interpolant-bridge"] = "interpolant-bridge"
    slices: SliceSource
    scans: tuple[ScanSource, ...] = ()
    fallback: SampleName | None = None
    holdout: SplitConfig = SplitConfig()
    size: PositiveInt = 128
    views: PositiveInt = 20
    noise: PositiveFloat = 0.01
    network: BridgeConfig = BridgeConfig()
    num_heldout: PositiveInt = 10
    calls: tuple[PositiveInt, ...] = Field(default=(1, 2, 5, 10), min_length=1)
    stochasticity: float = Field(default=1.0, ge=0, le=1)
    data_spread: PositiveFloat = 0.01
    num_samples: Annotated[int, Field(ge=2)] = 8
    regression: bool = True
    prior: str | None = "ct-256"
    prior_calls: Annotated[int, Field(ge=2)] = 120

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.size % self.network.unit:
            raise ValueError(f"size: expected a multiple of {self.network.unit}, got {self.size}")
        if max(self.calls) < 2 or list(self.calls) != sorted(set(self.calls)):
            raise ValueError(
                f"calls: expected increasing numbers up to 2 or more, got {self.calls}"
            )
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Train, then reconstruct what was held out by each method."""
        data = read_slices(
            self.slices, self.scans, self.holdout, self.fallback, self.size, self.num_heldout
        )
        # before the training, which takes most of the time: a prior that can't be had
        prior = None if self.prior is None else prior_at(self.prior, self.size, self.device)
        data = data._replace(
            training=data.training.to(self.device), heldout=data.heldout.to(self.device)
        )
        scan = sparse_scan(data.training, self.views, self.noise)
        trained = stages.run("training", partial(self._train, data, scan, self.network.start_share))
        predictor = self._predictor(trained)
        bridge = BridgePrior(predictor, self.network.interpolant, fbp)
        known = scan.measured(data.heldout, self._generator("measurement"))
        comparison = Comparison(known, data.heldout, self.seed)
        runs = stages.run("classical", comparison.classical)
        runs |= stages.run(
            "bridge", partial(comparison.bridge, bridge, self._variants(), self.num_samples)
        )
        if self.regression:
            # as long a training on nothing but the first call
            regression = stages.run("regression_training", partial(self._train, data, scan, 1.0))
            first = BridgePrior(self._predictor(regression), self.network.interpolant, fbp)
            runs |= stages.run("regression", partial(comparison.regression, first))
        if prior is not None:
            run = partial(comparison.red_diff, prior, self._prior_counts)
            runs |= stages.run("prior", run)
        truth, best = data.heldout.cpu().numpy(), self._best
        metrics = gathered(runs) | {
            "num_training": len(data.training),
            "num_heldout": len(data.heldout),
            "by_subject": int(data.by_subject),
            "num_parameters": sum(p.numel() for p in predictor.parameters()),
            "sigma": scan.noise.sigma,
            "training_seconds": float(trained["seconds"]),
        }
        names = [bridge_name(n, data_step) for n in self.calls for data_step in (False, True)]
        metrics |= gains(runs, names + ["regression"] * self.regression)
        arrays = {"loss": trained["loss"]}
        arrays |= shown(runs, truth, ("fbp", "tv", self._regression, best), best)
        return Outcome(metrics, arrays | reliability(runs[f"{best}/images"], truth))

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw pictures, PSNR against calls, calibration and loss."""
        titles = {
            "fbp": "filtered\nback-projection",
            "tv": "total variation",
            self._regression: "regression\n(one call)",
            self._best: f"bridge, one sample\n({self.calls[-1]} calls, data steps)",
        }
        return {
            "pictures": figures.pictures(arrays, titles, f"of {self.num_samples} samples"),
            "calls": figures.calls(metrics, self.calls, self._prior_counts),
            "reliability": figures.reliability(arrays),
            "loss": figures.loss(arrays),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "pictures": "Held-out slices in one grey window, with the PSNR of each. Right: the "
            "absolute error of the mean of the bridge's samples, and their standard deviation, "
            "on one scale.",
            "calls": "PSNR against the network calls of one sample. One call predicts the mean, "
            "as a regression does; more calls draw a sample, which has more error than the "
            "mean. The mean of samples takes as many calls for each of them.",
            "reliability": "Pixels of the body in ten groups of equal size by the standard "
            "deviation of the samples: what is claimed and what is found.",
            "loss": "Loss of each step (grey) and its mean; 1 is a network that knows no more than "
            "the spread of what the back-projections are off by.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return quality and calibration."""
        names = {"fbp": ("filtered back-projection", 0), "tv": ("total variation", 0)}
        if self.regression:
            names["regression"] = ("regression, trained for itself", 1)
        for data in (False, True):
            label = "bridge, data steps" if data else "bridge"
            names |= {bridge_name(n, data): (label, n) for n in self.calls}
        names |= {f"red_diff_{n}": (f"RED-diff, prior {self.prior}", n) for n in self._prior_counts}
        rows = tuple(
            (label, str(n), f"{metrics[f'psnr_{name}']:.2f}", f"{metrics[f'ssim_{name}']:.4f}",
             f"{metrics[f'psnr_budget_{name}']:.2f}" if n <= self.calls[-1] else "",
             f"{metrics[f'psnr_mean_{name}']:.2f}",
             f"{metrics[f'seconds_{name}']:.1f}")
            for name, (label, n) in names.items()
        )  # fmt: skip
        caption = (
            "PSNR and SSIM of single reconstructions or samples, mean over the held-out slices; "
            f"PSNR of the mean of as many samples as {self.calls[-1]} calls allow, and of "
            f"{self.num_samples}. Seconds are of all slices and "
            "samples. The bridge of one call and without data steps is a regression too. The prior "
            "of RED-diff knows slices of finer pixels."
        )
        columns = (
            "method", "calls", "PSNR (dB)", "SSIM", f"mean within {self.calls[-1]} calls (dB)",
            "mean of all (dB)", "seconds",
        )  # fmt: skip
        spreads = tuple(
            (label, str(n), *(f"{metrics[f'{key}_{name}']:.4f}" for key in ("spread", "error")),
             f"{metrics[f'within_{name}']:.2f}")
            for name, (label, n) in names.items()
            if f"spread_{name}" in metrics
        )  # fmt: skip
        about = (
            "In the body. Calibrated samples have a spread equal to the error of their mean and "
            f"{share_within(self.num_samples):.2f} of the pixels within one standard deviation."
        )
        heads = ("method", "calls", "spread", "error of the mean", "within one deviation")
        return [
            Table("Held-out slices", columns, rows, caption),
            Table("Uncertainty", heads, spreads, about),
        ]

    def summary(self, metrics: Metrics) -> str:
        """Say what was compared and what was found."""
        kept = "of other subjects" if metrics["by_subject"] else "from the end of the same scan"
        return (
            f"{self.views} views at {self.noise:.1%} noise, {self.size} x {self.size} pixels: "
            f"trained on {metrics['num_training']} slices in {metrics['training_seconds']:.0f} s, "
            f"judged on {metrics['num_heldout']} {kept}. PSNR: filtered back-projection "
            f"{metrics['psnr_fbp']:.2f} dB, total variation {metrics['psnr_tv']:.2f} dB, "
            f"regression {metrics[f'psnr_{self._regression}']:.2f} dB, a sample of the bridge "
            f"with {self.calls[-1]} network calls and data steps "
            f"{metrics[f'psnr_{self._best}']:.2f} dB (over total variation "
            f"{metrics[f'gain_{self._best}']:+.2f} +- {metrics[f'gain_error_{self._best}']:.2f}), "
            f"the mean of {self.calls[-1] // self._short} samples of {self._short} calls each "
            f"{metrics[f'psnr_budget_{bridge_name(self._short, True)}']:.2f} dB "
            f"({metrics[f'gain_budget_{bridge_name(self._short, True)}']:+.2f} +- "
            f"{metrics[f'gain_budget_error_{bridge_name(self._short, True)}']:.2f})."
            + "".join(
                f" RED-diff with the shipped prior and {n} calls: "
                f"{metrics[f'psnr_red_diff_{n}']:.2f} dB."
                for n in self._prior_counts
            )
        )

    @property
    def _regression(self) -> str:
        return "regression" if self.regression else bridge_name(1, False)

    @property
    def _best(self) -> str:
        return bridge_name(self.calls[-1], True)

    @property
    def _short(self) -> int:
        """The fewest calls that draw a sample."""
        return min(n for n in self.calls if n > 1)

    @property
    def _prior_counts(self) -> list[int]:
        if self.prior is None:
            return []
        return sorted({self.calls[-1], self.prior_calls})

    def _variants(self) -> list[BridgeRestoration]:
        return [
            BridgeRestoration(count, self.stochasticity, spread)
            for spread in (0.0, self.data_spread)
            for count in self.calls
        ]

    def _train(self, data: StudySlices, scan: SparseScan, start_share: float) -> Arrays:
        losses: list[Tensor] = []

        def note(step: TrainingStep) -> None:
            losses.append(step.loss)

        coupling = scan.coupling(data.training)
        spread = scan.spread(data.training, self._generator("spread"))
        network = self.network
        trained = train_predictor(
            network.predictor(spread, self._generator("weights")),
            coupling,
            network.training(),
            batch_size=network.batch_size,
            start_share=start_share,
            generator=self._generator("training"),
            callback=note,
        )
        numbers = {"loss": torch.stack(losses).float().cpu().numpy(), "spread": np.asarray(spread)}
        return stored_weights(trained) | numbers

    def _predictor(self, trained: Arrays) -> ResidualPredictor:
        predictor = self.network.predictor(float(trained["spread"]), self._generator("weights"))
        restore_weights(predictor, trained)
        return predictor

    def _generator(self, label: str) -> torch.Generator:
        return derive_generator(self.seed, label, device=self.device)
