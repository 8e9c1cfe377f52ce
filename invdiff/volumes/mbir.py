"""DiffusionMBIR: a predictor-corrector on slices, and total variation along z by ADMM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from invdiff.linalg import inner
from invdiff.volumes.coupling import Independent, SliceCoupling, soft_threshold
from invdiff.volumes.mbir_data import Backprojection, MeasuredVolume, descend
from invdiff.volumes.mbir_ends import Ends, SliceDifferences
from invdiff.volumes.mbir_moves import CorrectorLevel, Moved, pinned, predict_and_correct
from invdiff.volumes.sampler import Problem3D, VolumeSampler, VolumeState

__all__ = ["DiffusionMBIR"]

_PUBLISHED_PENALTY = 10 / 383
_CHOICES = {
    "ends": ("neumann", "periodic"),
    "backprojection": ("adjoint", "published"),
    "step_size": ("global", "per-slice"),
    "data_on": ("denoised", "noisy"),
    "corrector_level": ("next", "same"),
    "finish": ("denoised", "kaczmarz"),
}


class _Constants(NamedTuple):
    """The normal equations, their right-hand side and rho, the same in all steps."""

    data: MeasuredVolume
    target: Tensor
    rho: Tensor


@dataclass(frozen=True)
class DiffusionMBIR(VolumeSampler):
    r"""DiffusionMBIR :cite:p:`chung2023mbir`, corrected; ``published`` gives it as it was released.

    Each step moves all slices by a reverse-diffusion predictor and a Langevin corrector
    :cite:p:`song2021`, two network calls a slice, and then the volume by one iteration of ADMM

    .. math:: v &\leftarrow \arg\min_v \tfrac12 \|t - A v\|_W^2 + \tfrac w2 \|v - \hat x\|^2 +
        \tfrac\rho2 \|D_z v - z + u\|^2 \\
        z &\leftarrow S_{\tau}(D_z v + u), \qquad u \leftarrow u + D_z v - z

    by a few conjugate gradient steps from :math:`\hat x`, and z and u are carried on through all
    noise levels. Published, :math:`\hat x` is the noisy x, which becomes v, and w = 0: the noise of
    y and that of the diffusion are both fitted. Corrected, :math:`\hat x` is the denoised volume,
    and x moves by the score of the data, for as long a time :math:`\epsilon` as predictor and
    corrector moved it by that of the prior:

    .. math:: x \leftarrow x + \frac{\epsilon}{s} (v - \hat x), \qquad
        w = \frac{1}{\kappa s}, \quad s = \sigma^2 + \kappa \epsilon, \quad
        \kappa = \frac{h^2}{\sigma^2 + h^2}

    This is an implicit Euler step, for a prior that is taken as white with the standard deviation
    h, half the data range; :math:`\kappa` is then the slope of the denoiser.

    :math:`\tau = \lambda / \rho` is a difference of voxels and is given in half data ranges; rho is
    given over :math:`\langle 1, A^T W A 1 \rangle / \langle 1, 1 \rangle`, so that neither depends
    on units, noise, size or the scaling of A. The published lambda 0.04 and rho 10, for a data
    range of 1, 256 x 256 pixels and the back-projection scaled by pi / 2V, are 0.008 and 0.026.

    Args:
        num_steps: N, noise levels; two network calls for each slice and level.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges; the grid between is geometric.
        num_cg: Conjugate gradient steps of each iteration.
        clip: Whether the denoised volume is clamped to the data range.
        snr: Signal-to-noise ratio of the corrector.
        threshold: tau, in half data ranges.
        penalty: rho, relative as above.
        ends: What is behind the last slice: "neumann" nothing, "periodic" the first one.
        backprojection: "adjoint", or "published": the unmatched ``smear``, for slices of
            ``ParallelBeam2D``.
        step_size: "global": one inner product for the volume, as conjugate gradients need; or
            "per-slice".
        conjugate: Whether the second direction is conjugate to the first; see ``descend``.
        data_on: Whether :math:`\hat x` is "denoised" or "noisy".
        noise_aware: Whether W and w are as above, 1 and 0 otherwise.
        corrector_level: Noise level that the corrector is told: the "next" one, which the predictor
            has just reached, or the "same" as the predictor.
        finish: What the last step returns: "denoised" the mean after the data, "kaczmarz" the noisy
            volume after one step towards the data.

    Raises:
        ValueError: A number out of its range, or an unknown word.
    """

    num_steps: int = 2000
    sigma_max: float = 100.0
    sigma_min: float = 0.02
    # the exponent of another grid, and couplings of other data steps: of no use here
    rho: float = field(default=7.0, init=False, repr=False)
    coupling: SliceCoupling = field(default_factory=Independent, init=False, repr=False)
    num_cg: int = 5
    snr: float = 0.16
    threshold: float = 0.008
    penalty: float = _PUBLISHED_PENALTY
    ends: Ends = "neumann"
    backprojection: Backprojection = "adjoint"
    step_size: Literal["global", "per-slice"] = "global"
    conjugate: bool = True
    data_on: Literal["denoised", "noisy"] = "denoised"
    noise_aware: bool = True
    corrector_level: CorrectorLevel = "next"
    finish: Literal["denoised", "kaczmarz"] = "denoised"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.snr > 0 and self.threshold >= 0 and self.penalty > 0):
            raise ValueError(
                "DiffusionMBIR: expected snr > 0, threshold >= 0 and penalty > 0, got "
                f"{self.snr}, {self.threshold} and {self.penalty}"
            )
        for name, words in _CHOICES.items():
            if getattr(self, name) not in words:
                raise ValueError(f"DiffusionMBIR: {name} is one of {words}: {getattr(self, name)}")

    @classmethod
    def published(cls) -> DiffusionMBIR:
        """Return the sampler with all choices of the released code; ``replace`` changes one."""
        return cls(
            sigma_max=756.0,
            num_cg=1,
            clip=False,
            ends="periodic",
            backprojection="published",
            conjugate=False,
            data_on="noisy",
            noise_aware=False,
            corrector_level="same",
            finish="kaczmarz",
        )

    def levels(self) -> Tensor:
        """Return the geometric noise levels in half data ranges, the last one 0."""
        ramp = torch.linspace(0, 1, self.num_steps, dtype=torch.float64)
        levels = self.sigma_max * (self.sigma_min / self.sigma_max) ** ramp
        return torch.cat([levels, levels.new_zeros(1)])

    def prepared(self, problem: Problem3D) -> Problem3D:
        """Return the problem with its normal equations."""
        data = MeasuredVolume(
            problem.likelihood, problem.split, self.noise_aware, self.backprojection
        )
        constants = _Constants(data, data.target, self.penalty * data.curvature())
        return problem._replace(constants=constants)

    def init(self, problem: Problem3D) -> VolumeState:
        """Return noise, and no differences."""
        like = problem.likelihood.weighted_adjoint
        like = like.expand(problem.noise.num_samples, *like.shape)
        x = problem.noise.normal(0, like, label="start") * (self.sigma_max * problem.half)
        return VolumeState(pinned(x, problem), (torch.zeros_like(x), torch.zeros_like(x)))

    def step(
        self, number: int, state: VolumeState, sigma: Tensor, sigma_next: Tensor, problem: Problem3D
    ) -> tuple[VolumeState, Tensor]:
        """Go from one noise level to the next, in units of the image."""
        moved = predict_and_correct(
            number,
            state.x,
            (sigma, sigma_next),
            problem,
            snr=self.snr,
            clip=self.clip,
            corrector_level=self.corrector_level,
        )
        is_end = bool(sigma_next == 0)
        if is_end and self.finish == "denoised":
            moved = moved._replace(x=moved.mean)
        shift, carried = self._admm(moved, state.coupling, problem)
        x = moved.x + shift
        if is_end and self.finish == "kaczmarz":
            x = problem.constants.data.kaczmarz(x)
        x = pinned(x, problem)
        return VolumeState(x, carried), x

    def _admm(
        self, moved: Moved, carried: tuple[Tensor, ...], problem: Problem3D
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return how x moves, and z and u."""
        (z, u), (data, target, rho) = carried, problem.constants
        differences = SliceDifferences(problem.split, self.ends)
        first = pinned(moved.mean if self.data_on == "denoised" else moved.x, problem)
        # known slices don't take part in the descent
        free = first.real.new_ones(()) if problem.known is None else problem.known.free(first)
        weight, fraction = self._balance(moved, problem.half)
        num_dims = 2 if self.step_size == "per-slice" else 3

        def product(a: Tensor, b: Tensor) -> Tensor:
            own = inner(a, b, num_dims)
            return own if num_dims == 2 else problem.split.all_sum(own)

        v = descend(
            lambda x: free * (data.normal(x) + weight * x + rho * differences.normal(x)),
            free * (target + weight * first + rho * differences.adjoint(z - u)),
            first,
            product,
            num_steps=self.num_cg,
            conjugate=self.conjugate,
        )
        changed = differences.forward(v) + u
        z = soft_threshold(changed, rho.new_tensor(self.threshold * problem.half))
        return fraction * (v - first), (z, changed - z)

    def _balance(self, moved: Moved, half: float) -> tuple[Tensor, Tensor]:
        """Return w, and the part of the way to v that x goes."""
        one = torch.ones_like(moved.level)
        if not self.noise_aware:
            return 0 * one, one
        if self.data_on == "noisy":
            return 1 / moved.time, one
        slope = half**2 / (moved.level**2 + half**2)
        width = moved.level**2 + slope * moved.time
        return 1 / (slope * width), moved.time / width
