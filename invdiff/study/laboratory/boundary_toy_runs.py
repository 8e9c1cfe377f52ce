"""Searches for the boundary of a Gaussian toy, judged on other pairs than they were made on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaincc
from torch import Tensor

from invdiff.rng import derive_generator
from invdiff.study.laboratory.boundary_toy_problem import AffineOde, GaussianToy
from invdiff.study.scripted import Arrays
from invdiff.superres.boundary_losses import losses_of
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Pairs
from invdiff.superres.search import search_boundary

__all__ = ["Searches", "expected_gain"]


@dataclass(frozen=True)
class Searches:
    """Repeated searches among random boundaries, each with its own pairs.

    Args:
        toy: The problem.
        ode: h of its denoiser.
        counts: Sizes K of the search, increasing; each takes the first K of the same candidates.
        held_out: Pairs that judge what was found.
        seed: Of pairs and candidates.
    """

    toy: GaussianToy
    ode: SuperResolutionOde
    counts: tuple[int, ...]
    held_out: int
    seed: int

    def repeat(self, references: int, repetitions: int) -> Arrays:
        """Return the losses of all repetitions in units of tr S, one a row.

        Returns:
            "best_reference", "best_held_out": of the best of each K, ``(repetitions, counts)``;
            "best_squares": its components squared, ``(repetitions, counts, dims)``;
            "random_held_out": mean over all candidates; "random_std": their spread;
            "zero_reference", "zero_held_out": of x_T = 0; "optimum_reference",
            "optimum_held_out": of the best boundary of all, on the references;
            "mean_held_out": of the posterior mean.
        """
        affine = AffineOde.of(self.ode, len(self.toy.spectrum))
        rows = [self._repetition(affine, references, r) for r in range(repetitions)]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def _repetition(self, affine: AffineOde, count: int, repetition: int) -> Arrays:
        references, held_out = self.pairs(repetition, count)
        candidates = self.candidates(repetition)
        zero, optimum = torch.zeros_like(candidates[:1]), affine.optimum(references)[None]
        unit = self.toy.spectrum.sum()
        known, unseen = (
            affine.losses(torch.cat([candidates, zero, optimum]), pairs).div(unit).numpy()
            for pairs in (references, held_out)
        )
        best = [int(known[:k].argmin()) for k in self.counts]
        mean = self.toy.denoiser().posterior_mean(held_out.measurements)
        return {
            "best_reference": known[best],
            "best_held_out": unseen[best],
            "best_squares": (candidates[best] ** 2).numpy(),
            "random_held_out": unseen[:-2].mean(),
            "random_std": unseen[:-2].std(ddof=1),
            "zero_reference": known[-2],
            "zero_held_out": unseen[-2],
            "optimum_reference": known[-1],
            "optimum_held_out": unseen[-1],
            "mean_held_out": self.toy.metric(mean, held_out.truths).mean().numpy(),
        }

    def integrate(self, count: int) -> Arrays:
        """Search once for each K with every image integrated, on the first repetition's pairs.

        Returns:
            "reference", "held_out": of what was found, in units of tr S, ``(counts,)``;
            "difference": largest between these and the losses of the affine map; "variance": of
            its images over tr S, 1 without error of discretisation.
        """
        affine, metric = AffineOde.of(self.ode, len(self.toy.spectrum)), self.toy.metric
        sets = self.pairs(0, count)
        rows, differences = [], []
        for k in self.counts:
            generator = derive_generator(self.seed, "search")
            search = search_boundary(self.ode, sets[0], k, metric, generator=generator)
            x_T = search.x_T[None]
            row = [float(losses_of(self.ode, x_T, pairs, metric).mean()) for pairs in sets]
            mapped = [float(affine.losses(x_T, pairs) / self.toy.spectrum.sum()) for pairs in sets]
            rows.append(row)
            differences.append(np.abs(np.subtract(row, mapped)).max())
        reference, held_out = np.array(rows).T
        variance = affine.boundary.square().sum() / self.toy.spectrum.sum()
        return {
            "reference": reference,
            "held_out": held_out,
            "difference": np.asarray(max(differences)),
            "variance": variance.numpy(),
        }

    def pairs(self, repetition: int, references: int) -> tuple[Pairs, Pairs]:
        """Return the references and the held-out pairs of a repetition."""
        known, unseen = (
            derive_generator(self.seed, name, repetition) for name in ("references", "held out")
        )
        return self.toy.pairs(references, known), self.toy.pairs(self.held_out, unseen)

    def candidates(self, repetition: int) -> Tensor:
        """Return the candidates of a repetition, ``(K, dims)``."""
        generator = derive_generator(self.seed, "candidates", repetition)
        shape = (max(self.counts), len(self.toy.spectrum))
        return torch.randn(shape, generator=generator, dtype=torch.float64)


def expected_gain(dims: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    r"""Return what the best of K boundaries gains if all variances are equal, in units of tr S.

    .. math:: 1 - \frac1d \mathrm{E} \min_{k \le K} \chi^2_d \approx 2 \sqrt{\ln K / d}

    without the error of finitely many references.

    Args:
        dims: d.
        count: K.
    """
    # E min = integral of P(chi^2 > d u)^K du; beyond 1 + 20 / sqrt(d) nothing is left, and the
    # power puts points where the best of many is in few dimensions
    u = np.linspace(0, 1, 4001)[:, None] ** 4 * (1 + 20 / dims**0.5)
    survival = gammaincc(dims / 2, dims * u / 2) ** count
    return np.asarray(1 - np.trapezoid(survival, u, axis=0))
