"""RED-diff of volumes, with coupled slices."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invdiff.volumes.sampler import Problem3D, VolumeSampler, VolumeState

__all__ = ["RedDiff3D"]


@dataclass(frozen=True)
class RedDiff3D(VolumeSampler):
    r"""RED-diff :cite:p:`mardani2024` with the proximal step on a whole volume.

    .. math:: \mu \leftarrow \mu + r\,\Bigl(\arg\min_z \tfrac12 \|t - A z\|_W^2 +
        \tfrac w2 \|z - D(\mu + \sigma n, \sigma)\|^2 + R(z) - \mu\Bigr), \qquad
        w = \frac{\lambda}{h^2} \Bigl(\frac{h}{\sigma}\Bigr)^3

    h is half the data range and R the coupling. Without it this is ``RedDiff`` on every slice, up
    to step sizes of conjugate gradients that all slices share.

    Args:
        num_steps: Noise levels, one network call for each slice and level.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        num_cg: Conjugate gradient steps of each data step, started at D.
        clip: Whether D is clamped to the data range.
        coupling: R.
        regularization: lambda.
        relaxation: r.

    Raises:
        ValueError: A number out of its range.
    """

    regularization: float = 0.03
    relaxation: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.regularization > 0 and 0 < self.relaxation <= 1):
            raise ValueError(
                "RedDiff3D: expected regularization > 0 and 0 < relaxation <= 1, got "
                f"{self.regularization} and {self.relaxation}"
            )

    def step(
        self, number: int, state: VolumeState, sigma: Tensor, sigma_next: Tensor, problem: Problem3D
    ) -> tuple[VolumeState, Tensor]:
        """Move mu once at a noise level in the units of the image."""
        level = (sigma / problem.half).to(state.x.dtype.to_real())
        weight = self.regularization * level**-3 / problem.half**2
        noise = problem.noise.normal(number, state.x)
        noisy = state.x + sigma.to(level) * noise
        _, z, coupling = self.corrected(number, state, noisy, sigma, weight, problem, state.x)
        mu = state.x + self.relaxation * (z - state.x)
        return VolumeState(mu, coupling), mu
