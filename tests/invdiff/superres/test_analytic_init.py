import math

import pytest
import torch

from invdiff.priors import GaussianPrior
from invdiff.superres.analytic_bases import from_basis, to_basis
from invdiff.superres.analytic_init import (
    AnalyticStart,
    fit_analytic_start,
    load_analytic_start,
)
from invdiff.superres.exact import ExactConditional
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Pairs
from operators import Matrix

FAMILIES = ["cosine", "fourier", "pixel", "scalar"]
SHAPE, NUM, NOISE_VARIANCE = (4, 3), 12, 4.0
# noise levels of the mean, in half data ranges, at which the prior has no influence left
FAR = 1e5


def spreads_of(family, generator):
    """Posterior variances in the basis of a family, for images of SHAPE."""
    if family == "scalar":
        return torch.full(SHAPE, 0.3, dtype=torch.float64)
    spreads = 0.05 + torch.rand(SHAPE, generator=generator, dtype=torch.float64)
    if family == "fourier":
        # an even spectrum, about the middle of centred frequencies
        power = torch.fft.ifftshift(spreads)
        mirrored = power.flip(0, 1).roll((1, 1), (0, 1))
        spreads = torch.fft.fftshift((power + mirrored) / 2)
    return spreads


def covariance_of(family, spreads):
    """U diag(spreads) U*, as a matrix."""
    units = torch.eye(NUM, dtype=torch.float64).reshape(NUM, *SHAPE)
    return from_basis(spreads * to_basis(units, family, 2), family, 2).reshape(NUM, NUM)


def posterior_with(covariance):
    """The exact denoiser of a posterior that has this covariance, whatever y."""
    prior = torch.linalg.inv(torch.linalg.inv(covariance) - torch.eye(NUM) / NOISE_VARIANCE)
    mean = torch.linspace(-1, 1, NUM, dtype=torch.float64).reshape(SHAPE)
    identity = torch.eye(NUM, dtype=torch.float64)
    return ExactConditional(
        GaussianPrior(mean, (prior + prior.mT) / 2),
        Matrix(identity, SHAPE),
        NOISE_VARIANCE**0.5,
    )


def moment_matched(denoiser, generator):
    """References whose residuals have exactly the moments of the posterior: sigma points."""
    root = torch.linalg.cholesky(denoiser.covariances[0]) * math.sqrt(NUM)
    y = torch.randn(NUM, generator=generator, dtype=torch.float64).expand(2 * NUM, NUM)
    points = torch.cat([root.mT, -root.mT]).reshape(-1, *SHAPE)
    return Pairs(y, denoiser.posterior_mean(y) + points)


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def test_bases_are_orthonormal(family, generator):
    x = torch.randn(5, 4, 7, generator=generator, dtype=torch.float64)
    coefficients = to_basis(x, family, 2)
    torch.testing.assert_close(coefficients.abs().square().sum((1, 2)), x.square().sum((1, 2)))
    torch.testing.assert_close(from_basis(coefficients, family, 2), x)


def test_cosine_basis_diagonalises_mirrored_convolutions():
    """A smoothing with mirrored edges has the eigenvalues 1 - 2 (1 - cos(pi k / n)) / 4."""
    size = 6
    laplacian = torch.zeros(size, size, dtype=torch.float64)
    for i in range(size):
        for j in (i - 1, i + 1):
            laplacian[i, min(max(j, 0), size - 1)] += 1
            laplacian[i, i] -= 1
    smoothing = torch.eye(size) + laplacian / 4
    spectrum = to_basis(from_basis(torch.eye(size).double(), "cosine", 1) @ smoothing, "cosine", 1)
    eigenvalues = 1 - (1 - (torch.arange(size) * math.pi / size).cos()) / 2
    torch.testing.assert_close(spectrum, torch.diag(eigenvalues).double())


def test_start_is_the_marginal_of_a_gaussian_in_the_family(family, generator):
    denoiser = posterior_with(covariance_of(family, spreads_of(family, generator)))
    references = moment_matched(denoiser, generator)
    start = fit_analytic_start(denoiser, references, FAR, family=family)
    sigma, y = torch.tensor(0.7, dtype=torch.float64), references.measurements[0]
    mean = start(denoiser, sigma, torch.zeros(SHAPE, dtype=torch.float64), y)
    torch.testing.assert_close(mean, denoiser.posterior_mean(y))
    units = torch.eye(NUM, dtype=torch.float64).reshape(NUM, *SHAPE)
    # the state is linear in x_T, so that its covariance is that of the columns
    columns = (start(denoiser, sigma, units, y.expand(NUM, NUM)) - mean).reshape(NUM, NUM)
    expected = denoiser.covariances[0] + sigma**2 * torch.eye(NUM)
    torch.testing.assert_close(columns.mT @ columns, expected)


def test_fine_ode_from_the_start_gives_mean_plus_root_of_covariance(family, generator):
    covariance = covariance_of(family, spreads_of(family, generator))
    denoiser = posterior_with(covariance)
    references = moment_matched(denoiser, generator)
    start = fit_analytic_start(denoiser, references, FAR, family=family)
    y = references.measurements[:1]
    boundary = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors @ (values.sqrt() * vectors).mT
    expected = denoiser.posterior_mean(y) + (root @ boundary.flatten()).reshape(SHAPE)
    errors = []
    for num_calls in (101, 201):
        ode = SuperResolutionOde(
            denoiser, "ddim", num_calls=num_calls, sigma_max=0.5, sigma_min=1e-4, start=start
        )
        errors.append((ode(boundary, y) - expected).abs().max().item())
    # Euler's error, halved by twice the steps: no bias is left
    assert errors[0] < 0.05
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.1)


def test_wide_start_at_a_low_level_is_biased(generator):
    """x = c + sigma x_T lacks the covariance of the image: h comes out with too little of it."""
    spread, sigma = 0.3, torch.tensor(0.7, dtype=torch.float64)
    denoiser = posterior_with(spread * torch.eye(NUM, dtype=torch.float64))
    y = torch.randn(1, NUM, generator=generator, dtype=torch.float64)
    half = (denoiser.data_range[1] - denoiser.data_range[0]) / 2
    ode = SuperResolutionOde(
        denoiser, "ddim", num_calls=400, sigma_max=sigma.item() / half, sigma_min=1e-4
    )
    boundary = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    shrunk = (ode(boundary, y) - ode(zero, y)) / boundary
    std = math.sqrt(spread) * sigma.item() / math.sqrt(spread + sigma.item() ** 2)
    torch.testing.assert_close(shrunk, torch.full_like(shrunk, std), rtol=0.02, atol=0)
    # and pulled towards the rough image
    mean, center = denoiser.posterior_mean(y), denoiser.center(y)
    pull = math.sqrt(spread / (spread + sigma.item() ** 2))
    torch.testing.assert_close(ode(zero, y), mean + pull * (center - mean), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 3.0])
def test_fit_is_where_the_divergence_is_stationary(family, generator, sigma):
    """Its gradient in the variances vanishes at every noise level, for any references."""
    denoiser = posterior_with(torch.eye(NUM, dtype=torch.float64))
    y = torch.randn(9, NUM, generator=generator, dtype=torch.float64)
    truths = torch.randn(9, *SHAPE, generator=generator, dtype=torch.float64) ** 3
    start = fit_analytic_start(denoiser, Pairs(y, truths), FAR, family=family)
    residuals = (truths - denoiser.posterior_mean(y)).reshape(9, NUM)

    def divergence(variances):
        """KL but for a constant, the references blurred by noise of that level."""
        full = covariance_of(family, variances.expand(SHAPE)) + sigma**2 * torch.eye(NUM)
        moments = residuals.mT @ residuals / 9 + sigma**2 * torch.eye(NUM)
        return torch.logdet(full) + torch.linalg.solve(full, moments).trace()

    variances = start.variances.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(divergence(variances), variances)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-7, rtol=0)
    assert divergence(1.3 * start.variances) > divergence(start.variances)
    assert divergence(0.8 * start.variances) > divergence(start.variances)


def test_rough_image_as_the_mean_takes_no_call(generator):
    denoiser = posterior_with(torch.eye(NUM, dtype=torch.float64))
    y = torch.randn(5, NUM, generator=generator, dtype=torch.float64)
    truths = torch.randn(5, *SHAPE, generator=generator, dtype=torch.float64)
    start = fit_analytic_start(denoiser, Pairs(y, truths), None, family="pixel")
    center = denoiser.center(y)
    torch.testing.assert_close(start.variances, (truths - center).square().mean(0))
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    torch.testing.assert_close(start(denoiser, torch.tensor(1.0), zero, y), center)


@pytest.mark.parametrize("level", [None, 3.0])
def test_calls_of_the_start_are_among_those_of_the_ode(level, generator):
    denoiser = posterior_with(torch.eye(NUM, dtype=torch.float64))
    calls = []

    class Counting:
        data_range, center = denoiser.data_range, staticmethod(denoiser.center)

        def __call__(self, x, sigma, y):
            calls.append(sigma.item())
            return denoiser(x, sigma, y)

    start = AnalyticStart(torch.tensor(0.3), "scalar", level)
    ode = SuperResolutionOde(Counting(), "ddim", num_calls=5, start=start)
    ode(torch.zeros(SHAPE), torch.zeros(1, NUM))
    assert len(calls) == ode.num_calls == 5
    if level is not None:
        half = (denoiser.data_range[1] - denoiser.data_range[0]) / 2
        assert calls[0] == pytest.approx(level * half)
        with pytest.raises(ValueError, match="expected at least 3, got 1"):
            SuperResolutionOde(denoiser, "ddim", num_calls=1, start=start)


def test_state_is_differentiable_in_the_boundary(family, generator):
    denoiser = posterior_with(torch.eye(NUM, dtype=torch.float64))
    variances = torch.tensor(0.2) if family == "scalar" else torch.full(SHAPE, 0.2)
    start = AnalyticStart(variances.double(), family)
    y = torch.randn(2, NUM, generator=generator, dtype=torch.float64)
    boundary = torch.randn(SHAPE, generator=generator, dtype=torch.float64).requires_grad_()
    sigma = torch.tensor(1.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: start(denoiser, sigma, x, y), boundary)


@pytest.mark.parametrize("level", [None, 1.7])
def test_start_survives_its_file(tmp_path, family, generator, level):
    variances = spreads_of(family, generator)
    start = AnalyticStart(variances.mean() if family == "scalar" else variances, family, level)
    start.save(tmp_path / "start.safetensors")
    loaded = load_analytic_start(tmp_path / "start.safetensors")
    assert torch.equal(loaded.variances, start.variances)
    assert (loaded.family, loaded.mean_sigma) == (family, level)


def test_other_files_are_no_starts(tmp_path):
    from safetensors.torch import save_file

    save_file({"variances": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="not an analytic start"):
        load_analytic_start(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("variances", "family", "level", "message"),
    [
        (torch.tensor(-1.0), "scalar", 2.0, "variances >= 0"),
        (torch.tensor(math.nan), "scalar", 2.0, "variances >= 0"),
        (torch.ones(3), "scalar", 2.0, "one for the family scalar"),
        (torch.tensor(1.0), "cosine", 2.0, "one for each pixel"),
        (torch.ones(3), "wavelet", 2.0, "expected one of cosine"),
        (torch.ones(3), "cosine", 0.0, "positive noise level"),
    ],
)
def test_start_rejects_bad_input(variances, family, level, message):
    with pytest.raises(ValueError, match=message):
        AnalyticStart(variances, family, level)


def test_fit_and_state_reject_shapes_that_do_not_fit():
    denoiser = posterior_with(torch.eye(NUM, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least one pair"):
        fit_analytic_start(denoiser, Pairs(torch.ones(0, NUM), torch.ones(0, *SHAPE)))
    start = AnalyticStart(torch.ones(5), "cosine")
    with pytest.raises(ValueError, match="fitted on images of"):
        start(denoiser, torch.tensor(1.0), torch.zeros(SHAPE), torch.zeros(1, NUM))
