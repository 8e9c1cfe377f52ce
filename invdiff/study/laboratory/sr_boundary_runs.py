"""The boundaries of one task at one number of network calls, found and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.study.laboratory.sr_boundary_data import TaskPairs
from invdiff.superres.analytic_init import fit_analytic_start
from invdiff.superres.boundary import (
    BoundaryCost,
    PosteriorMeanBoundary,
    SharedBoundary,
    ZeroBoundary,
    drawn_boundary,
)
from invdiff.superres.boundary_scores import BoundaryComparison
from invdiff.superres.evaluation import compare_boundaries
from invdiff.superres.network_prior import SuperResolutionPrior
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Boundary, Metric, Pairs
from invdiff.superres.perceptual import one_minus_ms_ssim, squared_error, squared_error_db
from invdiff.superres.perceptual_features import FeatureDistance
from invdiff.superres.refinement import refine_boundary
from invdiff.superres.refinement_plan import Refinement
from invdiff.superres.search import search_boundary
from invdiff.superres.selection import select_by_consistency
from invdiff.superres.spectral_basis import RadialSpectrum
from invdiff.superres.spectral_search import search_spectral
from operators import GaussianNoise

__all__ = ["EXTENDED_BY", "METRICS", "SEARCHED_BY", "BoundaryRun", "SelectedBoundary", "metrics_of"]

METRICS = ("mse", "ms-ssim", "features")
# the third prefers texture as strong as the truth's, whichever it is: there is nothing to search
SEARCHED_BY = METRICS[:2]
EXTENDED_BY = METRICS[1]
# the measurements are exact; any level makes the same choice
_NOISE = 0.01


def metrics_of(prior: SuperResolutionPrior) -> dict[str, Metric]:
    """Return the losses by name, for images in [-1, 1]; lower is better."""
    ms_ssim = partial(one_minus_ms_ssim, data_range=2.0)
    return dict(zip(METRICS, (squared_error, ms_ssim, FeatureDistance(prior)), strict=True))


class SelectedBoundary:
    """The candidate that explains each measurement best, see ``select_by_consistency``.

    Args:
        ode: h.
        prior: Says how images are measured.
        num_candidates: For each image.
        seed: Of the candidates.
    """

    def __init__(
        self, ode: SuperResolutionOde, prior: SuperResolutionPrior, num_candidates: int, seed: int
    ) -> None:
        self.ode, self.prior, self.num_candidates, self.seed = ode, prior, num_candidates, seed
        self.cost = BoundaryCost(per_image=(num_candidates - 1) * ode.num_calls)

    def __call__(self, y: Tensor) -> Tensor:
        """Return ``(*batch, *image)``."""
        rows, columns = self.prior.center(y).shape[-2:]
        likelihood = Likelihood(self.prior.operator((rows, columns)), GaussianNoise(_NOISE), y)
        generator = derive_generator(self.seed, "selection", device=y.device)
        return select_by_consistency(
            self.ode, likelihood, num_candidates=self.num_candidates, generator=generator
        ).boundaries


@dataclass(frozen=True)
class BoundaryRun:
    """All boundaries at one number of network calls.

    Args:
        prior: The conditional prior.
        pairs: Of the task.
        integrator: Name of the solver.
        num_calls: Of the ODE.
        num_candidates: K of the search; whatever else is searched gets as many network calls.
        num_selected: Candidates of the selection by consistency, for each image.
        num_random: Random boundaries that all are compared with.
        analytic_sigma: Noise level of the start from a matched Gaussian, in half data ranges.
        seed: Of all random numbers.
    """

    prior: SuperResolutionPrior
    pairs: TaskPairs
    integrator: str
    num_calls: int
    num_candidates: int
    num_selected: int
    num_random: int
    analytic_sigma: float
    seed: int

    @property
    def ode(self) -> SuperResolutionOde:
        """The ODE from the usual start."""
        return SuperResolutionOde(self.prior, self.integrator, num_calls=self.num_calls)

    def analytic_ode(self) -> SuperResolutionOde:
        """Return the ODE from the Gaussian that is matched to the whole references."""
        start = fit_analytic_start(self.prior, self.pairs.whole)
        return SuperResolutionOde(
            self.prior,
            self.integrator,
            num_calls=self.num_calls,
            sigma_max=self.analytic_sigma,
            start=start,
        )

    def found(self, metric_name: str) -> Iterator[tuple[str, Tensor, int]]:
        """Yield names, boundaries and network calls of what is searched by one metric.

        The squared error is searched in decibels: on small parts it differs by orders of magnitude.
        """
        references, ode = self.pairs.parts, self.ode
        metric = metrics_of(self.prior)[metric_name]
        if metric_name == "mse":
            metric = partial(squared_error_db, data_range=2.0)
        published = search_boundary(
            ode, references, self.num_candidates, metric, generator=self._stream("search")
        )
        yield "searched", published.x_T, published.num_calls
        if metric_name != EXTENDED_BY:
            return
        noise = self._noise(references.truths[0])
        plan = Refinement(batch_size=32, chunk_size=32)
        steps = plan.steps_within(published.num_calls, len(references.truths), self.num_calls)
        refined = refine_boundary(
            ode, references, noise, metric, dataclasses.replace(plan, num_steps=steps),
            generator=self._stream("refinement"),
        )  # fmt: skip
        yield "refined", refined.x_T, refined.num_calls
        radial = search_spectral(
            ode, references, RadialSpectrum(noise, 4), metric, num_trials=self.num_candidates,
            generator=self._stream("spectral"),
        )  # fmt: skip
        yield "radial", radial.x_T, radial.num_calls

    def compared(self, shared: dict[str, tuple[Tensor, int]]) -> BoundaryComparison:
        """Return how boundaries do from the usual start, those given by name among them."""
        ode = self.ode
        boundaries: dict[str, Boundary] = {
            "zero": ZeroBoundary(self.prior),
            "posterior-mean": PosteriorMeanBoundary(ode),
            "selected": SelectedBoundary(ode, self.prior, self.num_selected, self.seed),
        }
        for name, (boundary, calls) in shared.items():
            boundaries[name] = SharedBoundary(boundary, self.prior, calls_spent=calls)
        return self._comparison(ode, boundaries, self.pairs.parts)

    def compared_analytic(self, ode: SuperResolutionOde) -> BoundaryComparison:
        """Return how x_T = 0 and random ones do from the matched Gaussian."""
        whole = self.pairs.whole
        boundaries: dict[str, Boundary] = {"analytic-zero": ZeroBoundary(self.prior)}
        # the start was fitted on them; one is enough, since nothing is said of their losses
        return self._comparison(ode, boundaries, Pairs(*(part[:1] for part in whole)))

    def _comparison(
        self, ode: SuperResolutionOde, boundaries: dict[str, Boundary], references: Pairs
    ) -> BoundaryComparison:
        return compare_boundaries(
            ode,
            boundaries,
            references,
            self.pairs.held_out,
            metrics_of(self.prior),
            generator=self._stream("random"),
            num_random=self.num_random,
            operator=lambda x: self.prior.operator((x.shape[-2], x.shape[-1]))(x),
        )

    def _noise(self, like: Tensor) -> Tensor:
        return drawn_boundary(
            self.seed, "noise", shape=like.shape, like=like, device=torch.device("cpu")
        )

    def _stream(self, label: str) -> torch.Generator:
        return derive_generator(self.seed, label, self.num_calls)
