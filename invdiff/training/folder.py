"""A trained network as a folder, which the loader of its kind of prior reads."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from invdiff.priors.preconditioning import Preconditioning
from invdiff.priors.scheduler import scheduler_of

__all__ = ["save_prior"]


def save_prior(
    folder: str | os.PathLike[str],
    network: Any,
    preconditioning: Preconditioning,
    info: dict[str, Any],
    *,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write ``unet/``, ``scheduler/`` and ``prior.json``, in the layout of diffusers.

    Args:
        folder: Made if it isn't there.
        network: A ``UNet2DModel``; it is left as it is.
        preconditioning: What its output means.
        info: Title, modality, data_range, value_range, licence, ...
        dtype: Precision of the weights on the disk.

    Raises:
        ValueError: A preconditioning that no scheduler of diffusers describes.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    # the cast of diffusers itself warns whatever the network
    cast: Any = nn.Module.to(copy.deepcopy(network), "cpu", dtype)
    cast.save_pretrained(path / "unet", safe_serialization=True)
    settings = json.dumps(scheduler_of(preconditioning), indent=2)
    (path / "scheduler").mkdir(exist_ok=True)
    (path / "scheduler" / "scheduler_config.json").write_text(settings + "\n")
    (path / "prior.json").write_text(json.dumps(info, indent=2) + "\n")
