"""What the numbers of an image mean: to the physics, and to who reads the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from invdiff.data import MU_WATER, Image, fill, hu_to_mu, mu_to_hu, orient, to_spacing
from invdiff.study.config import Experiment

__all__ = ["Units", "check_hu", "ct_units", "placed_slices", "relative_units", "units_of"]

# the robust maximum of a magnitude image, as the shipped MR prior was trained
_PERCENTILE = 99.7
# white is bone, and fat, water and muscle keep their contrast
_CT_WINDOW = (-250.0, 550.0)
_CT_HIGHEST = 2.5
# air and water differ by 1000 HU: what spans less and isn't all air is in another unit
_LEAST_SPAN, _AIR = 50.0, -500.0


@dataclass(frozen=True)
class Units:
    """One affine map from the solver's image x to the values of the input, scale x + offset.

    Args:
        name: Unit of the values, such as "HU".
        low: Lowest x that the prior knows, in solver units.
        high: Highest x.
        scale: Values for one x.
        offset: Value of x = 0.
        window: Values shown as black and as white.
    """

    name: str
    low: float
    high: float
    scale: float
    offset: float
    window: tuple[float, float]

    @property
    def data_range(self) -> float:
        """Width of the prior's range in values: what PSNR and SSIM refer to."""
        return self.scale * (self.high - self.low)

    @property
    def solver_window(self) -> tuple[float, float]:
        """The window as images of the solver."""
        low, high = self.window
        return (low - self.offset) / self.scale, (high - self.offset) / self.scale

    def values(self, x: Tensor) -> NDArray[np.float32]:
        """Return the values of an image of the solver."""
        return (x.double() * self.scale + self.offset).float().cpu().numpy()

    def solver(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values as an image of the solver; below the offset there is nothing."""
        if self.name == "HU":
            return hu_to_mu(values).astype(np.float32)
        return ((values - self.offset) / self.scale).astype(np.float32)

    def relative(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values as shares of the highest that the prior knows, clipped to [0, 1]."""
        shares: NDArray[np.float32] = (self.solver(values) / self.high).clip(0, 1)
        return shares

    def describe(self) -> dict[str, Any]:
        """Return all numbers, for the provenance."""
        return asdict(self)


def ct_units() -> Units:
    """Attenuation in 1/mm, from none to 2.5 times that of water, against HU."""
    zero = float(mu_to_hu(np.zeros(())))
    per_mu = float(mu_to_hu(np.ones(()))) - zero
    return Units("HU", 0.0, _CT_HIGHEST * MU_WATER, per_mu, zero, _CT_WINDOW)


def relative_units(magnitude: NDArray[Any], name: str) -> Units:
    """Values over their 99.7th percentile.

    Raises:
        ValueError: The percentile is not positive.
    """
    scale = float(np.percentile(np.abs(magnitude), _PERCENTILE))
    if scale <= 0:
        raise ValueError(f"{name}: more than 99.7 % of the values are 0, nothing to scale by")
    return Units("arbitrary units", 0.0, 1.0, scale, 0.0, (0.0, scale))


def check_hu(image: Image, name: str) -> None:
    """Refuse a CT whose values can't be HU, such as attenuation.

    Args:
        image: All of its slices.
        name: Of the image, for errors.

    Raises:
        ValueError: One line: the range found, and what is expected.
    """
    low, high = float(image.values.min()), float(image.values.max())
    if image.unit == "HU" and high - low < _LEAST_SPAN and low > _AIR:
        raise ValueError(
            f"{name}: values from {low:g} to {high:g}, a CT must be in HU (air -1000, water 0): "
            f"attenuation mu in 1/mm becomes 1000 (mu / {MU_WATER} - 1)"
        )


def placed_slices(
    image: Image, size: int, pixel_mm: float | None, name: str
) -> tuple[Image, Units]:
    """Turn axial slices to the radiological view and put them on a square grid.

    Args:
        image: As it was read.
        size: Rows and columns.
        pixel_mm: Edge of the pixels about the centre; None fills the grid with the field of view.
        name: Of the image, for errors.

    Raises:
        ValueError: Nothing to scale by, or a CT whose values can't be HU.
    """
    check_hu(image, name)
    turned = orient(image)
    placed = fill(turned, size) if pixel_mm is None else to_spacing(turned, size, pixel_mm)
    units = ct_units() if placed.unit == "HU" else relative_units(placed.values, name)
    return placed, units


def units_of(image: Image, experiment: Experiment) -> Units:
    """Return the units of a placed image, or refuse one that the operator cannot measure.

    Raises:
        ValueError: An MR image for a CT scan, or the reverse.
    """
    kind, name = experiment.operator.kind, experiment.input.describe()
    if kind.startswith("ct-") and image.unit != "HU":
        raise ValueError(
            f"operator.kind: {kind} needs a CT in HU, {name} has modality {image.modality}; "
            "if a NIfTI file holds HU, say so by input.modality: CT"
        )
    if kind == "mri-cartesian" and image.modality == "CT":
        raise ValueError(f"operator.kind: {kind} needs an MR image, {name} is a CT")
    return ct_units() if image.unit == "HU" else relative_units(image.values, name)
