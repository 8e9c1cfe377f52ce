"""Descents in noise of whole volumes: denoise, take a coupled data step, add noise again."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from invdiff.volumes.sampler import Problem3D, VolumeSampler, VolumeState

__all__ = ["ProximalDiffusion3D", "StepImages"]


class StepImages(NamedTuple):
    """The volumes of a step.

    Args:
        noisy: x0 + sigma n, before the step.
        denoised: What the prior makes of it.
        corrected: The same after the data step.
        fresh: New standard normals.
    """

    noisy: Tensor
    denoised: Tensor
    corrected: Tensor
    fresh: Tensor


@dataclass(frozen=True)
class ProximalDiffusion3D(VolumeSampler):
    """The loop of DDS and DiffPIR on volumes; the two methods differ in two formulas."""

    num_steps: int = 100
    sigma_max: float = 10.0
    sigma_min: float = 0.01

    @abc.abstractmethod
    def _weight(self, sigma: Tensor, problem: Problem3D) -> Tensor:
        """Return w, the precision of the denoised volume in the data step, 0-dimensional."""

    @abc.abstractmethod
    def _noise(self, images: StepImages, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """Return the noise that is added to the corrected volume."""

    def init(self, problem: Problem3D) -> VolumeState:
        """Return a coarse volume under noise of the highest level."""
        coarse = super().init(problem)
        noise = problem.noise.normal(0, coarse.x, label="start")
        return coarse._replace(x=coarse.x + problem.half * self.sigma_max * noise)

    def step(
        self, number: int, state: VolumeState, sigma: Tensor, sigma_next: Tensor, problem: Problem3D
    ) -> tuple[VolumeState, Tensor]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""
        real = state.x.dtype.to_real()
        weight = self._weight(sigma.to(real), problem)
        mean, x, coupling = self.corrected(number, state, state.x, sigma, weight, problem)
        fresh = problem.noise.normal(number, state.x)
        images = StepImages(state.x, mean, x, fresh)
        return VolumeState(
            x + self._noise(images, sigma.to(real), sigma_next.to(real)), coupling
        ), x
