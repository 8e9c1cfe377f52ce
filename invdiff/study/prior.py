"""A prior as an experiment names it: one network, or several with a router."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from pydantic import FiniteFloat, NonNegativeInt, PositiveInt

from invdiff.priors import PretrainedPrior, RoutedPrior, load_prior
from invdiff.study.base import Config
from invdiff.training import load_routed_prior
from invdiff.training.routed_folder import is_routed

__all__ = ["LoadedPrior", "PriorConfig", "fast_dtype"]

LoadedPrior: TypeAlias = PretrainedPrior | RoutedPrior


class PriorConfig(Config):
    """A shipped prior by name, or a folder; see ``invdiff.priors.load_prior``.

    Args:
        name: Also the folder of several priors and a router, see
            ``invdiff.training.load_routed_prior``.
        label: Name or index of the class, for a network that is told one.
        guidance: Weight of the label.
        chunk_size: Images per call of a network.
        dtype: Precision of the network; "auto" is bfloat16 where the device has instructions for
            it, else float32. Single precision gives the same result on every machine.
        compile: Use ``torch.compile``.
        channels_last: Memory format of the convolutions.
        top: How many experts each image gets, of a prior with several; as its folder says if not
            given.
    """

    name: str
    label: str | NonNegativeInt | None = None
    guidance: FiniteFloat = 1.0
    chunk_size: PositiveInt | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    compile: bool = False
    channels_last: bool = True
    top: Literal[1, 2] | None = None

    def load(self, device: str, size: tuple[int, int] | None = None) -> LoadedPrior:
        """Return the prior on a device, for images of a size if that isn't its own.

        Raises:
            ValueError: There is no such prior, it is damaged, or an option isn't for its kind.
        """
        if is_routed(self.name):
            return self._load_routed(device, size)
        if self.top is not None:
            raise ValueError(f"prior.top: {self.name} is one network, without experts")
        options = self._options(device, size)
        return load_prior(self.name, label=self.label, guidance=self.guidance, **options)

    def dtype_on(self, device: str) -> str:
        """Return the name of the precision on a device, what "auto" stands for there."""
        return fast_dtype(device) if self.dtype == "auto" else self.dtype

    def _load_routed(self, device: str, size: tuple[int, int] | None) -> RoutedPrior:
        if self.label is not None or self.guidance != 1:
            raise ValueError(f"prior.label: {self.name} has experts, which its router chooses")
        return load_routed_prior(self.name, top=self.top, **self._options(device, size))

    def _options(self, device: str, size: tuple[int, int] | None) -> dict[str, Any]:
        return {
            "device": device,
            "dtype": getattr(torch, self.dtype_on(device)),
            "chunk_size": self.chunk_size,
            "channels_last": self.channels_last,
            "compile": self.compile,
            "size": size,
        }


def fast_dtype(device: str) -> str:
    """Return "bfloat16" where a device has instructions for it, else "float32".

    Emulated, it is slower than single precision.
    """
    if torch.device(device).type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # empty on processors of other makers
        found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return "bfloat16" if fast else "float32"
