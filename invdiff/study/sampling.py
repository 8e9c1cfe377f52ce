"""Configurations of the samplers, made of the samplers' own fields and defaults."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_type_hints

import torch
from pydantic import Field, PositiveFloat, create_model, model_validator

from invdiff.samplers import (
    DAPS,
    DDNM,
    DDRM,
    DDS,
    DPS,
    FPS,
    TDS,
    DiffPIR,
    Ensemble,
    MCGDiff,
    MomentMatching,
    ParticleSystem,
    PiGDM,
    ProjectedDescent,
    RedDiff,
)
from invdiff.study.base import Config
from invdiff.suggestion import did_you_mean

__all__ = [
    "KINDS",
    "RedDiffConfig",
    "SamplerBase",
    "SamplerConfig",
    "config_of",
    "sampler_config",
]

_CITATION = re.compile(r"(, as by)? :cite:\w+:`\w+`")


class SamplerBase(Config):
    """The fields of ``method`` beside its kind."""

    method: ClassVar[Callable[..., Any]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.build()
        return self

    def build(self) -> Any:
        """Return the sampler."""
        return type(self).method(**self.model_dump(exclude={"kind"}))


def config_of(
    kind: str, method: Any, leave_out: tuple[str, ...] = (), base: Any = SamplerBase
) -> Any:
    """Make the configuration of a method, which is a frozen dataclass of plain values.

    Args:
        kind: Its name.
        method: The dataclass.
        leave_out: Fields that ``base`` or a subclass gives another form.
        base: Whose subclass is made; it has a class variable ``method``.

    Returns:
        The class of the configuration.
    """
    hints = get_type_hints(method)
    fields: dict[str, Any] = {
        field.name: (hints[field.name], field.default)
        for field in dataclasses.fields(method)
        if field.init and field.name not in leave_out
    }
    fields = {"kind": (Literal[kind], kind), **fields}
    model = create_model(
        f"{method.__name__}Config",
        __base__=base,
        __doc__=_CITATION.sub("", str(method.__doc__).splitlines()[0]),
        **fields,
    )
    model.method = method
    return model


class RedDiffConfig(config_of("red-diff", RedDiff, leave_out=("optimizer",))):  # type: ignore[misc]
    """RED-diff: find the image that data and denoiser agree on, from high noise to low."""

    update: Literal["proximal", "adam"] = "proximal"
    learning_rate: PositiveFloat = 0.1

    def build(self) -> RedDiff:
        """Return the sampler."""
        numbers = self.model_dump(exclude={"kind", "update", "learning_rate"})
        return RedDiff(**numbers, optimizer=self._optimizer())

    def _optimizer(self) -> Callable[[list[torch.Tensor]], torch.optim.Optimizer] | None:
        if self.update == "proximal":
            return None
        return partial(torch.optim.Adam, lr=self.learning_rate, betas=(0.9, 0.99))


# what can be named in a configuration
KINDS: dict[str, type[SamplerBase]] = {
    "red-diff": RedDiffConfig,
    "diffpir": config_of("diffpir", DiffPIR),
    "dds": config_of("dds", DDS),
    "afdps": config_of("afdps", Ensemble),
    "afdps-published": config_of("afdps-published", ParticleSystem),
    "dps": config_of("dps", DPS),
    "pigdm": config_of("pigdm", PiGDM),
    "moment-matching": config_of("moment-matching", MomentMatching),
    "tds": config_of("tds", TDS),
    "mcg-diff": config_of("mcg-diff", MCGDiff),
    "fps": config_of("fps", FPS),
    "ddrm": config_of("ddrm", DDRM),
    "ddnm": config_of("ddnm", DDNM),
    "daps": config_of("daps", DAPS),
    "projected-descent": config_of("projected-descent", ProjectedDescent),
}

if TYPE_CHECKING:
    SamplerConfig = Any  # made at run time, out of what is in KINDS
else:
    SamplerConfig = Annotated[reduce(or_, KINDS.values()), Field(discriminator="kind")]


def sampler_config(kind: str, **values: Any) -> Any:
    """Return the configuration of a kind of sampler.

    Raises:
        ValueError: An unknown kind.
    """
    if kind not in KINDS:
        near = did_you_mean(kind, KINDS)
        raise ValueError(f"sampler: expected one of {', '.join(KINDS)}, got {kind!r}{near}")
    return KINDS[kind](**values)
