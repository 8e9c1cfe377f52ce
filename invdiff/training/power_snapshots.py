"""Averages kept during a training, from which one of any length is made afterwards."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from invdiff.training.power_average import PowerAverages
from invdiff.training.power_profile import PowerProfile, synthesis_coefficients
from invdiff.training.weights import reason

__all__ = ["Snapshot", "averaged_weights", "read_snapshots", "scores_of_lengths", "write_snapshots"]


@dataclass(frozen=True)
class Snapshot:
    """An average of the weights in a file.

    Args:
        path: Of a safetensors file.
        profile: Its length, and the step at which it was written.
    """

    path: Path
    profile: PowerProfile


def write_snapshots(
    folder: str | os.PathLike[str], averages: PowerAverages, *, dtype: torch.dtype = torch.float16
) -> list[Snapshot]:
    """Write each average in a file of its own, with its step and length as metadata.

    Args:
        folder: Made if it isn't there; a file of the same step and length is replaced.
        averages: After at least one update.
        dtype: Of the floating-point entries in the files. Float16 rounds to 3 digits, and
            lengths between those kept share out the errors with factors up to ten.

    Raises:
        ValueError: There was no update yet, or a weight is not finite in that precision.
    """
    if averages.step < 1:
        raise ValueError("write_snapshots: expected averages after an update")
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    written = []
    for length in averages.lengths:
        profile = PowerProfile(length, averages.step)
        file = path / f"average-{averages.step:09d}-{length:.4g}.safetensors"
        _write(file, profile, averages.weights(length), dtype)
        written.append(Snapshot(file, profile))
    return written


def read_snapshots(folder: str | os.PathLike[str]) -> list[Snapshot]:
    """Return the snapshots of a folder by their steps and lengths; no weights are read.

    Raises:
        ValueError: There are none, or a file is damaged or holds something else.
    """
    found = [Snapshot(path, _profile(path)) for path in Path(folder).glob("average-*.safetensors")]
    if not found:
        raise ValueError(f"{folder}: no snapshots of averages (average-*.safetensors)")
    return sorted(found, key=lambda snapshot: (snapshot.profile.step, snapshot.profile.length))


def averaged_weights(
    snapshots: Sequence[Snapshot], length: float, step: float | None = None
) -> dict[str, Tensor]:
    """Return the average of any length at any step, as a state dict in float32.

    It is the combination of the snapshots whose profile is nearest :cite:p:`karras2024`; see
    ``synthesis_coefficients``. Entries that aren't floating-point are those of the
    last snapshot that takes part.

    Args:
        snapshots: Of one training; two lengths at a few steps or more.
        length: Standard deviation of the profile over the time, in (0, 0.288).
        step: Where the average ends; by default at the last snapshot.

    Raises:
        ValueError: No snapshots, a length or step out of its range (a step after the last
            snapshot included), or files of different networks.
    """
    last = max((snapshot.profile.step for snapshot in snapshots), default=0)
    step = last if step is None else step
    if not 0 < step <= last:
        raise ValueError(f"averaged_weights: expected a step in (0, {last}], got {step}")
    ordered = sorted(snapshots, key=lambda snapshot: snapshot.profile.step)
    coefficients = synthesis_coefficients([s.profile for s in ordered], PowerProfile(length, step))
    used = [(s, c) for s, c in zip(ordered, coefficients.tolist(), strict=True) if c]
    return dict(_combined([s.path for s, _ in used], [c for _, c in used]))


def scores_of_lengths(
    snapshots: Sequence[Snapshot],
    lengths: Sequence[float],
    score: Callable[[dict[str, Tensor]], float],
    *,
    step: float | None = None,
) -> dict[float, float]:
    """Return the score of the average of each length: the curve whose best point is the length.

    Args:
        snapshots: Of one training.
        lengths: To be tried, in (0, 0.288).
        score: Of a state dict, such as the loss on held-out images.
        step: See ``averaged_weights``; a fraction of the training is that share of its steps.
    """
    return {length: score(averaged_weights(snapshots, length, step)) for length in lengths}


def _write(
    path: Path, profile: PowerProfile, weights: dict[str, Tensor], dtype: torch.dtype
) -> None:
    tensors = {}
    for name, value in weights.items():
        kept = value.to(dtype) if value.is_floating_point() else value
        if not kept.isfinite().all():
            raise ValueError(f"{path}: {name} is not finite in {dtype}")
        tensors[name] = kept.to("cpu").contiguous()
    temporary = path.with_name(f".{path.name}.new")
    save_file(tensors, temporary, {"profile": json.dumps(profile._asdict())})
    temporary.replace(path)


def _profile(path: Path) -> PowerProfile:
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {})["profile"])
        profile = PowerProfile(float(found["length"]), int(found["step"]))
        if not 0 < profile.step < math.inf:
            raise ValueError(f"expected a step above 0, got {profile.step}")
    except (OSError, SafetensorError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a readable snapshot ({reason(error)})") from error
    return profile


def _combined(paths: Sequence[Path], coefficients: Sequence[float]) -> Iterator[tuple[str, Tensor]]:
    """Yield one tensor after the other: no whole snapshot is in the memory."""
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(path, framework="pt")) for path in paths]
        names = files[-1].keys()
        if any(set(file.keys()) != set(names) for file in files):
            raise ValueError(f"{paths[-1].parent}: snapshots of different networks")
        for name in names:
            value = files[-1].get_tensor(name)
            if value.is_floating_point():
                # the sum cancels digits that float32 doesn't have
                parts = [file.get_tensor(name).double() for file in files]
                weighted = zip(coefficients, parts, strict=True)
                value = torch.stack([share * part for share, part in weighted]).sum(0).float()
            yield name, value
