"""Starts below the highest noise level, from the Gaussian that matches the posterior there."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from invdiff.priors.denoiser import half_range
from invdiff.superres.analytic_bases import Family, check_family, from_basis, to_basis
from invdiff.superres.boundary_losses import check_pairs
from invdiff.superres.conditional import ConditionalDenoiser
from invdiff.superres.pairs import Pairs

__all__ = ["AnalyticStart", "fit_analytic_start", "load_analytic_start"]


@dataclass(frozen=True, eq=False)
class AnalyticStart:
    r"""The start from the Gaussian closest to the posterior at that noise level.

    .. math:: x = m(y) + (C + \sigma^2)^{1/2} x_T, \qquad C = U\, \mathrm{diag}(v)\, U^*

    with U the basis of the family. It is the Analytic-Init of :cite:t:`zhao2024` given a
    measurement: no step is spent on noise levels where the posterior is all but Gaussian.

    Args:
        variances: v of the image's pixels or frequencies, in squared units of the image;
            0-dimensional for the family ``"scalar"``.
        family: ``"scalar"``, ``"pixel"`` (independent pixels), ``"fourier"`` or ``"cosine"``
            (stationary, with periodic or mirrored edges).
        mean_sigma: Noise level in half data ranges at which one network call gives
            m(y) = D(c(y), mean_sigma, y); None: m(y) = c(y), without a call.

    Raises:
        ValueError: An unknown family, variances that are not positive or zero, or of a shape
            that is not the family's, or a noise level that is not positive.
    """

    variances: Tensor
    family: Family = "cosine"
    mean_sigma: float | None = 2.0

    def __post_init__(self) -> None:
        check_family(self.family)
        if (self.variances.ndim == 0) != (self.family == "scalar") or not (
            (self.variances >= 0) & self.variances.isfinite()
        ).all():
            raise ValueError(
                f"AnalyticStart: expected variances >= 0, one for the family scalar and one for "
                f"each pixel else, got shape {tuple(self.variances.shape)} for {self.family}"
            )
        _check_level(self.mean_sigma)

    @property
    def num_calls(self) -> int:
        """Evaluations of D that the mean takes, 0 or 1."""
        return 0 if self.mean_sigma is None else 1

    def __call__(
        self, denoiser: ConditionalDenoiser, sigma: Tensor, boundary: Tensor, y: Tensor
    ) -> Tensor:
        """Return the state of a boundary whose trailing axes are those of the variances."""
        shape = self.variances.shape
        if boundary.shape[boundary.ndim - len(shape) :] != shape:
            raise ValueError(
                f"AnalyticStart: fitted on images of {tuple(shape)}, the boundary is "
                f"{tuple(boundary.shape)}"
            )
        axes = len(shape)
        std = (self.variances.to(boundary) + sigma.to(boundary) ** 2).sqrt()
        mean = _mean(denoiser, y, self.mean_sigma)
        coefficients = std * to_basis(boundary, self.family, axes)
        return mean + from_basis(coefficients, self.family, axes)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the start as a safetensors file."""
        about = {"family": self.family, "mean_sigma": repr(self.mean_sigma)}
        save_file({"variances": self.variances.contiguous()}, path, about)


def fit_analytic_start(
    denoiser: ConditionalDenoiser,
    references: Pairs,
    sigma: float | None = 2.0,
    *,
    family: Family = "cosine",
) -> AnalyticStart:
    r"""Fit the Gaussian start that minimises the mean divergence from the posterior.

    .. math:: v_i = \tfrac{1}{R} \sum_r |u_i^* (x_0^{(r)} - m(y^{(r)}))|^2

    Among :math:`N(m(y), U\,\mathrm{diag}(v + \sigma^2)\,U^*)` the divergence
    :math:`KL(p(x_\sigma | y) \| \cdot)` averaged over y is, up to a constant, half the sum of
    :math:`\ln(v_i + \sigma^2) + (s_i + \sigma^2) / (v_i + \sigma^2)`, with s the second moments
    of the residuals. Its minimum is v = s, at every noise level: one fit serves all.

    Args:
        denoiser: D; one call for each reference, unless sigma is None.
        references: Pairs that stand for those that will be solved.
        sigma: Noise level of the mean in half data ranges, far above the image's spread; None:
            the mean is the rough image c(y).
        family: Basis of the covariance, see ``AnalyticStart``.

    Raises:
        ValueError: An unknown family, no references, or a noise level that is not positive.
    """
    check_family(family)
    _check_level(sigma)
    check_pairs("references", references)
    measurements, truths = references
    with torch.no_grad():
        residuals = truths - _mean(denoiser, measurements, sigma)
        moments = to_basis(residuals, family, truths.ndim - 1).abs() ** 2
    return AnalyticStart(moments.mean() if family == "scalar" else moments.mean(0), family, sigma)


def load_analytic_start(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu"
) -> AnalyticStart:
    """Read a start that ``AnalyticStart.save`` wrote.

    Raises:
        ValueError: The file is not one.
    """
    try:
        with safe_open(Path(path), "pt", device=str(device)) as file:
            about, variances = file.metadata() or {}, file.get_tensor("variances")
        level, family = about["mean_sigma"], cast(Family, about["family"])
        return AnalyticStart(variances, family, None if level == "None" else float(level))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not an analytic start ({error})") from error


def _mean(denoiser: ConditionalDenoiser, y: Tensor, level: float | None) -> Tensor:
    center = denoiser.center(y)
    if level is None:
        return center
    sigma = torch.tensor(half_range(denoiser) * level, dtype=torch.float64, device=center.device)
    return denoiser(center, sigma, y)


def _check_level(sigma: float | None) -> None:
    if sigma is not None and not 0 < sigma < math.inf:
        raise ValueError(f"sigma: expected a positive noise level or None, got {sigma}")
