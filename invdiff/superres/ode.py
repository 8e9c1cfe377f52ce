"""A diffusion ODE as what it is: a function of its boundary condition and the measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from invdiff.priors.denoiser import half_range
from invdiff.superres.conditional import ConditionalDenoiser, calls_of
from invdiff.superres.grids import Grid, noise_grid
from invdiff.superres.integrators import Integrator, integrator_named

__all__ = ["Start", "SuperResolutionOde", "WideStart"]


class Start(Protocol):
    """From a boundary condition of unit variance to the state at the highest noise level.

    Attributes:
        num_calls: Evaluations of D for each image that it takes itself.
    """

    @property
    def num_calls(self) -> int: ...  # noqa: D102

    def __call__(
        self, denoiser: ConditionalDenoiser, sigma: Tensor, boundary: Tensor, y: Tensor
    ) -> Tensor:
        """Return the state, in the shape of the image, for a boundary that broadcasts to it."""
        ...


@dataclass(frozen=True)
class WideStart:
    r"""The usual start: :math:`x = c(y) + \sigma_{max}\, x_T`, far above the image's spread."""

    @property
    def num_calls(self) -> int:
        """Evaluations of D that it takes, none."""
        return 0

    def __call__(
        self, denoiser: ConditionalDenoiser, sigma: Tensor, boundary: Tensor, y: Tensor
    ) -> Tensor:
        """Return the rough image of the denoiser plus the boundary at that noise level."""
        return denoiser.center(y) + sigma.to(boundary) * boundary


class SuperResolutionOde:
    r"""The image :math:`x_0 = h(x_T, y)` that a probability-flow ODE makes of a boundary.

    .. math:: \frac{dx}{d\sigma} = \frac{x - D(x, \sigma, y)}{\sigma}, \qquad
        x(\sigma_{max}) = c(y) + \sigma_{max}\, x_T

    with c(y) the rough image of the denoiser. Deterministic: all randomness is in x_T.

    Args:
        denoiser: D.
        integrator: Name of the numerical method, see ``integrators``.
        num_calls: Evaluations of D for each image, those of the start among them; how many
            steps they make depends on the method.
        grid: Name of the grid of noise levels, see ``grids``.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level before 0, in half data ranges.
        start: How the boundary becomes the first state.

    Attributes:
        num_calls: As above.
        sigmas: Noise levels, decreasing to 0, in the units of the image, float64.

    Raises:
        ValueError: An unknown method or grid, or a number of calls that it can't use up.
    """

    def __init__(
        self,
        denoiser: ConditionalDenoiser,
        integrator: str = "dpmpp_2m",
        *,
        num_calls: int = 10,
        grid: Grid = "edm",
        sigma_max: float = 2.0,
        sigma_min: float = 0.002,
        start: Start | None = None,
    ) -> None:
        self.denoiser, self.num_calls = denoiser, num_calls
        self.start: Start = WideStart() if start is None else start
        left = num_calls - self.start.num_calls
        if left < 2:
            least = 2 + self.start.num_calls
            raise ValueError(f"num_calls: expected at least {least}, got {num_calls}")
        self.integrator: Integrator = integrator_named(integrator).for_calls(left)
        steps = self.integrator.steps_for(left)
        levels = noise_grid(grid, steps, sigma_max, sigma_min)
        self.sigmas = half_range(denoiser) * torch.cat([levels, levels.new_zeros(1)])

    @property
    def calls_per_image(self) -> int:
        """Network calls for each image, of which an evaluation of D may take several."""
        return self.num_calls * calls_of(self.denoiser)

    def __call__(self, boundary: Tensor, y: Tensor) -> Tensor:
        """Return h(x_T, y).

        Args:
            boundary: x_T of unit variance, ``(*image)`` shared by all measurements or
                ``(*batch, *image)``.
            y: Measurements, ``(*batch, *measurement)``.
        """
        x = self.start(self.denoiser, self.sigmas[0], boundary, y)
        return self.integrator(self._denoise(y), x, self.sigmas)

    def _denoise(self, y: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, sigma: self.denoiser(x, sigma, y)
