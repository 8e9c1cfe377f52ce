"""What all parts of a configuration share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from invdiff.data import list_samples

__all__ = ["Config", "SampleName"]


def _known(name: str) -> str:
    if name not in list_samples():
        raise ValueError(f"expected one of {', '.join(list_samples())}, got {name!r}")
    return name


# of a sample that ships
SampleName = Annotated[str, AfterValidator(_known)]


class Config(BaseModel):
    """Values read from YAML: frozen, finite, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
