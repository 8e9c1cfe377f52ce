import math

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.linalg import inner
from invdiff.volumes import Whole
from invdiff.volumes.mbir_data import MeasuredVolume, descend, smear
from operators import GaussianNoise, ImageGrid, Mask, ParallelBeam2D, ParallelGeometry, SliceStack

GRID = ImageGrid((6, 8), (0.5, 0.5))
SIGMA = 0.2


@pytest.fixture
def projector():
    return ParallelBeam2D(GRID, ParallelGeometry.covering(GRID, 5)).to(torch.float64)


def measured(operator, generator, **choices):
    y = torch.randn(operator.out_shape, generator=generator, dtype=torch.float64)
    likelihood = Likelihood(operator, GaussianNoise(SIGMA), y)
    return MeasuredVolume(likelihood, Whole(operator.in_shape[0]), **choices)


def test_smear_sums_shadows_of_a_linear_sinogram(projector):
    """Linear interpolation of y = s is s at the shadow of every pixel."""
    geometry = projector.geometry
    s = torch.from_numpy(geometry.detector_positions())
    x, y = (torch.from_numpy(c) for c in GRID.coordinates())
    shadows = sum(x * math.cos(a) + y[:, None] * math.sin(a) for a in geometry.angles)
    expected = math.pi / 10 * shadows
    torch.testing.assert_close(smear(projector, s.expand(5, -1)), expected)


def test_smear_is_no_adjoint(projector, generator):
    x = torch.rand(GRID.shape, generator=generator, dtype=torch.float64)
    y = torch.rand(projector.out_shape, generator=generator, dtype=torch.float64)
    left, smeared = (projector(x) * y).sum(), smear(projector, y)
    scale = projector.adjoint(y).sum() / smeared.sum()
    assert ((x * scale * smeared).sum() - left).abs() > 1e-3 * left
    torch.testing.assert_close((x * projector.adjoint(y)).sum(), left)


def test_smear_takes_batches(projector, generator):
    y = torch.rand(2, 3, *projector.out_shape, generator=generator, dtype=torch.float64)
    batch = smear(projector, y)
    torch.testing.assert_close(batch[1, 2], smear(projector, y[1, 2]))


def test_weights_are_those_of_the_noise_or_one(projector, generator):
    stack = SliceStack(projector, 2)
    x = torch.rand(stack.in_shape, generator=generator, dtype=torch.float64)
    for backprojection in ("adjoint", "published"):
        of_noise = measured(stack, generator, backprojection=backprojection)
        plain = MeasuredVolume(of_noise.likelihood, Whole(2), False, backprojection)
        torch.testing.assert_close(of_noise.normal(x), plain.normal(x) / SIGMA**2)
        torch.testing.assert_close(of_noise.target, plain.target / SIGMA**2)
        torch.testing.assert_close(of_noise.curvature(), plain.curvature() / SIGMA**2)


def test_curvature_is_the_rayleigh_quotient_of_a_constant(generator):
    mask = torch.rand(4, 3, 3, generator=generator) < 0.4
    data = measured(Mask(mask), generator, weighted=False)
    torch.testing.assert_close(data.curvature(), mask.double().mean())


def test_kaczmarz_puts_measured_voxels_in_place_and_leaves_the_others(generator):
    mask = torch.rand(4, 3, 3, generator=generator) < 0.4
    data = measured(Mask(mask), generator)
    x = torch.rand(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    moved = data.kaczmarz(x)
    torch.testing.assert_close(data.likelihood.operator(moved), data.likelihood.y.expand(2, -1))
    assert torch.equal(moved[:, ~mask], x[:, ~mask])


@pytest.fixture
def system(generator):
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    return root @ root.T + torch.eye(6), torch.randn(6, generator=generator, dtype=torch.float64)


def solved(system, num_steps, conjugate):
    m, b = system
    return descend(
        lambda x: m @ x,
        b,
        torch.zeros_like(b),
        lambda u, v: inner(u, v, 1),
        num_steps=num_steps,
        conjugate=conjugate,
    )


def test_only_conjugate_directions_solve_in_as_many_steps_as_unknowns(system):
    m, b = system
    residual = [(m @ solved(system, 6, conjugate) - b).norm() / b.norm() for conjugate in (1, 0)]
    assert residual[0] < 1e-9
    assert residual[1] > 1e-3


def test_overwritten_direction_makes_no_difference_to_a_single_step(system):
    assert torch.equal(solved(system, 1, True), solved(system, 1, False))


def test_overwritten_direction_is_the_residual_and_its_step_too_short(system):
    """With p = (1 + beta) r the step r.r / p.Mp gives 1 / (1 + beta) of the steepest descent."""
    m, b = system
    first, second = solved(system, 1, False), solved(system, 2, False)
    r = b - m @ first
    growth = 1 + (r @ r) / (b @ b)
    torch.testing.assert_close(second - first, r * (r @ r) / (r @ m @ r) / growth)


def test_published_backprojection_is_refused_where_it_means_nothing(generator):
    with pytest.raises(ValueError, match="ParallelBeam2D"):
        measured(Mask(torch.ones(2, 3, 3).bool()), generator, backprojection="published")
