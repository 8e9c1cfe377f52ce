"""What is written beside the weights of a prior: what it is of, and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from invdiff.study.page import filled
from invdiff.study.scripted import Metrics
from invdiff.training import save_prior

if TYPE_CHECKING:
    from invdiff.study.prior_training.study import PriorTraining

__all__ = ["save_with_card"]

_OBJECTIVES = {
    "edm": "the EDM loss",
    "pfgm": "the PFGM++ loss",
    "ddpm": "prediction of the noise (DDPM)",
    "v": "prediction of v",
    "sample": "prediction of the image",
    "flow": "flow matching",
}


def save_with_card(
    folder: Path, study: PriorTraining, network: nn.Module, metrics: Metrics, info: dict[str, Any]
) -> None:
    """Write the folder of a prior, with a model card, ``README.md``.

    Args:
        folder: Where to.
        study: All choices.
        network: Trained.
        metrics: Of slices that were held out.
        info: For ``prior.json``.
    """
    save_prior(folder, network, study.objective.build().preconditioning, info)
    rows = [(f"{sigma:g}", f"{metrics[f'psnr_{sigma:g}']:.2f}") for sigma in study.sigmas]
    text = filled(
        "model_card.md",
        info=info,
        split=info["split"],
        rows=rows,
        metrics=metrics,
        study=study,
        objective=_OBJECTIVES[study.objective.kind],
    )
    (folder / "README.md").write_text(text + "\n", encoding="utf-8")
