import math

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.superres.consistency import ConsistentDenoiser
from invdiff.superres.exact import ExactConditional
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.selection import select_by_consistency
from operators import GaussianNoise, Matrix

PIXELS = 6
PROBLEMS = 1500
NOISE_STD = 0.01
# of three numbers in the row space, against a prior of variance 1
SINGULAR_VALUES = (1.0, 0.5, 0.2)


class PosteriorMap:
    """The exact h(x_T, y) = mu(y) + S^(1/2) x_T, without the error of a solver."""

    def __init__(self, denoiser, num_calls=1):
        values, vectors = torch.linalg.eigh(denoiser.covariances[0])
        self.root = vectors * values.clamp(min=0).sqrt() @ vectors.mT
        self.denoiser, self.calls_per_image = denoiser, num_calls

    def __call__(self, boundary, y):
        return self.denoiser.posterior_mean(y) + boundary @ self.root


class UnconditionalDenoiser:
    """A prior's own denoiser, which doesn't look at y."""

    def __init__(self, prior):
        self.prior, self.data_range = prior, prior.data_range

    def __call__(self, x, sigma, y):
        return self.prior(x, sigma)

    def center(self, y):
        return self.prior.mean().expand(*y.shape[:-1], -1)


def normal(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def white_prior(std=1.0):
    mean = torch.linspace(-1, 1, PIXELS).double()
    return GaussianPrior(mean, std**2 * torch.eye(PIXELS).double())


@pytest.fixture
def basis(generator):
    """Orthonormal columns: the first three span the range of A^T, the others its null space."""
    return torch.linalg.qr(normal(PIXELS, PIXELS, generator=generator)).Q


@pytest.fixture
def operator(basis):
    rows = len(SINGULAR_VALUES)
    return Matrix(torch.diag(torch.tensor(SINGULAR_VALUES).double()) @ basis[:, :rows].mT)


def measured(prior, operator, noise_std, generator, count=PROBLEMS):
    truths = prior.sample(count, generator=generator)
    clean = operator(truths)
    return truths, clean + noise_std * normal(*clean.shape, generator=generator)


def squared_errors(images, truths, basis):
    """Return those in the row space and in the null space, ``(problems,)`` each."""
    squared = ((images - truths) @ basis) ** 2
    rows = len(SINGULAR_VALUES)
    return squared[:, :rows].sum(-1), squared[:, rows:].sum(-1)


def select(operator, noise_std, num_candidates, generator, **options):
    """Return images chosen for measurements of a white prior, and what they should be."""
    prior = white_prior()
    truths, y = measured(prior, operator, noise_std, generator)
    ode = PosteriorMap(ExactConditional(prior, operator, noise_std))
    likelihood = Likelihood(operator, GaussianNoise(noise_std), y)
    chosen = select_by_consistency(
        ode, likelihood, num_candidates=num_candidates, generator=generator, **options
    )
    return chosen, truths


def expected_smallest_square(num_candidates):
    """Return the mean of the smallest of K squares of standard normals, by quadrature."""
    t = torch.linspace(0, 8, 20001, dtype=torch.float64)
    survival = torch.special.erfc(t / math.sqrt(2)) ** num_candidates
    return float(torch.trapezoid(survival * 2 * t, t))


@pytest.mark.parametrize("num_candidates", [1, 4, 32])
def test_null_space_is_a_random_sample_however_many_candidates(
    num_candidates, operator, basis, generator
):
    chosen, truths = select(operator, NOISE_STD, num_candidates, generator)
    _, error = squared_errors(chosen.images, truths, basis)
    # truth and candidate are independent draws, of variance 1 in each of three dimensions
    standard_error = math.sqrt(2 * 2**2 * 3 / PROBLEMS)
    assert error.mean() == pytest.approx(2 * 3, abs=4.5 * standard_error)


@pytest.mark.parametrize("num_candidates", [1, 4, 32])
def test_error_in_a_row_space_of_one_dimension_is_known(num_candidates, basis, generator):
    operator = Matrix(basis[:, :1].mT)
    chosen, truths = select(operator, NOISE_STD, num_candidates, generator)
    error = ((chosen.images - truths) @ basis[:, 0]) ** 2
    # S is the noise's variance, up to its square; the smallest misfit is the smallest |z_k|
    expected = NOISE_STD**2 * (1 + expected_smallest_square(num_candidates))
    assert error.mean() == pytest.approx(expected, abs=4.5 * float(error.std()) / PROBLEMS**0.5)


def test_error_in_the_row_space_falls_with_the_candidates_to_that_of_the_mean(
    operator, basis, generator
):
    denoiser = ExactConditional(white_prior(), operator, NOISE_STD)
    posterior = torch.diagonal(basis.mT @ denoiser.covariances[0] @ basis)[:3].sum()
    errors = []
    for num_candidates in (1, 8, 64):
        chosen, truths = select(operator, NOISE_STD, num_candidates, generator)
        row, _ = squared_errors(chosen.images, truths, basis)
        errors.append(float(row.mean() / posterior))
    assert errors[0] == pytest.approx(2, rel=0.2)
    assert errors[0] > errors[1] > errors[2]
    # the direction of the smallest singular value weighs least in the misfit and most in S
    assert 1 < errors[2] < 1.6


@pytest.mark.parametrize("num_averaged", [1, 2, 8])
def test_averaging_divides_the_random_part_of_the_error(num_averaged, operator, basis, generator):
    chosen, truths = select(operator, NOISE_STD, 8, generator, num_averaged=num_averaged)
    _, error = squared_errors(chosen.images, truths, basis)
    expected = 3 * (1 + 1 / num_averaged)
    standard_error = math.sqrt(2 * 3 * (1 + 1 / num_averaged) ** 2 / PROBLEMS)
    assert error.mean() == pytest.approx(expected, abs=4.5 * standard_error)


def test_image_is_the_candidate_of_smallest_misfit(operator, generator):
    prior = white_prior()
    _, y = measured(prior, operator, NOISE_STD, generator, count=5)
    ode = PosteriorMap(ExactConditional(prior, operator, NOISE_STD), num_calls=7)
    likelihood = Likelihood(operator, GaussianNoise(NOISE_STD), y)
    chosen = select_by_consistency(ode, likelihood, num_candidates=9, generator=generator)
    assert chosen.num_calls == 9 * 7
    assert chosen.misfits.shape == (9, 5)
    torch.testing.assert_close(chosen.images, ode(chosen.boundaries, y))
    residual = (operator(chosen.images) - y).square().mean(-1).sqrt() / NOISE_STD
    torch.testing.assert_close(residual, chosen.misfits.min(0).values)
    torch.testing.assert_close(chosen.misfits[0], residual)


def test_candidates_depend_neither_on_their_number_nor_on_the_batch(operator, generator):
    prior = white_prior()
    _, y = measured(prior, operator, NOISE_STD, generator, count=3)
    ode = PosteriorMap(ExactConditional(prior, operator, NOISE_STD))

    def misfits(y, num_candidates, labels):
        likelihood = Likelihood(operator, GaussianNoise(NOISE_STD), y)
        streams = [derive_generator(0, label) for label in labels]
        return select_by_consistency(
            ode, likelihood, num_candidates=num_candidates, generator=streams
        ).misfits

    together = misfits(y, 6, (0, 1, 2))
    torch.testing.assert_close(misfits(y[1:2], 6, (1,)), together[:, 1:2])
    # of 12 candidates the first six are the same, so the best can only improve
    assert (misfits(y, 12, (0, 1, 2))[0] <= together[0] + 1e-9).all()
    assert (misfits(y, 12, (0, 1, 2)).unsqueeze(1) - together).abs().min(0).values.max() < 1e-9


def test_an_exact_screen_loses_nothing_and_costs_its_calls(operator, generator):
    prior = white_prior()
    _, y = measured(prior, operator, NOISE_STD, generator, count=20)
    denoiser = ExactConditional(prior, operator, NOISE_STD)
    cheap, ode = PosteriorMap(denoiser, num_calls=2), PosteriorMap(denoiser, num_calls=10)
    likelihood = Likelihood(operator, GaussianNoise(NOISE_STD), y)

    def chosen(screens):
        return select_by_consistency(
            ode,
            likelihood,
            num_candidates=7,
            screens=screens,
            generator=torch.Generator().manual_seed(3),
        )

    screened = chosen([cheap, cheap])
    torch.testing.assert_close(screened.images, chosen([]).images)
    assert screened.misfits.shape == (2, 20)
    assert screened.num_calls == 7 * 2 + 4 * 2 + 2 * 10


def test_a_screen_that_prefers_the_worst_is_obeyed(operator, generator):
    prior = white_prior()
    _, y = measured(prior, operator, NOISE_STD, generator, count=20)
    ode = PosteriorMap(ExactConditional(prior, operator, NOISE_STD))

    class Contrary(PosteriorMap):
        def __call__(self, boundary, y):
            # the larger the misfit of the candidate, the smaller that of this image
            image = super().__call__(boundary, y)
            misfit = (operator(image) - y).square().sum(-1, keepdim=True).sqrt()
            return operator.pinv(y) + operator.pinv(torch.ones_like(y)) / (1 + 1e3 * misfit)

    likelihood = Likelihood(operator, GaussianNoise(NOISE_STD), y)

    def misfits(screens):
        return select_by_consistency(
            ode,
            likelihood,
            num_candidates=8,
            screens=screens,
            generator=torch.Generator().manual_seed(3),
        ).misfits

    torch.testing.assert_close(misfits([Contrary(ode.denoiser)]), misfits([])[4:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_candidates": 0}, "average 1 of 0"),
        ({"num_candidates": 4, "num_averaged": 0}, "average 0 of 4"),
        ({"num_candidates": 4, "num_averaged": 3, "screens": [None]}, "average 3 of 2"),
    ],
)
def test_selection_refuses_counts_that_do_not_fit(options, message, operator, generator):
    likelihood = Likelihood(operator, GaussianNoise(0.1), torch.zeros(2, 3).double())
    with pytest.raises(ValueError, match=message):
        select_by_consistency(None, likelihood, generator=generator, **options)


@pytest.mark.parametrize("sigma", [torch.tensor(0.4), torch.tensor([0.01, 0.5, 1.0, 30.0])])
def test_with_noise_a_corrected_prior_is_the_exact_conditional_denoiser(sigma, operator, generator):
    prior, noise_std = white_prior(std=0.7), 0.3
    x, (_, y) = normal(4, PIXELS, generator=generator), measured(prior, operator, 0.3, generator, 4)
    corrected = ConsistentDenoiser(UnconditionalDenoiser(prior), operator, noise_std, spread=0.7)
    exact = ExactConditional(prior, operator, noise_std)
    torch.testing.assert_close(corrected(x, sigma.double(), y), exact(x, sigma.double(), y))


def test_without_noise_the_row_space_is_the_data_and_the_null_space_stays(
    operator, basis, generator
):
    prior = white_prior()
    denoiser = UnconditionalDenoiser(prior)
    x, (_, y) = normal(4, PIXELS, generator=generator), measured(prior, operator, 0.3, generator, 4)
    sigma = torch.tensor(0.5).double()
    before, after = denoiser(x, sigma, y), ConsistentDenoiser(denoiser, operator)(x, sigma, y)
    torch.testing.assert_close(operator(after), y)
    torch.testing.assert_close(after @ basis[:, 3:], before @ basis[:, 3:])


def test_noise_that_vanishes_gives_the_pseudo_inverse(operator, generator):
    prior = white_prior()
    denoiser = UnconditionalDenoiser(prior)
    x, (_, y) = normal(4, PIXELS, generator=generator), measured(prior, operator, 0.3, generator, 4)
    sigma = torch.tensor(0.5).double()
    nearly = ConsistentDenoiser(denoiser, operator, 1e-6)(x, sigma, y)
    torch.testing.assert_close(
        nearly, ConsistentDenoiser(denoiser, operator)(x, sigma, y), rtol=0, atol=1e-8
    )


def test_ode_of_a_consistent_denoiser_ends_on_the_data(operator, generator):
    prior = white_prior()
    truths, y = measured(prior, operator, 0.3, generator, 4)
    denoiser = ConsistentDenoiser(UnconditionalDenoiser(prior), operator)
    ode = SuperResolutionOde(denoiser, "ddim", num_calls=4)
    boundary = normal(*truths.shape, generator=generator)
    torch.testing.assert_close(operator(ode(boundary, y)), y)


def test_consistent_denoiser_keeps_type_range_and_centre(operator, generator):
    prior = white_prior()
    denoiser = ConsistentDenoiser(UnconditionalDenoiser(prior), operator, 0.1)
    y = torch.randn(2, 3, generator=generator)
    x = torch.randn(2, PIXELS, generator=generator)
    assert denoiser(x, torch.tensor(0.5).double(), y).dtype == torch.float32
    assert denoiser.data_range == prior.data_range
    torch.testing.assert_close(denoiser.center(y), prior.mean().expand(2, -1))


def test_consistent_denoiser_refuses_bad_input(operator):
    denoiser = UnconditionalDenoiser(white_prior())
    for noise_std, spread in ((-1.0, 1.0), (0.1, 0.0), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="noise_std >= 0"):
            ConsistentDenoiser(denoiser, operator, noise_std, spread=spread)
    complex_operator = Matrix(torch.eye(PIXELS).to(torch.complex128))
    with pytest.raises(ValueError, match="real operator"):
        ConsistentDenoiser(denoiser, complex_operator)
