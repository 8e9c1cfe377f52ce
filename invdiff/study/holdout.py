"""Measured samples that no method sees: what they say about an image without a reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.study.base import Config

__all__ = [
    "HeldOut",
    "HoldoutConfig",
    "Split",
    "heldout_nrmse",
    "noise_floor",
    "on_device",
    "split_samples",
]


class HoldoutConfig(Config):
    """Locations of measured k-space that are left out of the reconstruction.

    They are drawn outside the calibration block, of which the coil maps are made.

    Args:
        test: Share of the sampled locations that the results are judged by.
        validation: Share that weights of classical methods are chosen by.
    """

    test: float = Field(0.1, gt=0, lt=1)
    validation: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_rest(self) -> Self:
        if self.test + self.validation >= 1:
            raise ValueError("test and validation leave nothing to reconstruct from")
        return self


class Split(NamedTuple):
    """Disjoint boolean masks (height, width), together all that was sampled."""

    training: Tensor
    validation: Tensor
    test: Tensor


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Likelihoods of held-out samples, over the images of the problem.

    Args:
        test: What the results are judged by.
        validation: What weights are chosen by; None if nothing was set aside for it.
        radius: Distance of each test location from the centre of k-space, in half its height and
            width.
    """

    test: Likelihood
    validation: Likelihood | None
    radius: Tensor

    def to(self, device: str) -> HeldOut:
        """Return it with operators and samples on a device."""
        validation = None if self.validation is None else on_device(self.validation, device)
        return HeldOut(on_device(self.test, device), validation, self.radius)


def split_samples(
    mask: Tensor,
    region: tuple[slice, slice],
    config: HoldoutConfig,
    *,
    generator: torch.Generator,
) -> Split:
    """Draw the locations that are held out, uniformly from those outside the block.

    Args:
        mask: Boolean (height, width), what was sampled.
        region: Rows and columns of the calibration block.
        config: Shares of all sampled locations.
        generator: Source of the draw.

    Raises:
        ValueError: There are too few locations outside the block, or a share is below one.
    """
    outside = mask.clone()
    outside[region] = False
    candidates = outside.flatten().nonzero().squeeze(1)
    total = int(mask.sum())
    num_test, num_validation = round(config.test * total), round(config.validation * total)
    if num_test + num_validation > len(candidates) or num_test == 0:
        raise ValueError(
            f"input.holdout: {num_test} and {num_validation} locations, {len(candidates)} of "
            f"{total} sampled ones are outside the calibration block"
        )
    drawn = candidates[torch.randperm(len(candidates), generator=generator)]
    test = _mask_of(drawn[:num_test], mask)
    validation = _mask_of(drawn[num_test : num_test + num_validation], mask)
    return Split(mask & ~test & ~validation, validation, test)


def heldout_nrmse(likelihood: Likelihood, x: Tensor) -> Tensor:
    r"""Return :math:`\|y - A x\| / \|y\|` over held-out samples y."""
    return torch.linalg.vector_norm(likelihood.residual(x)) / torch.linalg.vector_norm(likelihood.y)


def noise_floor(likelihood: Likelihood, sigma: float) -> float:
    r"""Return :math:`\sqrt{m}\,\sigma / \|y\|`, what noise alone adds to the NRMSE of the true x.

    m counts real numbers, two for a complex entry.
    """
    y = likelihood.y
    count = y.numel() * (2 if y.is_complex() else 1)
    return float(count**0.5 * sigma / torch.linalg.vector_norm(y))


def on_device(likelihood: Likelihood, device: str) -> Likelihood:
    """Return the likelihood with operator and measurement on a device."""
    operator, y = likelihood.operator.to(device), likelihood.y.to(device)
    return Likelihood(operator, likelihood.noise, y)


def _mask_of(entries: Tensor, mask: Tensor) -> Tensor:
    chosen = torch.zeros(mask.numel(), dtype=torch.bool)
    chosen[entries] = True
    return chosen.reshape(mask.shape)
