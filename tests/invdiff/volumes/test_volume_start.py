"""Going on from a volume that an earlier run found."""

from __future__ import annotations

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.volumes import RedDiff3D, SlicePrior, TotalVariationZ, perpendicular_red_diff
from operators import GaussianNoise, Identity, SliceStack


def _problem() -> tuple[Likelihood, SlicePrior]:
    y = torch.linspace(0, 1, 12, dtype=torch.float64).reshape(3, 2, 2)
    prior = GaussianPrior(torch.zeros(2, 2).double(), torch.eye(4).double())
    return Likelihood(SliceStack(Identity((2, 2)), 3), GaussianNoise(0.1), y), SlicePrior(prior, 3)


def _run(start: torch.Tensor | None, relaxation: float = 0.25) -> torch.Tensor:
    method = RedDiff3D(num_steps=2, relaxation=relaxation, coupling=TotalVariationZ(0.1))
    generator = torch.Generator().manual_seed(0)
    return method.sample(*_problem(), generator=generator, start=start).values


def test_a_run_starts_where_it_is_told() -> None:
    """What two small steps leave of the start is (1 - r)^2 of it."""
    start = torch.full((1, 3, 2, 2), 7.0, dtype=torch.float64)
    # the first step of total variation along z remembers differences, of which a constant has none
    left = _run(start, 1e-6) / start
    torch.testing.assert_close(left, torch.ones_like(left), rtol=1e-5, atol=0)
    assert not torch.allclose(_run(start), _run(None), rtol=0.01)


def test_other_volumes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a start of \(1, 3, 2, 2\), got \(3, 2, 2\)"):
        _run(torch.zeros(3, 2, 2).double())


def test_refinement_follows_the_planes_and_not_the_slices() -> None:
    """Where planes say 3 and slices 0, data that are all but nothing leave it near 3."""

    class Constant:
        data_range, image_shape = (0.0, 4.0), None

        def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return torch.full_like(x, 3.0)

    operator = SliceStack(Identity((2, 2)), 3)
    likelihood = Likelihood(operator, GaussianNoise(1e6), torch.zeros(3, 2, 2).double())
    prior = GaussianPrior(torch.zeros(2, 2).double(), 1e-6 * torch.eye(4).double())
    refine = perpendicular_red_diff(lambda size: Constant(), (1.0, 1.0, 1.0), relaxation=0.9)
    generator = torch.Generator().manual_seed(0)
    start = torch.zeros(1, 3, 2, 2).double()
    found = refine.sample(likelihood, SlicePrior(prior, 3), generator=generator, start=start)
    # the slices' own zero has a thousandth of the weight
    torch.testing.assert_close(found.values, torch.full_like(start, 3.0), rtol=2e-3, atol=0)
