import math

import pytest
import torch

from invdiff.classical import fbp, interpolate, total_variation, zero_filled
from invdiff.classical.direct import find_operator
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from operators import (
    CartesianMRI,
    Downsample,
    FanBeam2D,
    FanGeometry,
    FiniteDifferences,
    GaussianNoise,
    Identity,
    ImageGrid,
    Mask,
    ParallelBeam2D,
    ParallelBeam3D,
    ParallelGeometry,
    ParallelGeometry3D,
    RealToComplex,
    SliceStack,
    VolumeGrid,
    birdcage_maps,
    cartesian_lines,
    filtered_backprojection,
    random_points,
)

SLICES, SIZE = 6, 24
THICKNESS = 3.0
SPACING = (THICKNESS, 1.0, 1.0)
# of a scaled problem, after as many iterations
CONVERGED = 2e-3


def measured(operator, sigma, x, generator):
    noise = GaussianNoise(sigma)
    return Likelihood(operator, noise, noise.sample(operator(x), generator=generator))


def ball():
    """A ball with a rod in it, along z."""
    axis = torch.linspace(-1, 1, SIZE)
    z, y, x = torch.meshgrid(torch.linspace(-1, 1, SLICES), axis, axis, indexing="ij")
    return 0.6 * (x**2 + y**2 + z**2 / 2 < 0.7).float() + 0.4 * (x**2 + y**2 < 0.1).float()


def pixels():
    return ImageGrid((SIZE, SIZE))


def parallel():
    return ParallelBeam2D(pixels(), ParallelGeometry.covering(pixels(), 12))


def fan():
    distances = {"source_to_axis": 60.0, "source_to_detector": 90.0}
    return FanBeam2D(pixels(), FanGeometry.covering(pixels(), 12, **distances))


def lines():
    mask = cartesian_lines((SIZE, SIZE), 2, 0.2, generator=torch.Generator().manual_seed(0))
    return CartesianMRI(mask, birdcage_maps((SIZE, SIZE), 3)) @ RealToComplex((SIZE, SIZE))


def points():
    plane = random_points((SLICES, SIZE), 2, 0.2, generator=torch.Generator().manual_seed(0))
    mask = plane.unsqueeze(1).expand(SLICES, SIZE, SIZE)
    return CartesianMRI(mask, birdcage_maps((SLICES, SIZE, SIZE), 3))


OPERATORS = {
    "stack": lambda: SliceStack(parallel(), SLICES),
    "parallel": lambda: ParallelBeam3D(
        VolumeGrid((SLICES, SIZE, SIZE), SPACING),
        ParallelGeometry3D.covering(VolumeGrid((SLICES, SIZE, SIZE), SPACING), 12),
    ),
    "mri": points,
}


def test_thick_slices_pull_less_in_closed_form():
    """Denoising four voxels: each edge shrinks in inverse proportion to the length across it.

    x = y - a s with s the slope of the variation, plus or minus 1 / h_z plus or minus 1 / h_x in
    the corners, and a such that x ends on the ball of the data.
    """
    y = torch.tensor([[[0.0, 1.0]], [[2.0, 3.0]]], dtype=torch.float64)
    radius, across, along = 0.2, 1.0, 1 / THICKNESS
    noise = GaussianNoise(radius / math.sqrt(y.numel()))
    likelihood = Likelihood(Identity(y.shape), noise, y)
    step = radius / (2 * math.hypot(across, along))
    signs = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    expected = y - step * (along * signs[:, None, None] + across * signs)
    x = total_variation(likelihood, num_steps=1000, spacing=SPACING, isotropic=False)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("spacing", [None, SPACING])
def test_equal_slices_become_what_one_of_them_becomes(generator, spacing):
    alone = measured(Identity((SIZE, SIZE)), 0.1, ball()[SLICES // 2], generator)
    y = alone.y.expand(SLICES, SIZE, SIZE)
    stack = Likelihood(SliceStack(alone.operator, SLICES), alone.noise, y)
    volume = total_variation(stack, num_steps=500, spacing=spacing)
    image = total_variation(alone, num_steps=500)
    torch.testing.assert_close(volume, image.expand_as(y), rtol=0, atol=CONVERGED)


def test_the_unit_of_the_spacing_does_not_matter(generator):
    likelihood = measured(Identity(ball().shape), 0.1, ball(), generator)
    in_mm = total_variation(likelihood, num_steps=100, spacing=SPACING)
    in_cm = total_variation(likelihood, num_steps=100, spacing=[h / 10 for h in SPACING])
    torch.testing.assert_close(in_cm, in_mm, rtol=0, atol=1e-4)


def variation(x, isotropic):
    slopes = FiniteDifferences(x.shape, spacing=SPACING, complex_valued=x.is_complex())(x).abs()
    return (torch.linalg.vector_norm(slopes, dim=0) if isotropic else slopes).sum().item()


def test_each_kind_of_variation_is_least_where_it_is_minimised(generator):
    likelihood = measured(Identity(ball().shape), 0.2, ball(), generator)
    found = {
        kind: total_variation(likelihood, spacing=SPACING, isotropic=kind) for kind in (False, True)
    }
    for kind in (False, True):
        assert variation(found[kind], kind) < 0.99 * variation(found[not kind], kind)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_volume_explains_its_data_with_less_variation_than_the_truth(generator, name):
    operator = OPERATORS[name]()
    x = ball() * (0.6 + 0.8j) if operator.in_complex else ball()
    likelihood = measured(operator, 0.02 * operator(x).abs().max().item(), x, generator)
    z = total_variation(likelihood, num_steps=150, spacing=SPACING)
    assert likelihood.residual_over_noise(z).item() == pytest.approx(1, abs=0.02)
    assert variation(z, True) < 1.02 * variation(x, True)


def test_neighbouring_slices_help(generator):
    """What goes on from slice to slice is found better than slice by slice."""
    x = ball()[SLICES // 2].repeat(SLICES, 1, 1)
    stack = measured(SliceStack(parallel(), SLICES), 0.3, x, generator)
    single = Likelihood(stack.operator.operator, stack.noise, stack.y)
    volume = total_variation(stack, num_steps=100, spacing=SPACING)
    slices = total_variation(single, num_steps=100)
    together, apart = (psnr(v, x, data_range=1.0).mean() for v in (volume, slices))
    assert together > apart + 0.5, (together, apart)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.0, 1.0, 1.0)])
def test_total_variation_refuses_a_spacing(generator, spacing):
    likelihood = measured(Identity((2, 3, 4)), 1.0, torch.zeros(2, 3, 4), generator)
    with pytest.raises(ValueError, match="3 positive lengths"):
        total_variation(likelihood, spacing=spacing)


@pytest.mark.parametrize("scan", [parallel, fan])
def test_fbp_of_a_stack_is_that_of_its_slices(generator, scan):
    operator = scan()
    x = torch.stack([ball(), 2 * ball()])
    likelihood = measured(SliceStack(operator, SLICES), 0.1, x, generator)
    images = fbp(likelihood, window="ramp")
    for volume, scans in zip(images, likelihood.y, strict=True):
        for image, y in zip(volume, scans, strict=True):
            alone = filtered_backprojection(operator, y, "ramp")
            torch.testing.assert_close(image, alone)


@pytest.mark.parametrize("build", [lambda: SliceStack(lines(), SLICES), points])
def test_zero_filling_of_a_volume_is_the_adjoint(generator, build):
    operator = build()
    x = ball().to(torch.complex64) if operator.in_complex else ball()
    likelihood = measured(operator, 0.01, x, generator)
    assert torch.equal(zero_filled(likelihood), operator.adjoint(likelihood.y))


def test_interpolation_of_a_stack_is_that_of_its_slices(generator):
    operator = Downsample((SIZE, SIZE), 2)
    x = torch.stack([ball(), 2 * ball()])
    stack = measured(SliceStack(operator, SLICES), 0.1, x, generator)
    apart = interpolate(Likelihood(operator, stack.noise, stack.y))
    assert torch.equal(interpolate(stack), apart)


def test_the_scan_of_one_slice_is_found_in_a_stack():
    scan = lines()
    assert find_operator(SliceStack(scan, SLICES), CartesianMRI) is scan.outer
    stack = SliceStack(Mask(torch.ones(2, 2, dtype=torch.bool)), SLICES)
    with pytest.raises(ValueError, match="expected a CartesianMRI, got Mask"):
        find_operator(stack, CartesianMRI)
