import math

import pytest
import scipy.sparse
import torch

from invdiff.classical import (
    cg_sense,
    fbp,
    fdk,
    interpolate,
    least_squares,
    total_variation,
    zero_filled,
)
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from operators import (
    Blur,
    CartesianMRI,
    Diagonal,
    Downsample,
    FiniteDifferences,
    GaussianNoise,
    Identity,
    Mask,
    RealToComplex,
    TransmissionNoise,
    birdcage_maps,
    cartesian_lines,
    gaussian_psf,
)
from operators.ct import (
    ConeGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    SparseOperator,
    VolumeGrid,
    feldkamp,
)

SIZE = 48


@pytest.fixture
def phantom():
    """Two discs: piecewise constant, in [0, 1]."""
    axis = torch.linspace(-1, 1, SIZE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return 0.5 * (x**2 + y**2 < 0.7).float() + 0.5 * ((x - 0.3) ** 2 + y**2 < 0.08).float()


def measured(operator, noise, x, generator):
    return Likelihood(operator, noise, noise.sample(operator(x), generator=generator))


def mri(generator, *, real=True):
    mask = cartesian_lines((SIZE, SIZE), 2, 0.1, generator=generator)
    operator = CartesianMRI(mask, birdcage_maps((SIZE, SIZE), 4))
    return operator @ RealToComplex((SIZE, SIZE)) if real else operator


def ct():
    grid = ImageGrid((SIZE, SIZE), (2.0, 2.0))
    return ParallelBeam2D(grid, ParallelGeometry.covering(grid, 40))


def test_total_variation_of_a_step_is_known_in_closed_form():
    """Denoising 0, ..., 0, 1, ..., 1: both levels move towards each other by r sqrt(2 / n)."""
    n, ball = 20, 0.5
    y = torch.cat([torch.zeros(n // 2), torch.ones(n // 2)]).double()
    noise = GaussianNoise(ball / math.sqrt(n))
    x = total_variation(Likelihood(Identity((n,)), noise, y), num_steps=4000)
    shift = ball / math.sqrt(n)
    expected = torch.where(y > 0, 1 - shift, shift).double()
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_total_variation_explains_the_data_up_to_their_noise(phantom, generator, complex_valued):
    operator = mri(generator, real=not complex_valued)
    x = phantom.to(torch.complex64) * (0.6 + 0.8j) if complex_valued else phantom
    likelihood = measured(operator, GaussianNoise(0.05), x, generator)
    z = total_variation(likelihood)
    assert likelihood.residual_over_noise(z).item() == pytest.approx(1, abs=0.02)
    variation = FiniteDifferences((SIZE, SIZE), complex_valued=complex_valued)
    assert variation(z).abs().sum() < 1.05 * variation(x).abs().sum()


def test_total_variation_beats_the_other_baselines_on_its_own_ground(phantom, generator):
    likelihood = measured(ct(), TransmissionNoise(1e4), 0.02 * phantom, generator)
    images = {
        "tv": total_variation(likelihood, low=0.0),
        "fbp": fbp(likelihood),
        "ls": least_squares(likelihood),
    }
    values = {k: psnr(v, 0.02 * phantom, data_range=0.02).item() for k, v in images.items()}
    assert values["tv"] > max(values["fbp"], values["ls"]) + 3, values
    assert values["fbp"] > 20


def test_total_variation_keeps_its_bounds(phantom, generator):
    likelihood = measured(Identity((SIZE, SIZE)), GaussianNoise(0.2), phantom, generator)
    z = total_variation(likelihood, low=0.1, high=0.7)
    assert z.min().item() == pytest.approx(0.1)
    assert z.max().item() == pytest.approx(0.7)
    operator, x = mri(generator, real=False), phantom.to(torch.complex64)
    complex_likelihood = measured(operator, GaussianNoise(1.0), x, generator)
    with pytest.raises(ValueError, match="no bounds"):
        total_variation(complex_likelihood, low=0.0)
    with pytest.raises(ValueError, match="num_steps"):
        total_variation(likelihood, num_steps=0)


@pytest.mark.parametrize("method", [total_variation, least_squares])
def test_a_batch_of_problems_equals_single_ones(phantom, generator, method):
    x = torch.stack([phantom, 3 * phantom.T, torch.zeros_like(phantom)])
    together = measured(
        Blur(gaussian_psf(1.0, 5), phantom.shape), GaussianNoise(0.05), x, generator
    )
    images = method(together)
    for i in range(3):
        alone = method(Likelihood(together.operator, together.noise, together.y[i]))
        torch.testing.assert_close(images[i], alone, rtol=1e-4, atol=1e-4)


def test_least_squares_stops_at_the_noise(phantom, generator):
    likelihood = measured(mri(generator), GaussianNoise(0.01), phantom, generator)
    z = cg_sense(likelihood)
    assert 0.9 < likelihood.residual_over_noise(z).item() <= 1
    assert likelihood.residual_over_noise(least_squares(likelihood, max_steps=1)).item() > 1


def test_least_squares_without_noise_solves(phantom, generator):
    weights = torch.rand(SIZE, SIZE, generator=generator) + 0.5
    likelihood = measured(Diagonal(weights), GaussianNoise(1e-4), phantom, generator)
    torch.testing.assert_close(least_squares(likelihood), phantom, rtol=0, atol=5e-3)


def test_fbp_finds_the_attenuation(phantom, generator):
    likelihood = measured(ct(), GaussianNoise(1e-4), phantom, generator)
    assert psnr(fbp(likelihood), phantom, data_range=1.0).item() > 20


def test_fdk_takes_the_scan_of_the_operator(generator):
    """Whatever the projector, its line integrals are what is inverted."""
    grid = VolumeGrid((2, 4, 4))
    geometry = ConeGeometry.covering(grid, 6, source_to_axis=20.0, source_to_detector=30.0)
    size = math.prod(geometry.shape), math.prod(grid.shape)
    operator = SparseOperator(scipy.sparse.csr_matrix(size), grid.shape, geometry.shape)
    operator.grid, operator.geometry = grid, geometry
    noise = TransmissionNoise(1e4)
    y = noise.sample(torch.rand(3, *geometry.shape, generator=generator), generator=generator)
    likelihood = Likelihood(operator, noise, y)
    expected = feldkamp(grid, geometry, likelihood.target, "ramp")
    torch.testing.assert_close(fdk(likelihood, window="ramp"), expected)


def test_zero_filling_is_the_adjoint(phantom, generator):
    likelihood = measured(mri(generator), GaussianNoise(0.01), phantom, generator)
    expected = likelihood.operator.adjoint(likelihood.y)
    assert torch.equal(zero_filled(likelihood), expected)
    assert psnr(cg_sense(likelihood), phantom, data_range=1.0) > psnr(
        expected, phantom, data_range=1.0
    )


def test_interpolation_keeps_a_ramp_in_place(generator):
    ramp = torch.arange(SIZE, dtype=torch.float32).expand(2, SIZE, SIZE) / SIZE
    likelihood = measured(Downsample((SIZE, SIZE), 4), GaussianNoise(1e-6), ramp, generator)
    image = interpolate(likelihood)
    assert image.shape == (2, SIZE, SIZE)
    torch.testing.assert_close(image[:, :, 12:-12], ramp[:, :, 12:-12], rtol=0, atol=1e-4)


def test_each_method_refuses_other_operators(phantom, generator):
    likelihood = measured(Mask(phantom > -1), GaussianNoise(1.0), phantom, generator)
    for method in (fbp, fdk, zero_filled, cg_sense, interpolate):
        with pytest.raises(ValueError, match=r"expected a .* got Mask"):
            method(likelihood)
