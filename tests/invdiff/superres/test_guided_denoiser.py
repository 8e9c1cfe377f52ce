import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior, GaussianPrior, load_prior
from invdiff.rng import derive_generator
from invdiff.samplers import PiGDM
from invdiff.superres.exact import ExactConditional
from invdiff.superres.guided import GuidedDenoiser
from invdiff.superres.ode import SuperResolutionOde
from operators import (
    Blur,
    Composition,
    Downsample,
    GaussianNoise,
    Identity,
    ImageGrid,
    Mask,
    ParallelBeam2D,
    ParallelGeometry,
    RealToComplex,
    Resample,
    SingleCoilMRI,
    gaussian_psf,
)
from operators.testing import to_dense

SHAPE, N, STD = (4, 6), 24, 0.3
NOISE = GaussianNoise(STD)
# conjugate gradients that are converged for the number of measurements
NUM_CG = 60
EXACT = 1e-10
KEEP = torch.arange(N).reshape(SHAPE) % 3 > 0
GRID = ImageGrid(SHAPE)
OPERATORS = {
    "super-resolution": Downsample(SHAPE, 2),
    "mask": Mask(KEEP),
    "blur": Blur(gaussian_psf(0.7, 3), SHAPE),
    "ct": ParallelBeam2D(GRID, ParallelGeometry.covering(GRID, 3)),
    "mri": SingleCoilMRI(KEEP) @ RealToComplex(SHAPE),
    "no svd": Composition(Downsample(SHAPE, 2), Blur(gaussian_psf(0.7, 3), SHAPE)),
}


def normal(*shape, label="x"):
    return torch.randn(shape, generator=derive_generator(0, label), dtype=torch.float64)


@pytest.fixture
def correlated():
    root = torch.eye(N, dtype=torch.float64) / 2 + normal(N, N, label="root") / 10
    return GaussianPrior(normal(*SHAPE, label="mean"), root @ root.T)


@pytest.fixture
def mixture():
    means = normal(2, *SHAPE, label="means") / 2
    covariances = torch.stack([0.04 * torch.eye(N), 0.2 * torch.eye(N)]).double()
    return GaussianMixturePrior(torch.tensor([0.4, 0.6]).double(), means, covariances)


def isotropic(variance):
    return GaussianPrior(normal(*SHAPE, label="mean"), variance)


def measured(operator, batch=()):
    clean = operator(normal(*batch, *SHAPE, label="truth"))
    return NOISE.sample(clean, generator=derive_generator(0, "noise"))


def in_half_ranges(prior, std):
    low, high = prior.data_range
    return std / ((high - low) / 2)


@pytest.mark.parametrize("sigma", [0.05, 3.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_moment_matching_is_exact_for_every_gaussian_prior(name, sigma, correlated):
    operator, x = OPERATORS[name], normal(3, *SHAPE)
    y, level = measured(operator), torch.tensor(sigma).double()
    guided = GuidedDenoiser(correlated, operator, NOISE, "moment_matching", num_cg=NUM_CG)
    exact = correlated.posterior(Likelihood(operator, NOISE, y))(x, level)
    torch.testing.assert_close(guided(x, level, y), exact, rtol=0, atol=EXACT)


@pytest.mark.parametrize("method", ["pigdm", "proximal"])
@pytest.mark.parametrize("name", OPERATORS)
def test_exact_for_an_isotropic_prior_of_known_variance(name, method):
    operator, prior, x = OPERATORS[name], isotropic(0.25), normal(3, *SHAPE)
    std = in_half_ranges(prior, 0.5)
    guided = GuidedDenoiser(prior, operator, NOISE, method, prior_std=std, num_cg=NUM_CG)
    y, level = measured(operator), torch.tensor(0.7).double()
    exact = prior.posterior(Likelihood(operator, NOISE, y))(x, level)
    torch.testing.assert_close(guided(x, level, y), exact, rtol=0, atol=EXACT)


def test_agrees_with_the_oracle_on_a_batch_of_problems(correlated):
    operator, x = OPERATORS["super-resolution"], normal(2, 3, *SHAPE)
    y, sigma = (
        measured(operator, (3,)),
        torch.rand(2, 3, dtype=torch.float64, generator=derive_generator(1)) + 0.1,
    )
    guided = GuidedDenoiser(correlated, operator, NOISE, "moment_matching", num_cg=NUM_CG)
    exact = ExactConditional(correlated, operator, STD)(x, sigma, y)
    torch.testing.assert_close(guided(x, sigma, y), exact, rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ["super-resolution", "no svd"])
def test_pigdm_is_its_formula(name, mixture):
    operator, x, s = OPERATORS[name], normal(*SHAPE), 0.5
    y, sigma = measured(operator), torch.tensor(0.5).double()
    v, a = 0.09, to_dense(operator).double()
    jacobian = torch.func.jacrev(lambda z: mixture(z, sigma))(x).reshape(N, N)
    r2 = s**2 * v / (s**2 + v)
    matrix = r2 * a @ a.T + STD**2 * torch.eye(len(a)).double()
    pull = torch.linalg.solve(matrix, (y - operator(mixture(x, sigma))).flatten())
    expected = mixture(x, sigma) + s**2 * (jacobian.T @ a.T @ pull).reshape(SHAPE)
    std = in_half_ranges(mixture, v**0.5)
    guided = GuidedDenoiser(mixture, operator, NOISE, "pigdm", prior_std=std, num_cg=NUM_CG)
    torch.testing.assert_close(guided(x, sigma, y), expected)


def test_ode_is_the_deterministic_pigdm(mixture):
    operator = OPERATORS["mask"]
    likelihood = Likelihood(operator, NOISE, measured(operator))
    sampler = PiGDM(7, sigma_max=5.0, sigma_min=0.02, eta=0.0, order=1, prior_std=0.2)
    start = sampler.init(likelihood, mixture, 1, generator=derive_generator(0)).x[0]
    sampled = sampler.sample(likelihood, mixture, 1, generator=derive_generator(0)).values[0]
    guided = GuidedDenoiser(mixture, operator, NOISE, "pigdm", prior_std=0.2)
    ode = SuperResolutionOde(guided, "ddim", num_calls=7, sigma_max=5.0, sigma_min=0.02)
    boundary = (start - guided.center(likelihood.y)) / ode.sigmas[0]
    torch.testing.assert_close(ode(boundary, likelihood.y), sampled)


def test_proximal_puts_exact_data_into_the_image(mixture):
    operator, x = OPERATORS["super-resolution"], normal(*SHAPE)
    y, sigma = operator(normal(*SHAPE, label="truth")), torch.tensor(0.5).double()
    guided = GuidedDenoiser(mixture, operator, GaussianNoise(1e-7), "proximal")
    mean = mixture(x, sigma)
    change = torch.linalg.pinv(to_dense(operator).double()) @ (y - operator(mean)).flatten()
    torch.testing.assert_close(guided(x, sigma, y), mean + change.reshape(SHAPE))


@pytest.mark.parametrize("method", ["pigdm", "moment_matching", "proximal"])
def test_batches_shapes_and_chunks_change_nothing(method, mixture):
    operator, x = OPERATORS["super-resolution"], normal(*SHAPE)
    y, sigma = measured(operator, (2, 3)), torch.tensor(0.5).double()
    whole = GuidedDenoiser(mixture, operator, NOISE, method)
    parts = GuidedDenoiser(mixture, operator, NOISE, method, chunk_size=4)
    result = whole(x, sigma, y)
    assert result.shape == (2, 3, *SHAPE)
    torch.testing.assert_close(parts(x, sigma, y), result)
    torch.testing.assert_close(whole(x, sigma, y[1, 2]), result[1, 2])
    single = whole(x.float(), sigma, y.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, result.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["pigdm", "moment_matching", "proximal"])
def test_differentiable_in_x_only_where_asked(method, mixture):
    operator, y = OPERATORS["super-resolution"], measured(OPERATORS["super-resolution"])
    guided = GuidedDenoiser(mixture, operator, NOISE, method, num_cg=3)
    x, sigma = normal(*SHAPE).requires_grad_(), torch.tensor(0.5).double()
    assert torch.autograd.gradcheck(lambda z: guided(z, sigma, y), (x,), fast_mode=True)
    assert not guided(x.detach(), sigma, y).requires_grad
    with torch.no_grad():
        torch.testing.assert_close(guided(x, sigma, y), guided(x.detach(), sigma, y))


def test_gradient_through_a_network_with_attention():
    prior, operator = load_prior("brain-mr-256", size=(32, 32)), Downsample((32, 32), 4)
    guided = GuidedDenoiser(prior, operator, GaussianNoise(0.1), "pigdm")
    truth, direction = normal(32, 32).float(), normal(32, 32, label="direction").float()
    y, sigma, h = operator(truth), torch.tensor(1.0), 0.02
    x = (2 * truth).requires_grad_()
    (slope,) = torch.autograd.grad((guided(x, sigma, y) ** 2).sum(), x)
    with torch.no_grad():
        ends = [(guided(x + s * h * direction, sigma, y) ** 2).sum() for s in (1, -1)]
    difference = (ends[0] - ends[1]) / (2 * h)
    torch.testing.assert_close((slope * direction).sum(), difference, rtol=0.02, atol=0)


class Counted(torch.autograd.Function):
    """The half of x, which notes each pass."""

    passes: list[str] = []  # noqa: RUF012

    @staticmethod
    def forward(ctx, x):
        Counted.passes.append("forward")
        return x / 2

    @staticmethod
    def backward(ctx, slope):
        Counted.passes.append("backward")
        return slope / 2


class Halving:
    data_range, image_shape = (-1.0, 1.0), SHAPE

    def __call__(self, x, sigma):
        return Counted.apply(x)


@pytest.mark.parametrize("method", ["pigdm", "moment_matching", "proximal"])
def test_a_backward_pass_counts_as_two_calls(method):
    operator = OPERATORS["super-resolution"]
    guided = GuidedDenoiser(Halving(), operator, NOISE, method, num_cg=4)
    Counted.passes.clear()
    guided(normal(5, *SHAPE), torch.tensor(1.0), measured(operator))
    passes = Counted.passes
    assert passes.count("forward") + 2 * passes.count("backward") == guided.calls_per_image
    assert guided.num_calls == 5 * guided.calls_per_image


def test_center_of_coarse_images_is_their_bicubic_enlargement(mixture):
    y = measured(OPERATORS["super-resolution"], (2,))
    center = GuidedDenoiser(mixture, OPERATORS["super-resolution"], NOISE).center(y)
    assert torch.equal(center, Resample((2, 3), SHAPE)(y))


@pytest.mark.parametrize("name", ["mask", "blur", "ct", "mri"])
def test_center_of_other_data_is_regularised_least_squares(name):
    prior = GaussianPrior(torch.full(SHAPE, 0.5).double(), 0.25)
    half, y = (prior.data_range[1] - prior.data_range[0]) / 2, measured(OPERATORS[name])
    wide = GaussianPrior(torch.full(SHAPE, 0.5).double(), half**2)
    expected = wide.posterior(Likelihood(OPERATORS[name], NOISE, y)).mean()
    center = GuidedDenoiser(prior, OPERATORS[name], NOISE).center(y)
    torch.testing.assert_close(center, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "dps"}, "expected method proximal, pigdm"),
        ({"prior_std": 0.0}, "prior_std > 0"),
        ({"num_cg": 0}, "num_cg >= 1"),
        ({"chunk_size": 0}, "chunk_size >= 1"),
        ({"operator": Identity((5,))}, r"the operator takes \(5,\)"),
    ],
)
def test_refuses_what_it_cannot_do(change, message, mixture):
    arguments = {"denoiser": mixture, "operator": OPERATORS["mask"], "noise": NOISE}
    with pytest.raises(ValueError, match=message):
        GuidedDenoiser(**{**arguments, **change})


def test_refuses_a_prior_without_gradient_unless_none_is_needed():
    class Constant(Halving):
        def __call__(self, x, sigma):
            return torch.zeros_like(x)

    operator = OPERATORS["super-resolution"]
    x, sigma, y = normal(*SHAPE), torch.tensor(1.0), measured(operator)
    with pytest.raises(ValueError, match="cannot differentiate the denoiser Constant"):
        GuidedDenoiser(Constant(), operator, NOISE, "pigdm")(x, sigma, y)
    assert GuidedDenoiser(Constant(), operator, NOISE)(x, sigma, y).abs().sum() > 0


def test_refuses_images_and_measurements_of_another_shape(mixture):
    operator = OPERATORS["super-resolution"]
    guided, x, y = GuidedDenoiser(mixture, operator, NOISE), normal(*SHAPE), measured(operator)
    with pytest.raises(ValueError, match=r"expected measurements of \(2, 3\), got \(2, 2\)"):
        guided(x, torch.tensor(1.0), y[:, :2])
    with pytest.raises(ValueError, match=r"expected images of \(4, 6\), got \(2, 6\)"):
        guided(x[:2], torch.tensor(1.0), y)
