import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import AR1VolumePrior, GaussianPrior
from operators import GaussianNoise, Mask

SHAPE = (5, 2, 2)
PIXELS = 4


def plane(dtype=torch.float64):
    distance = (torch.arange(PIXELS)[:, None] - torch.arange(PIXELS)).abs()
    return (1.3 * torch.exp(-distance / 2.0)).to(dtype)


@pytest.fixture(params=[None, plane()], ids=["independent pixels", "correlated pixels"])
def prior(request):
    return AR1VolumePrior(SHAPE, 0.7, mean=0.4, std=0.5, plane=request.param)


def as_gaussian(prior):
    """The same prior as one Gaussian of all voxels, with a dense covariance."""
    c = torch.eye(PIXELS).double() if prior._vectors is None else plane()
    z = torch.arange(SHAPE[0])
    along = 0.25 * 0.7 ** (z[:, None] - z).abs().double()
    mean = torch.full(SHAPE, 0.4, dtype=torch.float64)
    return GaussianPrior(mean, torch.kron(along, c))


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("each", [False, True])
def test_is_the_denoiser_of_the_dense_gaussian_at_one_level(prior, batch, each, generator):
    x = torch.randn(*batch, *SHAPE, generator=generator, dtype=torch.float64)
    sigma = torch.rand(batch if each else (), generator=generator).double() + 0.1
    torch.testing.assert_close(prior(x, sigma), as_gaussian(prior)(x, sigma))


@pytest.mark.parametrize("each", [False, True])
def test_density_is_that_of_the_dense_gaussian(prior, each, generator):
    x = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(prior.log_prob(x), as_gaussian(prior).log_prob(x))
    sigma = torch.rand((3,) if each else (), generator=generator).double() + 0.1
    torch.testing.assert_close(prior.log_prob(x, sigma), as_gaussian(prior).log_prob(x, sigma))


def test_posterior_of_known_slices_is_the_conditional(prior, generator):
    """Slices seen with next to no noise."""
    known = torch.tensor([False, True, False, False, True])
    x = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    mask = known[:, None, None].expand(SHAPE)
    posterior = prior.posterior(Likelihood(Mask(mask), GaussianNoise(1e-5), x[mask]))
    mean, along_z = prior.conditional(known, x)
    tolerance = {"rtol": 0, "atol": 1e-8}  # the variance of the noise, 1e-10, times 100
    torch.testing.assert_close(posterior.mean(), mean, **tolerance)
    c = torch.eye(PIXELS).double() if prior._vectors is None else plane()
    torch.testing.assert_close(posterior.covariance(), torch.kron(along_z, c), **tolerance)


def test_obeys_tweedies_formula_with_a_level_for_each_slice(prior, generator):
    sigma = torch.rand(3, SHAPE[0], generator=generator).double() + 0.1
    x = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x)
    expected = x + sigma[..., None, None] ** 2 * score
    torch.testing.assert_close(prior(x.detach(), sigma), expected.detach())


def test_a_slice_without_noise_stays_and_informs_the_others(prior, generator):
    """Known slices at 0 and all others hopelessly noisy: the conditional mean."""
    known = torch.tensor([False, True, False, False, True])
    x = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    mean = prior(x, torch.where(known, 0.0, 1e9).double().expand(3, -1))
    assert torch.equal(mean[:, known], x[:, known])
    torch.testing.assert_close(mean, prior.conditional(known, x).mean)


def test_no_noise_at_all_changes_nothing(prior, generator):
    x = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    assert torch.equal(prior(x, torch.tensor(0.0)), x)


@pytest.mark.parametrize("known", [[1, 3], [0], [0, 1, 2, 3, 4], []])
def test_conditional_is_that_of_the_dense_gaussian(prior, known, generator):
    values = torch.randn(*SHAPE, generator=generator, dtype=torch.float64)
    mask = torch.zeros(SHAPE[0], dtype=torch.bool)
    mask[known] = True
    found = prior.conditional(mask, values)
    s, voxel = as_gaussian(prior).covariance(), mask.repeat_interleave(PIXELS)
    gain = s[:, voxel] @ torch.linalg.inv(s[voxel][:, voxel])
    mean = 0.4 + gain @ (values.flatten()[voxel] - 0.4)
    torch.testing.assert_close(found.mean, mean.reshape(SHAPE))
    c = torch.eye(PIXELS).double() if prior._vectors is None else plane()
    torch.testing.assert_close(torch.kron(found.covariance, c), s - gain @ s[voxel])


def test_unknown_values_are_not_read(prior, generator):
    mask = torch.tensor([True, False, False, True, False])
    values = torch.randn(*SHAPE, generator=generator, dtype=torch.float64)
    spoilt = torch.where(mask[:, None, None], values, torch.nan)
    torch.testing.assert_close(
        prior.conditional(mask, spoilt).mean, prior.conditional(mask, values).mean
    )


def test_samples_have_the_stated_covariance(prior, generator):
    count = 20000
    x = prior.sample(count, generator=generator).flatten(1) - 0.4
    s = as_gaussian(prior).covariance()
    variance = torch.diagonal(s)
    error = (variance[:, None] * variance + s**2).sqrt() / count**0.5
    assert ((x.T @ x / count - s).abs() < 4.5 * error).all()
    assert (x.mean(0).abs() < 4.5 * (variance / count).sqrt()).all()


def test_range_reaches_four_standard_deviations(prior):
    variance = float(torch.diagonal(as_gaussian(prior).covariance()).max())
    low, high = prior.data_range
    assert [low, high] == pytest.approx([0.4 - 4 * variance**0.5, 0.4 + 4 * variance**0.5])


def test_keeps_the_dtype_of_the_image(prior):
    x = torch.zeros(SHAPE, dtype=torch.float32)
    assert prior(x, torch.tensor(0.3)).dtype == torch.float32
    assert prior.conditional(torch.ones(5, dtype=torch.bool), x).mean.dtype == torch.float32


@pytest.mark.parametrize(
    "settings",
    [
        {"correlation": 1.0},
        {"correlation": -1.0},
        {"correlation": 0.5, "std": 0.0},
        {"correlation": 0.5, "plane": torch.eye(3)},
        {"correlation": 0.5, "plane": torch.ones(4, 4)},
    ],
)
def test_refuses_what_is_no_covariance(settings):
    with pytest.raises(ValueError, match="AR1VolumePrior"):
        AR1VolumePrior(SHAPE, **settings)


@pytest.mark.parametrize(
    ("known", "values"),
    [
        (torch.ones(4, dtype=torch.bool), torch.zeros(SHAPE)),
        (torch.ones(5), torch.zeros(SHAPE)),
        (torch.ones(5, dtype=torch.bool), torch.zeros(5, 2, 3)),
    ],
)
def test_conditional_refuses_other_shapes(prior, known, values):
    with pytest.raises(ValueError, match="AR1VolumePrior"):
        prior.conditional(known, values)
