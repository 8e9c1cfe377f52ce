import math

import pytest
import torch

from invdiff.priors import GaussianPrior
from invdiff.superres.boundary_losses import losses_of
from invdiff.superres.exact import ExactConditional
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Pairs
from invdiff.superres.spectral_basis import CoefficientBasis, RadialSpectrum
from invdiff.superres.spectral_search import search_spectral
from invdiff.superres.spectral_transform import SpectralTransform
from operators import Matrix

SHAPE = (4, 3)
PIXELS = 12
NOISE_STD = 2.0
TRANSFORMS = ["cosine", "fourier"]


def normal(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def squared_error(image, truth):
    return ((image - truth) ** 2).sum((-2, -1))


@pytest.fixture
def ode():
    """Its posterior has the variances i^-1.5, whatever y."""
    variances = torch.arange(1, PIXELS + 1, dtype=torch.float64) ** -1.5
    prior_variances = variances * NOISE_STD**2 / (NOISE_STD**2 - variances)
    prior = GaussianPrior(torch.zeros(SHAPE).double(), torch.diag(prior_variances))
    operator = Matrix(torch.eye(PIXELS).double(), in_shape=SHAPE, out_shape=SHAPE)
    denoiser = ExactConditional(prior, operator, NOISE_STD)
    return SuperResolutionOde(denoiser, "ddim", num_calls=5, sigma_max=10.0)


@pytest.fixture
def references(ode, generator):
    truths = ode.denoiser.prior.sample(20, generator=generator)
    return Pairs(truths + NOISE_STD * normal(20, *SHAPE, generator=generator), truths)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("shape", [(7,), (8,), (1,), (4, 5)])
def test_transform_is_orthonormal(name, shape, generator):
    transform = SpectralTransform(shape, name)
    unit = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    matrix = transform.forward(unit).flatten(1).mT
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(len(matrix)).double())
    x = normal(2, *shape, generator=generator)
    torch.testing.assert_close(transform.inverse(transform.forward(x)), x)


@pytest.mark.parametrize("size", [8, 9])
def test_fourier_coefficients_have_the_frequencies_of_their_rows(size):
    transform = SpectralTransform((size,), "fourier")
    rows = transform.inverse(torch.eye(size).double())
    power = torch.fft.rfft(rows).abs() ** 2
    # all power of a row of the real series is at one frequency of the complex one
    expected = torch.fft.rfftfreq(size).double()[power.argmax(-1)]
    torch.testing.assert_close(transform.frequencies, expected)
    torch.testing.assert_close(power.max(-1).values, power.sum(-1))


def test_cosine_coefficients_count_half_periods():
    rows = SpectralTransform((16,)).inverse(torch.eye(16).double())
    changes = (rows[:, 1:].sign() != rows[:, :-1].sign()).sum(-1)
    torch.testing.assert_close(changes, torch.arange(16))
    torch.testing.assert_close(SpectralTransform((16,)).frequencies, torch.arange(16).double() / 32)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_coefficient_basis_replaces_its_band_and_nothing_else(name, generator):
    noise, theta = normal(*SHAPE, generator=generator), normal(6, 4, generator=generator)
    x = CoefficientBasis(noise, 4, num_skipped=2, transform=name)(theta)
    transform = SpectralTransform(SHAPE, name)
    order = transform.frequencies.flatten().argsort(stable=True)
    before, after = (transform.forward(image).flatten(-2)[..., order] for image in (noise, x))
    torch.testing.assert_close(after[:, 2:6], theta)
    torch.testing.assert_close(after[:, :2], before[:2].expand(6, -1))
    torch.testing.assert_close(after[:, 6:], before[6:].expand(6, -1))


def test_first_coefficient_is_the_mean(generator):
    noise = normal(*SHAPE, generator=generator)
    x = CoefficientBasis(noise, 1)(torch.tensor([3.0]))
    torch.testing.assert_close(x.mean().item(), 3 / math.sqrt(PIXELS))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_normal_coefficients_in_white_noise_are_white_noise(name):
    # x_T is linear in noise and parameters together, with independent standard normals in both
    columns = [
        CoefficientBasis(unit.reshape(SHAPE), 5, transform=name)(torch.zeros(5))
        for unit in torch.eye(PIXELS).double()
    ]
    empty = CoefficientBasis(torch.zeros(SHAPE).double(), 5, transform=name)
    columns += list(empty(torch.eye(5)))
    matrix = torch.stack(columns, -1).flatten(0, 1)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(PIXELS).double())


@pytest.mark.parametrize("name", TRANSFORMS)
def test_radial_spectrum_scales_each_band(name, generator):
    # no frequency of this shape lies on the edge of a band
    noise = normal(8, 7, generator=generator)
    basis = RadialSpectrum(noise, 4, transform=name)
    torch.testing.assert_close(basis(torch.ones(4)), noise)
    assert (basis(torch.zeros(2, 4)) == 0).all()
    theta = torch.tensor([0.5, 2.0, 0.0, -1.0]).double()
    transform = SpectralTransform((8, 7), name)
    ratio = transform.forward(basis(theta)) / transform.forward(noise)
    edges = torch.linspace(0, 1, 5)[1:-1].double() * transform.frequencies.max()
    torch.testing.assert_close(ratio, theta[torch.bucketize(transform.frequencies, edges)])


def test_bases_keep_the_type_of_the_noise(generator):
    noise = torch.randn(SHAPE, generator=generator)
    for basis in (CoefficientBasis(noise, 3), RadialSpectrum(noise, 2)):
        assert basis(basis.start).dtype == torch.float32


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("make", [lambda n: CoefficientBasis(n, 4), lambda n: RadialSpectrum(n, 3)])
def test_search_finds_the_best_member_of_its_family(make, separable, ode, references, generator):
    # h is affine in x_T and x_T in theta, so the loss is a parabola with a known lowest point
    basis = make(normal(*SHAPE, generator=generator))
    count = len(basis.start)
    corner = ode(basis(torch.zeros(count)), references.measurements)
    slopes = torch.stack(
        [ode(basis(unit), references.measurements) - corner for unit in torch.eye(count)]
    )
    system = slopes.flatten(1).mT
    wanted = (references.truths - corner).flatten().unsqueeze(-1)
    theta = torch.linalg.lstsq(system, wanted).solution.squeeze(-1)
    found = search_spectral(
        ode,
        references,
        basis,
        squared_error,
        num_trials=600,
        separable=separable,
        generator=generator,
    )
    torch.testing.assert_close(found.parameters, theta, rtol=0, atol=0.02)
    best = losses_of(ode, basis(theta).unsqueeze(0), references, squared_error).mean()
    assert float(best) <= found.loss < 1.001 * float(best)


def test_result_agrees_with_itself_and_counts_network_calls(ode, references, generator):
    basis = RadialSpectrum(normal(*SHAPE, generator=generator), 2)
    found = search_spectral(
        ode, references, basis, squared_error, num_trials=11, population=4, generator=generator
    )
    assert found.history.shape == (11,)
    assert found.num_calls == 11 * 20 * 5
    assert found.loss == found.history.min()
    torch.testing.assert_close(found.x_T, basis(found.parameters))
    losses = losses_of(ode, found.x_T.unsqueeze(0), references, squared_error)
    torch.testing.assert_close(float(losses.mean()), found.loss)


@pytest.mark.parametrize("num_trials", [1, 2, 9])
def test_first_trial_is_the_start(num_trials, ode, references, generator):
    basis = RadialSpectrum(normal(*SHAPE, generator=generator), 2)
    wanted = ode(basis(basis.start), references.measurements)
    found = search_spectral(
        ode,
        references,
        basis,
        # nothing is as near to what the start gives as the start
        lambda image, _: squared_error(image, wanted),
        num_trials=num_trials,
        generator=generator,
    )
    torch.testing.assert_close(found.history[0].item(), 0.0)
    torch.testing.assert_close(found.parameters, basis.start)
    assert found.parameters.data_ptr() != basis.start.data_ptr()


def test_last_trial_is_the_mean_of_the_distribution(ode, references, generator):
    basis = RadialSpectrum(normal(*SHAPE, generator=generator), 3)

    def history(num_trials):
        return search_spectral(
            ode, references, basis, squared_error, num_trials=num_trials, generator=generator
        ).history

    # the mean is the start until a generation has been judged
    first, last = history(2)
    assert first == last
    # near the bottom of a parabola the mean of the draws is better than most of them
    late = history(152)
    assert late[-1] < late[-31:-1].median() < late[1:31].median()


def test_same_generator_gives_the_same_bits(ode, references, generator):
    basis = CoefficientBasis(normal(*SHAPE, generator=generator), 5)

    def history(seed):
        return search_spectral(
            ode,
            references,
            basis,
            squared_error,
            num_trials=40,
            generator=torch.Generator().manual_seed(seed),
        ).history

    assert torch.equal(history(1), history(1))
    assert not torch.equal(history(1), history(2))


def test_basis_is_not_changed_by_a_search(ode, references, generator):
    basis = RadialSpectrum(normal(*SHAPE, generator=generator), 2)
    start = basis.start.clone()
    for separable in (False, True):
        search_spectral(
            ode,
            references,
            basis,
            squared_error,
            num_trials=20,
            separable=separable,
            generator=generator,
        )
    assert torch.equal(basis.start, start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_trials": 0}, "num_trials: expected at least 1"),
        ({"num_trials": 5, "population": 1}, "population"),
    ],
)
def test_search_refuses_what_it_cannot_do(options, message, ode, references, generator):
    basis = RadialSpectrum(normal(*SHAPE, generator=generator), 2)
    with pytest.raises(ValueError, match=message):
        search_spectral(ode, references, basis, squared_error, generator=generator, **options)


def test_search_refuses_one_separable_parameter_and_losses_that_are_not_finite(
    ode, references, generator
):
    one = RadialSpectrum(normal(*SHAPE, generator=generator), 1)
    with pytest.raises(ValueError, match="two parameters"):
        search_spectral(
            ode,
            references,
            one,
            squared_error,
            num_trials=9,
            separable=True,
            generator=generator,
        )
    with pytest.raises(ValueError, match="nan"):
        search_spectral(
            ode,
            references,
            one,
            lambda image, truth: squared_error(image, truth) * math.nan,
            num_trials=9,
            generator=generator,
        )


def test_bases_refuse_bands_that_the_image_does_not_have(generator):
    noise = normal(*SHAPE, generator=generator)
    for count, skipped in ((0, 0), (PIXELS, 1), (2, -1)):
        with pytest.raises(ValueError, match="no band"):
            CoefficientBasis(noise, count, num_skipped=skipped)
    with pytest.raises(ValueError, match="at least 1 band"):
        RadialSpectrum(noise, 0)
    with pytest.raises(ValueError, match="too many"):
        RadialSpectrum(noise, 40)
    with pytest.raises(ValueError, match="wavelet"):
        RadialSpectrum(noise, 2, transform="wavelet")
    with pytest.raises(ValueError, match="an image"):
        SpectralTransform(())
    for basis in (CoefficientBasis(noise, 2), RadialSpectrum(noise, 2)):
        with pytest.raises(ValueError, match="trailing shape"):
            basis(torch.zeros(3))
