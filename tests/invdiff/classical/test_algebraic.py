import itertools
import math

import pytest
import scipy.sparse
import torch

from invdiff.classical import cgls, least_squares, sirt
from invdiff.likelihood import Likelihood
from operators import (
    CartesianMRI,
    FiniteDifferences,
    GaussianNoise,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    SparseOperator,
    TransmissionNoise,
    birdcage_maps,
    cartesian_lines,
)
from operators.testing import to_dense

GRID = ImageGrid((5, 6))
# the matrix of the projector is stored in float32
LENGTH_TOLERANCE = 1e-5


@pytest.fixture
def scan():
    """Overdetermined, and of full column rank."""
    return ParallelBeam2D(GRID, ParallelGeometry.covering(GRID, 12))


def weighted_solution(operator, weight, y):
    root = weight.sqrt().flatten()
    matrix = to_dense(operator)
    root = root.expand(len(matrix))
    flat = y.reshape(-1, len(matrix)).mT
    solution = torch.linalg.lstsq(root[:, None].to(matrix) * matrix, root[:, None] * flat).solution
    return solution.mT.reshape(*y.shape[: y.ndim - len(operator.out_shape)], *operator.in_shape)


def noisy(operator, generator, *batch):
    """Data that no image explains."""
    dtype = torch.complex128 if operator.out_complex else torch.float64
    return torch.randn((*batch, *operator.out_shape), generator=generator, dtype=dtype)


def test_cgls_reaches_least_squares(scan, generator):
    y = noisy(scan, generator, 3)
    x = cgls(Likelihood(scan, GaussianNoise(0.3), y), num_steps=60)
    expected = weighted_solution(scan, torch.ones(1).double(), y)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-8)


def test_cgls_weights_rays_by_their_noise(scan, generator):
    """Counts of very different size: the weighted solution is not the plain one."""
    x = 0.3 * torch.rand((5, 6), generator=generator, dtype=torch.float64)
    noise = TransmissionNoise(200.0)
    y = noise.sample(scan(x), generator=generator)
    likelihood = Likelihood(scan, noise, y)
    expected = weighted_solution(scan, likelihood.precision, likelihood.target)
    plain = weighted_solution(scan, torch.ones(1).double(), likelihood.target)
    torch.testing.assert_close(cgls(likelihood, num_steps=60), expected, rtol=0, atol=1e-8)
    assert (plain - expected).abs().max() > 1e-3


def test_cgls_of_complex_images(generator):
    mask = cartesian_lines((6, 5), 1, 0.2, axis=-1, generator=generator)
    operator = CartesianMRI(mask, birdcage_maps((6, 5), 3).to(torch.complex128))
    y = noisy(operator, generator)
    x = cgls(Likelihood(operator, GaussianNoise(1.0), y), num_steps=60)
    expected = weighted_solution(operator, torch.ones(1).double(), y)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-8)


def test_cgls_makes_the_steps_of_conjugate_gradients(scan, generator):
    """``least_squares`` never stops on data that no image explains."""
    likelihood = Likelihood(scan, GaussianNoise(1e-3), noisy(scan, generator))
    for steps in (0, 1, 4):
        expected = least_squares(likelihood, max_steps=steps)
        torch.testing.assert_close(cgls(likelihood, num_steps=steps), expected)


def test_cgls_is_more_accurate_than_the_normal_equations(generator):
    """Singular values over four decades, which the normal equations square."""
    draws = (torch.randn(n, 12, generator=generator, dtype=torch.float64) for n in (30, 12))
    left, right = (torch.linalg.qr(draw).Q for draw in draws)
    matrix = left * torch.logspace(-4, 0, 12, dtype=torch.float64) @ right
    operator = SparseOperator(scipy.sparse.csr_matrix(matrix.numpy()), (12,), (30,))
    truth = torch.randn(12, generator=generator, dtype=torch.float64)
    # noise so low that least_squares makes all its steps
    likelihood = Likelihood(operator, GaussianNoise(1e-20), operator(truth))
    error = (cgls(likelihood, num_steps=200) - truth).abs().max()
    normal_error = (least_squares(likelihood, max_steps=200) - truth).abs().max()
    assert error < 1e-11  # 1e4 times the rounding of float64, and ten to spare
    assert error < normal_error / 100


def test_cgls_stays_where_it_has_arrived(scan, generator):
    likelihood = Likelihood(scan, GaussianNoise(1.0), noisy(scan, generator))
    arrived, later = (cgls(likelihood, num_steps=n) for n in (60, 300))
    torch.testing.assert_close(later, arrived, rtol=0, atol=1e-10)


def test_sirt_reaches_least_squares_weighted_by_path_length(scan, generator):
    y = noisy(scan, generator, 2)
    x = sirt(Likelihood(scan, GaussianNoise(1.0), y), num_steps=4000, relaxation=1.9)
    lengths = scan(torch.ones(5, 6).double())
    weights = torch.where(lengths > 0, 1 / lengths, 0.0)
    expected = weighted_solution(scan, weights, y)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-6)


def test_one_sirt_step_from_zero_is_a_mean_of_means(scan):
    """Of a flat image every ray's mean is its value, and so is every pixel's mean of them."""
    flat = torch.full((5, 6), 0.7, dtype=torch.float64)
    x = sirt(Likelihood(scan, GaussianNoise(1.0), scan(flat)), num_steps=1)
    torch.testing.assert_close(x, flat, rtol=LENGTH_TOLERANCE, atol=0)


def test_sirt_never_moves_away_from_an_image_that_explains_the_data(scan, generator):
    """In the norm weighted by the column sums (Gregor and Benson 2008)."""
    truth = torch.rand((5, 6), generator=generator, dtype=torch.float64)
    likelihood = Likelihood(scan, GaussianNoise(1.0), scan(truth))
    weight = scan.adjoint(torch.ones(scan.out_shape).double())
    steps = [sirt(likelihood, num_steps=n, relaxation=1.9) for n in range(8)]
    errors = [float((weight * (x - truth) ** 2).sum()) for x in steps]
    assert all(a >= b for a, b in itertools.pairwise(errors))


def test_sirt_keeps_its_bounds(scan, generator):
    x = sirt(Likelihood(scan, GaussianNoise(1.0), noisy(scan, generator)), low=0.0, high=0.1)
    assert x.min() == 0
    assert x.max() == 0.1


def test_rays_and_pixels_that_never_meet_are_left_alone(generator):
    """A detector wider than the image, and narrow views that miss its corners."""
    geometry = ParallelGeometry((0.0,), 4, 2.0, detector_offset=5.0)
    scan = ParallelBeam2D(GRID, geometry)
    start = torch.rand((5, 6), generator=generator, dtype=torch.float64)
    y = torch.ones(scan.out_shape, dtype=torch.float64)
    x = sirt(Likelihood(scan, GaussianNoise(1.0), y), start=start, num_steps=5)
    unseen = scan.adjoint(y) == 0
    assert unseen.any()
    assert torch.equal(x[unseen], start[unseen])
    assert x.isfinite().all()


@pytest.mark.parametrize("method", [sirt, cgls])
def test_problems_do_not_depend_on_each_other(scan, generator, method):
    y = noisy(scan, generator, 2, 3)
    y[0, 1] = 0
    together = method(Likelihood(scan, GaussianNoise(1.0), y), num_steps=7)
    for i in range(2):
        for j in range(3):
            alone = method(Likelihood(scan, GaussianNoise(1.0), y[i, j]), num_steps=7)
            torch.testing.assert_close(together[i, j], alone)


@pytest.mark.parametrize("method", [sirt, cgls])
def test_steps_go_on_from_the_start(scan, generator, method):
    truth = torch.rand((5, 6), generator=generator, dtype=torch.float64)
    likelihood = Likelihood(scan, GaussianNoise(1.0), scan(truth))
    torch.testing.assert_close(method(likelihood, start=truth, num_steps=3), truth)
    with pytest.raises(ValueError, match=r"start: expected shape \(5, 6\), got \(6, 5\)"):
        method(likelihood, start=truth.mT)


def test_what_is_refused(scan, generator):
    likelihood = Likelihood(scan, GaussianNoise(1.0), noisy(scan, generator))
    with pytest.raises(ValueError, match="num_steps >= 0, got -1"):
        cgls(likelihood, num_steps=-1)
    for bad in ({"num_steps": -1}, {"relaxation": 2.0}, {"relaxation": math.nan}):
        with pytest.raises(ValueError, match=r"sirt: expected num_steps >= 0 and relaxation"):
            sirt(likelihood, **bad)
    differences = FiniteDifferences((4, 4))
    with pytest.raises(ValueError, match="non-negative entries, got FiniteDifferences"):
        sirt(Likelihood(differences, GaussianNoise(1.0), noisy(differences, generator)))
    mri = CartesianMRI(torch.ones(4, 4, dtype=torch.bool))
    y = torch.zeros(mri.out_shape, dtype=torch.complex64)
    with pytest.raises(ValueError, match="expected a real operator, got CartesianMRI"):
        sirt(Likelihood(mri, GaussianNoise(1.0), y))
