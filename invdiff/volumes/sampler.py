"""The loop of the samplers of volumes, and what they have in common."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser
from invdiff.rng import draw_seeds
from invdiff.samplers.base import (
    Callback,
    Progress,
    Samples,
    check_problem,
    clipped,
    karras_sigmas,
)
from invdiff.volumes.coupling import CouplingState, DataStep, Independent, SliceCoupling, Terms
from invdiff.volumes.data_step import data_step
from invdiff.volumes.execution import Execution
from invdiff.volumes.memory import IN_CORE, Memory
from invdiff.volumes.noise import SliceNoise
from invdiff.volumes.pinned import KnownSlices, PinnedSlices
from invdiff.volumes.slice_likelihood import placed_likelihood, vector_bytes
from invdiff.volumes.slice_prior import SlicePrior
from invdiff.volumes.split import Split, Whole

__all__ = ["Checkpoints", "Problem3D", "VolumeSampler", "VolumeState"]


_START_STEPS = 20


class VolumeState(NamedTuple):
    """The volume, and what the coupling carries; tensors alone."""

    x: Tensor
    coupling: CouplingState


class Problem3D(NamedTuple):
    r"""What stays the same in all steps.

    Args:
        likelihood: Of the slices that are held here.
        denoiser: Of these slices, in the units of the likelihood's image.
        noise: Random numbers.
        split: Which slices these are.
        half: Half the data range.
        memory: Where volumes live.
        known: Slices that are known, which the denoiser keeps; None if there are none.
        constants: What ``prepared`` of the method has found out once for all steps.
    """

    likelihood: Likelihood
    denoiser: Denoiser
    noise: SliceNoise
    split: Split
    half: float
    memory: Memory = IN_CORE
    known: KnownSlices | None = None
    constants: Any = None


class Checkpoints(Protocol):
    """Where a run keeps its state: tensors in nested tuples."""

    def load(self) -> tuple[int, Any] | None:
        """Return the number of the next step and the state before it; None at the start.

        Tensors may be anywhere, and plain tuples stand for named ones.
        """
        ...

    def save(self, step: int, state: VolumeState) -> None:
        """Be told the state before a step; what is kept is the implementation's choice."""
        ...


@dataclass(frozen=True)
class VolumeSampler(abc.ABC):
    """A descent in noise on volumes, in the scaling x0 + sigma n; methods give weight and step.

    Args:
        num_steps: Noise levels, one network call for each slice and level.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        num_cg: Conjugate gradient steps of each data step.
        clip: Whether the denoised volume is clamped to the data range.
        coupling: What ties neighbouring slices together.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 60
    sigma_max: float = 1.0
    sigma_min: float = 0.015
    rho: float = 7.0
    num_cg: int = 8
    clip: bool = True
    coupling: SliceCoupling = field(default_factory=Independent)

    def __post_init__(self) -> None:
        karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        if self.num_cg < 1:
            raise ValueError(f"{type(self).__name__}: num_cg must be positive, got {self.num_cg}")

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int = 1,
        *,
        generator: torch.Generator,
        callback: Callback | None = None,
        split: Split | None = None,
        checkpoints: Checkpoints | None = None,
        execution: Execution | None = None,
        known: KnownSlices | None = None,
        start: Tensor | None = None,
    ) -> Samples:
        """Reconstruct a volume.

        Args:
            likelihood: Of one volume (slices, rows, columns), or of the slices held here.
            denoiser: Prior of the same slices in the units of the image, such as a ``SlicePrior``.
            num_samples: Volumes that are drawn.
            generator: Its seed names all random numbers.
            callback: Called after each step.
            split: Which slices are held here; all by default.
            checkpoints: Where the run keeps its state and what it goes on from.
            execution: Where volumes live and how much memory the run may take; all in one place
                by default.
            known: Slices, of those held here, that stay at their values and at noise 0.
            start: State before the first step, such as the result of an earlier run,
                ``(num_samples, count, rows, columns)``; by default that of ``init``.

        Raises:
            ValueError: The prior doesn't fit the operator, this is no volume, the start is none
                of these slices, or the memory does not suffice.
        """
        problem = self._problem(likelihood, denoiser, num_samples, generator, split, execution)
        problem = self.prepared(_pinned(problem, known))
        found = checkpoints.load() if checkpoints is not None else None
        if found is None:
            first, state = 0, self._first(problem, start)
        else:
            first, state = found[0], self.restored(found[1], problem)
        sigmas = problem.half * self.levels()
        for i in range(first, self.num_steps):
            if checkpoints is not None:
                checkpoints.save(i, state)
            state, image = self.step(i, state, sigmas[i], sigmas[i + 1], problem)
            if callback is not None:
                misfit = problem.likelihood.residual_over_noise(image)
                callback(Progress(i, self.num_steps, sigmas[i], misfit, image))
        weights = state.x.real.new_zeros(num_samples).log_softmax(0)
        return Samples(state.x, weights)

    def prepared(self, problem: Problem3D) -> Problem3D:
        """Return the problem with what the method needs in every step; found anew on resuming."""
        return problem

    def levels(self) -> Tensor:
        """Return the noise levels in half data ranges, the last one 0; ``num_steps + 1``."""
        levels = karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        return torch.cat([levels, levels.new_zeros(1)])

    def init(self, problem: Problem3D) -> VolumeState:
        """Return the first state: a regularised least-squares volume, under noise if need be."""
        adjoint, memory = problem.likelihood.weighted_adjoint, problem.memory
        middle = adjoint.new_full((), problem.denoiser.data_range[0] + problem.half)
        weight = middle.real.new_full((), problem.half**-2)
        # over all slices together, as every other data step: a split cannot change it
        one = data_step(
            problem.likelihood,
            middle.expand(1, *adjoint.shape),
            weight,
            Terms(),
            problem.split,
            num_steps=_START_STEPS,
            memory=memory,
        )
        x = one
        if problem.noise.num_samples > 1:
            x = memory.copy(one.expand(problem.noise.num_samples, *adjoint.shape))
        x = x if problem.known is None else problem.known.pin(x)
        return VolumeState(x, self.coupling.init(x, problem.split, memory))

    def restored(self, parts: Any, problem: Problem3D) -> VolumeState:
        """Return the state that a checkpoint has kept, its tensors where the run has them."""
        home = problem.likelihood.weighted_adjoint.device
        x, coupling = parts
        return VolumeState(
            problem.memory.placed(x, home), tuple(problem.memory.placed(t, home) for t in coupling)
        )

    def _first(self, problem: Problem3D, start: Tensor | None) -> VolumeState:
        if start is None:
            return self.init(problem)
        expected = (problem.noise.num_samples, *problem.likelihood.image_shape)
        if tuple(start.shape) != expected:
            raise ValueError(
                f"{type(self).__name__}: expected a start of {expected}, got {tuple(start.shape)}"
            )
        start = start if problem.known is None else problem.known.pin(start)
        home = problem.likelihood.weighted_adjoint.device
        x = problem.memory.placed(start, home)
        return VolumeState(x, self.coupling.init(x, problem.split, problem.memory))

    @abc.abstractmethod
    def step(
        self, number: int, state: VolumeState, sigma: Tensor, sigma_next: Tensor, problem: Problem3D
    ) -> tuple[VolumeState, Tensor]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise.

        Returns:
            The state, and the image that the callback sees.
        """

    def corrected(
        self,
        number: int,
        state: VolumeState,
        noisy: Tensor,
        sigma: Tensor,
        weight: Tensor,
        problem: Problem3D,
        estimate: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, CouplingState]:
        """Return the denoised volume, the same after the data step, and the coupling's state.

        The coupling sees the denoised volume as the estimate if there is no other without noise.
        """
        data_range, known = problem.denoiser.data_range, problem.known
        mean = problem.denoiser(noisy, sigma.to(noisy.dtype.to_real()))
        if self.clip:
            mean = problem.memory.map(lambda v: clipped(v, data_range), mean)
        # known values may lie outside the data range
        mean = mean if known is None else known.pin(mean)
        context = DataStep(
            number,
            mean if estimate is None else estimate,
            mean,
            sigma,
            weight,
            problem.noise,
            problem.split,
            data_range,
            problem.memory,
        )
        terms = self.coupling.terms(state.coupling, context)
        x = data_step(
            problem.likelihood,
            mean,
            weight,
            terms,
            problem.split,
            num_steps=self.num_cg,
            free=None if known is None else known.free(mean),
            memory=problem.memory,
        )
        return mean, x, self.coupling.update(state.coupling, x, context)

    def _problem(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        generator: torch.Generator,
        split: Split | None,
        execution: Execution | None = None,
    ) -> Problem3D:
        half = check_problem(likelihood, denoiser)
        shape = likelihood.image_shape
        if len(shape) != 3 or likelihood.batch_shape:
            raise ValueError(
                f"{type(self).__name__}: expected one volume (slices, rows, columns), got images "
                f"of {shape} in a batch of {tuple(likelihood.batch_shape)}"
            )
        split = Whole(shape[0]) if split is None else split
        if split.count != shape[0]:
            raise ValueError(
                f"{type(self).__name__}: the split holds {split.count} of {split.total} slices "
                f"here, the operator takes {shape[0]}; one that mixes slices cannot be split"
            )
        memory = IN_CORE
        if execution is not None:
            memory = execution.memory(num_samples * vector_bytes(likelihood))
            likelihood = placed_likelihood(likelihood, memory, num_samples)
            denoiser = denoiser.placed(memory) if isinstance(denoiser, SlicePrior) else denoiser
        noise = SliceNoise(draw_seeds(generator, 1)[0], num_samples, split, memory)
        return Problem3D(likelihood, denoiser, noise, split, half, memory)


def _pinned(problem: Problem3D, known: KnownSlices | None) -> Problem3D:
    if known is None:
        return problem
    known = known.moved(problem.likelihood.weighted_adjoint)
    return problem._replace(denoiser=PinnedSlices(problem.denoiser, known), known=known)
