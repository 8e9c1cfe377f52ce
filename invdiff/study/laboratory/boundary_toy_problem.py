"""Gaussian super-resolution with a chosen posterior covariance, where every boundary is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.superres.exact import ExactConditional
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Pairs
from operators import GaussianNoise, Matrix

__all__ = ["AffineOde", "GaussianToy", "power_spectrum"]

# variance of the noise over the largest posterior variance; anything above 1 has a prior
_NOISE = 4.0


def power_spectrum(dims: int, decay: float) -> Tensor:
    """Return the variances i^-decay, i = 1 ... dims, float64."""
    return torch.arange(1, dims + 1, dtype=torch.float64) ** -decay


@dataclass(frozen=True)
class GaussianToy:
    r"""Pairs :math:`x \sim N(0, C), y = x + s e` whose posterior covariance is diag(S).

    .. math:: C = S s^2 / (s^2 - S), \qquad s^2 = 4 \max S

    so h(x_T, y) is the posterior mean plus :math:`S^{1/2} x_T` and the squared error of a
    boundary is :math:`\operatorname{tr} S + x_T^T S x_T` on average over the pairs.

    Args:
        spectrum: S, ``(dims,)``, positive.
    """

    spectrum: Tensor

    @property
    def noise_std(self) -> float:
        """Spread of the noise: twice the largest posterior standard deviation."""
        return float((_NOISE * self.spectrum.max()).sqrt())

    @property
    def effective_dims(self) -> float:
        """(tr S)^2 / tr S^2, between 1 and dims."""
        return float(self.spectrum.sum() ** 2 / (self.spectrum**2).sum())

    def denoiser(self) -> ExactConditional:
        """Return the exact conditional denoiser."""
        eye = torch.eye(len(self.spectrum), dtype=torch.float64)
        return ExactConditional(self._prior(), Matrix(eye), self.noise_std)

    def pairs(self, count: int, generator: torch.Generator) -> Pairs:
        """Draw pairs."""
        truths = self._prior().sample(count, generator=generator)
        noise = GaussianNoise(self.noise_std)
        return Pairs(noise.sample(truths, generator=generator), truths)

    def metric(self, image: Tensor, truth: Tensor) -> Tensor:
        """Return the squared error in units of tr S."""
        return ((image - truth) ** 2).sum(-1) / self.spectrum.sum()

    def exact_image(self, boundary: Tensor, y: Tensor, sigma_max: float) -> Tensor:
        """Return h without error of discretisation, for a start at sigma_max, in units of x."""
        denoiser = self.denoiser()
        mean = denoiser.posterior_mean(y)
        start = denoiser.center(y) + sigma_max * boundary
        return mean + (self.spectrum / (self.spectrum + sigma_max**2)).sqrt() * (start - mean)

    def _prior(self) -> GaussianPrior:
        noise = self.noise_std**2
        covariance = self.spectrum * noise / (noise - self.spectrum)
        return GaussianPrior(torch.zeros_like(self.spectrum), torch.diag(covariance))


@dataclass(frozen=True)
class AffineOde:
    r"""h(x_T, y) = b + H x_T + M y, found by integrating the ODE for a basis of x_T and of y.

    Affine is what any linear integrator makes of a Gaussian's ODE.

    Args:
        offset: b, ``(dims,)``.
        boundary: H, ``(dims, dims)``.
        measurement: M, ``(dims, dims)``.
    """

    offset: Tensor
    boundary: Tensor
    measurement: Tensor

    @classmethod
    def of(cls, ode: SuperResolutionOde, dims: int) -> AffineOde:
        """Integrate the ODE 2 dims + 1 times, in one batch."""
        basis = torch.eye(dims, dtype=torch.float64)
        zeros, nothing = torch.zeros_like(basis), torch.zeros_like(basis[:1])
        x_T = torch.cat([nothing, basis, zeros])
        images = ode(x_T, torch.cat([nothing, zeros, basis]))
        offset, columns = images[0], images[1:] - images[0]
        return cls(offset, columns[:dims].mT, columns[dims:].mT)

    def __call__(self, boundary: Tensor, y: Tensor) -> Tensor:
        """Return h(x_T, y)."""
        return self.offset + boundary @ self.boundary.mT + y @ self.measurement.mT

    def mean_errors(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the mean error of h(0, y) over pairs, ``(dims,)``, and its mean square."""
        errors = pairs.truths - self(torch.zeros_like(self.offset), pairs.measurements)
        return errors.mean(0), (errors**2).sum(-1).mean()

    def losses(self, boundaries: Tensor, pairs: Pairs) -> Tensor:
        r"""Return the squared error of each boundary, mean over pairs, shape ``(boundaries,)``.

        .. math:: \overline{\|e\|^2} - 2 \bar e^T H x_T + \|H x_T\|^2
        """
        mean, square = self.mean_errors(pairs)
        shifts = boundaries @ self.boundary.mT
        return square - 2 * shifts @ mean + (shifts**2).sum(-1)

    def optimum(self, pairs: Pairs) -> Tensor:
        """Return the boundary of least squared error on pairs, H^-1 times their mean error."""
        return torch.linalg.solve(self.boundary, self.mean_errors(pairs)[0])
