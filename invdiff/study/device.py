"""Whether a device is there."""

from __future__ import annotations

import torch

__all__ = ["require_device"]


def require_device(name: str) -> None:
    """Refuse a device that torch can't compute on.

    Raises:
        ValueError: One line on what is missing.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {str(error).splitlines()[0]}") from None
