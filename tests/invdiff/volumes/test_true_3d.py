"""Operators that see the volume as a whole, where no slice can be solved for by itself."""

import math

import pytest
import torch

from invdiff.classical import fdk, zero_filled
from invdiff.data import fill, read_scan, sample_path
from invdiff.likelihood import Likelihood
from invdiff.metrics import psnr
from invdiff.priors import ComplexPrior, GaussianPrior, load_prior
from invdiff.volumes import (
    Independent,
    QuadraticZ,
    RedDiff3D,
    SlicePrior,
    Together,
    TotalVariationZ,
    Whole,
)
from invdiff.volumes.coupling import DataStep
from invdiff.volumes.noise import SliceNoise
from operators import (
    CartesianMRI,
    ConeBeam3D,
    ConeGeometry,
    GaussianNoise,
    LinearOperator,
    ParallelBeam3D,
    ParallelGeometry3D,
    RealToComplex,
    VolumeGrid,
    birdcage_maps,
    random_points,
)

SHAPE = (3, 4, 4)
GRID = VolumeGrid(SHAPE, (2.0, 1.0, 1.0))
# spread of the imaginary part of the complex prior
TAU = 0.6
SAMPLES = 120
# half of the edge of the interval that holds 48 or 96 means with probability 0.999, and more
STANDARD_ERRORS = 4.5


def cone(grid: VolumeGrid, views: int) -> LinearOperator:
    distances = {"source_to_axis": 3.0 * grid.radius, "source_to_detector": 4.5 * grid.radius}
    return ConeBeam3D(grid, ConeGeometry.covering(grid, views, **distances))


def parallel() -> LinearOperator:
    return ParallelBeam3D(GRID, ParallelGeometry3D.covering(GRID, 2))


def kspace(shape: tuple[int, int, int], acceleration: float, coils: int) -> LinearOperator:
    """Points of the plane of slices and columns; readouts along the rows."""
    plane = random_points(
        (shape[0], shape[2]), acceleration, 0.1, generator=torch.Generator().manual_seed(0)
    )
    return CartesianMRI(plane.unsqueeze(1).expand(shape), birdcage_maps(shape, coils))


OPERATORS = {
    "cone": lambda: cone(GRID, 2),
    "parallel": parallel,
    "mri": lambda: kspace(SHAPE, 2, 2) @ RealToComplex(SHAPE),
    "mri-complex": lambda: kspace(SHAPE, 2, 2),
}


def slice_prior(generator: torch.Generator) -> GaussianPrior:
    n = SHAPE[1] * SHAPE[2]
    factor = torch.randn(n, n, generator=generator, dtype=torch.float64) / math.sqrt(n)
    mean = torch.randn(SHAPE[1:], generator=generator, dtype=torch.float64)
    return GaussianPrior(mean, factor @ factor.mT)


def numbers(v: torch.Tensor, dims: int) -> torch.Tensor:
    """Flatten the last axes to real numbers, of complex ones the real parts first."""
    flat = v.flatten(-dims)
    return torch.cat([flat.real, flat.imag], -1) if flat.is_complex() else flat


def dense(operator: LinearOperator) -> torch.Tensor:
    """Return the matrix between real numbers, as ``numbers`` orders them."""
    unit = torch.eye(math.prod(operator.in_shape), dtype=torch.float64).reshape(-1, *SHAPE)
    inputs = torch.cat([unit + 0j, 1j * unit]) if operator.in_complex else unit
    return numbers(operator(inputs), len(operator.out_shape)).mT


def stationary_point(
    likelihood: Likelihood, prior: GaussianPrior, sigma: float, strength: float
) -> torch.Tensor:
    r"""Return what RED-diff at one noise level tends to, if w sigma^2 = 1.

    mu = z gives A^T W (A mu - t) + (C + sigma^2)^-1 (mu - m) + kappa w Dz^T Dz mu = 0: the
    posterior mean of a prior whose covariance is larger by sigma^2, and coupled along z.
    """
    operator, slices = likelihood.operator, SHAPE[0]
    pixels = torch.eye(16, dtype=torch.float64)
    own = torch.linalg.inv(prior.covariances[0] + sigma**2 * pixels)
    precision = torch.block_diag(*[own] * slices)
    mean = prior.means[0].flatten().repeat(slices)
    along_z = torch.kron(torch.eye(slices, dtype=torch.float64).diff(dim=0), pixels)
    coupling = strength / sigma**2 * along_z.mT @ along_z
    if operator.in_complex:
        imaginary = torch.eye(len(mean), dtype=torch.float64) / (TAU**2 + sigma**2)
        precision = torch.block_diag(precision, imaginary)
        coupling = torch.block_diag(coupling, coupling)
        mean = torch.cat([mean, torch.zeros_like(mean)])
    matrix, t = dense(operator), numbers(likelihood.y, len(operator.out_shape))
    weighted = likelihood.precision * matrix.mT
    return torch.linalg.solve(
        weighted @ matrix + precision + coupling, weighted @ t + precision @ mean
    )


@pytest.mark.parametrize("coupling", [Independent(), QuadraticZ(0.3)])
@pytest.mark.parametrize("name", OPERATORS)
def test_red_diff_tends_to_the_posterior_mean_of_a_gaussian(generator, name, coupling):
    """The update is affine, so that the mean over the noise follows it exactly."""
    operator, sigma = OPERATORS[name]().to(torch.float64), 1.0
    prior = slice_prior(generator)
    x = prior.sample(SHAPE[0], generator=generator)
    x = x * (1 + 0.4j) if operator.in_complex else x
    noise = GaussianNoise(0.5)
    likelihood = Likelihood(operator, noise, noise.sample(operator(x), generator=generator))
    denoiser = SlicePrior(prior, SHAPE[0])
    half = (prior.data_range[1] - prior.data_range[0]) / 2
    level = sigma / half
    sampler = RedDiff3D(
        num_steps=25,
        sigma_max=level * (1 + 1e-9),
        sigma_min=level,
        num_cg=12,
        clip=False,
        coupling=coupling,
        regularization=level,  # then w sigma^2 = 1
        relaxation=0.8,
    )
    volume = ComplexPrior(denoiser, TAU) if operator.in_complex else denoiser
    found = sampler.sample(likelihood, volume, SAMPLES, generator=generator)
    means = numbers(found.values, 3)
    strength = coupling.strength if isinstance(coupling, QuadraticZ) else 0.0
    expected = stationary_point(likelihood, prior, sigma, strength)
    error = (means.mean(0) - expected).abs() / (means.std(0) / math.sqrt(SAMPLES))
    assert error.max() < STANDARD_ERRORS
    # the noise has not hidden what the data say
    assert (means.std(0).mean() / math.sqrt(SAMPLES)) < 0.05


@pytest.mark.parametrize("number", [0.3, "image", "volume"])
def test_complex_prior_of_a_volume_is_that_of_its_slices(generator, number):
    """Whichever is outside, and with a noise level for each slice, 0 where it is known."""
    slices, prior = SHAPE[0], slice_prior(generator)
    shapes = {"image": SHAPE[1:], "volume": SHAPE}
    std = number if number not in shapes else torch.rand(shapes[number], generator=generator)
    x = torch.randn(2, *SHAPE, generator=generator, dtype=torch.complex128)
    sigma = torch.tensor([[0.5, 0.0, 2.0], [1.0, 0.3, 0.0]], dtype=torch.float64)
    stds = torch.as_tensor(std).expand(SHAPE)
    expected = x.clone()
    for k, z in [(0, 0), (0, 2), (1, 0), (1, 1)]:
        expected[k, z] = ComplexPrior(prior, stds[z])(x[k, z], sigma[k, z])
    volumes = [ComplexPrior(SlicePrior(prior, slices), std)]
    if number != "volume":
        volumes.append(SlicePrior(ComplexPrior(prior, std), slices))
    for volume in volumes:
        assert volume.image_shape == SHAPE
        torch.testing.assert_close(volume(x, sigma), expected)


def test_complex_noise_is_standard_in_both_parts():
    split = Whole(SHAPE[0])
    like = torch.zeros(500, *SHAPE, dtype=torch.complex128)
    drawn = SliceNoise(0, 500, split).normal(3, like)
    parts = torch.stack([drawn.real.flatten(), drawn.imag.flatten()])
    # 24000 numbers: their covariance is known to 1 / sqrt(24000), or sqrt(2) times as much
    error = (torch.cov(parts) - torch.eye(2, dtype=torch.float64)).abs().max()
    assert error < STANDARD_ERRORS * math.sqrt(2 / parts.shape[1])


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_variation_along_z_does_not_see_the_phase_of_all(generator, angle):
    """A volume that is real up to one phase for all is coupled as the real one is."""
    x, y = torch.randn(2, 1, *SHAPE, generator=generator, dtype=torch.float64)
    turn = torch.polar(torch.ones((), dtype=torch.float64), torch.tensor(angle).double())
    real, turned = two_steps(x, y), two_steps(turn * x, turn * y)
    for a, b in zip(real, turned, strict=True):
        torch.testing.assert_close(b, turn * a)
    # some differences were below the threshold, and some above
    assert 0 < (real[0] == 0).double().mean() < 1


def two_steps(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """Return what the coupling holds after x and then y have been found, and its pull."""
    coupling, split = TotalVariationZ(strength=1.0), Whole(SHAPE[0])
    one = torch.ones((), dtype=torch.float64)
    step = DataStep(0, x, x, one, 2 * one, SliceNoise(0, 1, split), split, (-1.0, 1.0))
    state = coupling.update(coupling.init(x, split), y, step)
    pull = coupling.terms(state, step).pull
    assert pull is not None
    return [*state, pull]


def anatomy(sample: str, size: int, slices: int) -> torch.Tensor:
    """Return a volume in [0, 1] of a slice that gets smaller from one end to the other."""
    values = torch.from_numpy(fill(read_scan(sample_path(sample)).middle(), size).values[0])
    values = values.float()
    low, high = values.min(), values.quantile(0.99)
    image = ((values - low) / (high - low)).clamp(0, 1)
    scales = torch.linspace(0.8, 1.0, slices).tolist()
    return torch.stack([shrunk(image, s) for s in scales])


def shrunk(image: torch.Tensor, scale: float) -> torch.Tensor:
    turn = torch.tensor([[[1 / scale, 0.0, 0.0], [0.0, 1 / scale, 0.0]]])
    places = torch.nn.functional.affine_grid(turn, [1, 1, *image.shape], align_corners=False)
    found = torch.nn.functional.grid_sample(image[None, None], places, align_corners=False)
    return found[0, 0]


@pytest.fixture(scope="module")
def network():
    return load_prior("ct-256", size=(64, 64))


COUPLED = Together((TotalVariationZ(0.1), QuadraticZ(0.01)))


def test_cone_beam_of_anatomy_beats_the_algorithm_of_feldkamp(generator, network):
    x = anatomy("sts-044", 64, 4)
    operator = cone(VolumeGrid((4, 64, 64)), 20)
    clean = operator(x)
    noise = GaussianNoise(0.005 * clean.max().item())
    likelihood = Likelihood(operator, noise, noise.sample(clean, generator=generator))
    sampler = RedDiff3D(num_steps=6, coupling=COUPLED)
    found = sampler.sample(likelihood, SlicePrior(network, 4), generator=generator).values[0]
    direct = fdk(likelihood).clamp(0, 1)
    assert psnr(found, x, data_range=1.0).mean() > psnr(direct, x, data_range=1.0).mean() + 3


@pytest.mark.parametrize("complex_valued", [False, True])
def test_undersampled_kspace_of_anatomy_beats_zero_filling(generator, network, complex_valued):
    """With the smooth phase in the coil maps, what is left of it is small and not smooth."""
    x = anatomy("sts-044", 64, 8)
    operator = kspace((8, 64, 64), 4, 4)
    prior = SlicePrior(network, 8)
    if complex_valued:
        x = x * torch.exp(0.1j * torch.randn(x.shape, generator=generator))
        prior = ComplexPrior(prior, 0.1 * x.abs() + 0.01)
    else:
        operator = operator @ RealToComplex(x.shape)
    noise = GaussianNoise(0.005)
    likelihood = Likelihood(operator, noise, noise.sample(operator(x), generator=generator))
    sampler = RedDiff3D(num_steps=6, coupling=COUPLED)
    found = sampler.sample(likelihood, prior, generator=generator).values[0]
    assert found.is_complex() == complex_valued
    zero = zero_filled(likelihood)
    errors = [(v - x).abs().square().mean() for v in (found, zero)]
    assert errors[0] < errors[1] / 4
