"""The methods that a study of volumes compares: samplers of volumes or slices, classical ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from invdiff.classical import fbp, fdk, total_variation, zero_filled
from invdiff.priors import Denoiser
from invdiff.samplers import Progress
from invdiff.study.base import Config
from invdiff.study.laboratory.volume_meter import CountedPrior
from invdiff.study.laboratory.volume_scans import VolumeProblem
from invdiff.study.sampling import SamplerConfig
from invdiff.study.volume_sampling import VOLUME_KINDS, Planes, VolumeSamplerBase
from invdiff.volumes import Execution, SlicePrior
from invdiff.volumes.sampler import Checkpoints

__all__ = [
    "CLASSICAL",
    "MethodConfig",
    "Setting",
    "check_starts",
    "check_suits",
    "num_steps_of",
    "reconstruct",
]


class FBPConfig(Config):
    """Filtered back-projection, of every slice or (Feldkamp) of a cone-beam scan."""

    kind: Literal["fbp"] = "fbp"


class ZeroFilledConfig(Config):
    """The adjoint of Cartesian MR."""

    kind: Literal["zero-filled"] = "zero-filled"


class _TVConfig(Config):
    num_steps: PositiveInt = 400
    noise_factor: PositiveFloat = 1.0


class TV2DConfig(_TVConfig):
    """Total variation within slices; see ``invdiff.classical.total_variation``."""

    kind: Literal["tv-2d"] = "tv-2d"


class TV3DConfig(_TVConfig):
    """Total variation of the volume, per mm in all directions."""

    kind: Literal["tv-3d"] = "tv-3d"


class SliceWiseConfig(Config):
    """A sampler of images on every slice for itself."""

    kind: Literal["slice-wise"] = "slice-wise"
    sampler: SamplerConfig


_CLASSICAL: dict[str, type[Config]] = {
    "fbp": FBPConfig,
    "zero-filled": ZeroFilledConfig,
    "tv-2d": TV2DConfig,
    "tv-3d": TV3DConfig,
}
CLASSICAL = frozenset(_CLASSICAL)
_METHODS: tuple[Any, ...] = (*_CLASSICAL.values(), SliceWiseConfig, *VOLUME_KINDS.values())

if TYPE_CHECKING:
    MethodConfig = Any  # made at run time
else:
    MethodConfig = Annotated[reduce(or_, _METHODS), Field(discriminator="kind")]


Given = TypeVar("Given")


@dataclass(frozen=True, eq=False)
class Setting:
    """What a method is given.

    Args:
        problem: What is to be reconstructed.
        prior: Of images of any size in the units of the problem; None for classical methods.
        spacing: Of slices, rows and columns, mm.
        generator: Random numbers.
        callback: Of iterative samplers.
        checkpoints: Of samplers of volumes.
        start: What they go on from.
        execution: How they use the machine.
    """

    problem: VolumeProblem
    prior: CountedPrior | None
    spacing: tuple[float, float, float]
    generator: torch.Generator
    callback: Callable[[Progress], None] | None = None
    checkpoints: Checkpoints | None = None
    start: Tensor | None = None
    execution: Execution | None = None

    @property
    def planes(self) -> Planes:
        """The prior at all sizes."""
        return Planes(_given(self.prior).of, self.spacing)

    @property
    def denoiser(self) -> Denoiser:
        """Prior of one slice."""
        rows, columns = self.problem.likelihood.image_shape[1:]
        return _given(self.prior).of((rows, columns))


def check_suits(name: str, method: Any, measures: str, stacked: bool) -> None:
    """Refuse a method that cannot invert what is measured.

    Args:
        name: Of the method.
        method: Its configuration.
        measures: Kind of the operator, of a slice if it is stacked.
        stacked: Whether every slice is a measurement of its own.

    Raises:
        ValueError: It doesn't suit.
    """
    kind = method.kind
    if kind in ("tv-2d", "slice-wise") and not stacked:
        raise ValueError(f"methods: {name}: {kind} needs an operator of kind stack")
    invertible = measures == "ct-cone" or (stacked and measures.startswith("ct-"))
    suits = {"fbp": invertible, "zero-filled": measures.startswith("mri-")}
    if not suits.get(kind, True):
        raise ValueError(f"methods: {name}: {kind} does not invert {measures}")


def check_starts(methods: Mapping[str, Any]) -> None:
    """Refuse a method that goes on from one that isn't before it.

    Raises:
        ValueError: There is such a method.
    """
    before: list[str] = []
    for name, method in methods.items():
        start = getattr(method, "start", None)
        if start is not None and start not in before:
            raise ValueError(f"methods: {name}: start: expected a method before it, got {start!r}")
        before.append(name)


def num_steps_of(method: Any) -> int | None:
    """Return how often a method calls back; None if it doesn't."""
    if method.kind in CLASSICAL:
        return None
    sampler = method.sampler if method.kind == "slice-wise" else method
    return int(sampler.num_steps)


def reconstruct(method: Any, setting: Setting) -> Tensor:
    """Return the volume of a method, (slices, rows, columns), in units of the problem."""
    if isinstance(method, VolumeSamplerBase):
        return _sampled(method, setting)
    if isinstance(method, SliceWiseConfig):
        return _sampled_apart(method, setting)
    whole = setting.problem.likelihood
    if method.kind == "fbp":
        return fdk(whole) if setting.problem.slices is None else fbp(whole)
    if method.kind == "zero-filled":
        return zero_filled(whole)
    return _total_variation(method, setting)


def _sampled(method: VolumeSamplerBase, setting: Setting) -> Tensor:
    likelihood = setting.problem.likelihood
    prior = SlicePrior(setting.denoiser, likelihood.image_shape[0])
    samples = method.build(setting.planes).sample(
        likelihood,
        prior,
        generator=setting.generator,
        callback=setting.callback,
        checkpoints=setting.checkpoints,
        execution=setting.execution,
        start=None if setting.start is None else setting.start.to(likelihood.y.device)[None],
    )
    return samples.values[0]


def _sampled_apart(method: SliceWiseConfig, setting: Setting) -> Tensor:
    samples = method.sampler.build().sample(
        _given(setting.problem.slices),
        setting.denoiser,
        1,
        generator=setting.generator,
        callback=setting.callback,
    )
    values: Tensor = samples.values[0]
    return values


def _total_variation(method: Any, setting: Setting) -> Tensor:
    # neither attenuation nor a magnitude is negative
    choices = method.model_dump(exclude={"kind"}) | {"low": 0.0}
    if method.kind == "tv-2d":
        return total_variation(_given(setting.problem.slices), **choices)
    return total_variation(setting.problem.likelihood, **choices, spacing=setting.spacing)


def _given(value: Given | None) -> Given:
    # check_suits has seen to it
    assert value is not None
    return value
