import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import (
    GaussianMixturePrior,
    GaussianPrior,
    SharedCovarianceMixture,
    SubspacePrior,
)
from operators import GaussianNoise, Matrix, PoissonNoise

SHAPE, RANK = (2, 3), 2


def _latent(kind, generator):
    weights = torch.tensor([0.2, 0.5, 0.3]).double()
    means = 3 * torch.randn(3, RANK, generator=generator, dtype=torch.float64)
    factors = torch.randn(3, RANK, RANK, generator=generator, dtype=torch.float64)
    covariances = factors @ factors.mT
    if kind == "gaussian":
        return GaussianPrior(means[0], covariances[0])
    if kind == "mixture":
        return GaussianMixturePrior(weights, means, covariances)
    return SharedCovarianceMixture(weights, means, covariances[0])


@pytest.fixture(params=["gaussian", "mixture", "shared"])
def pair(request, generator):
    """The same distribution twice: on its subspace, and with singular covariances."""
    latent = _latent(request.param, generator)
    basis = torch.linalg.qr(torch.randn(6, RANK, generator=generator, dtype=torch.float64)).Q
    offset = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    count = len(latent.weights)
    covariances = (
        latent.component_covariance().expand(count, -1, -1)
        if request.param == "shared"
        else latent.covariances
    )
    means = offset + (latent.means @ basis.mT).reshape(-1, *SHAPE)
    dense = GaussianMixturePrior(latent.weights, means, basis @ covariances @ basis.mT)
    return SubspacePrior(offset, basis, latent), dense


@pytest.mark.parametrize("levels", [(), (4,)])
def test_denoiser_and_density_are_those_of_the_singular_mixture(pair, levels, generator):
    subspace, dense = pair
    x = 3 * torch.randn(4, *SHAPE, generator=generator, dtype=torch.float64)
    sigma = 0.3 + torch.rand(levels, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(subspace(x, sigma), dense(x, sigma))
    torch.testing.assert_close(subspace.log_prob(x, sigma), dense.log_prob(x, sigma))
    torch.testing.assert_close(
        subspace.responsibilities(x, sigma), dense.responsibilities(x, sigma)
    )
    assert subspace(x.float(), sigma.float()).dtype == torch.float32
    torch.testing.assert_close(torch.tensor(subspace.data_range), torch.tensor(dense.data_range))


@pytest.mark.parametrize("is_complex", [False, True])
def test_posterior_is_that_of_the_singular_mixture(pair, is_complex, generator):
    subspace, dense = pair
    dtype = torch.complex128 if is_complex else torch.float64
    matrix = torch.randn(2, 6, generator=generator, dtype=dtype)
    operator = _RealInput(matrix) if is_complex else Matrix(matrix, SHAPE)
    noise = GaussianNoise(0.4)
    y = noise.sample(operator(subspace.sample(1, generator=generator)[0]), generator=generator)
    likelihood = Likelihood(operator, noise, y)
    one, other = subspace.posterior(likelihood), dense.posterior(likelihood)
    torch.testing.assert_close(one.latent.weights, other.weights)
    torch.testing.assert_close(one.mean(), other.mean())
    torch.testing.assert_close(one.covariance(), other.covariance())


def _RealInput(matrix):
    from operators import RealToComplex

    return Matrix(matrix, SHAPE) @ RealToComplex(SHAPE)


def test_samples_lie_on_the_subspace_with_the_stated_moments(pair, generator):
    subspace, dense = pair
    count = 20000
    x = subspace.sample(count, generator=generator).flatten(1)
    offset = x - subspace.offset.flatten()
    torch.testing.assert_close(offset @ subspace.basis @ subspace.basis.mT, offset)
    covariance = dense.covariance()
    torch.testing.assert_close(subspace.covariance(), covariance)
    standard_error = (torch.diagonal(covariance) / count).sqrt()
    assert ((x.mean(0) - dense.mean().flatten()).abs() < 4.5 * standard_error).all()
    scale = torch.diagonal(covariance).max()
    assert ((torch.cov(x.T) - covariance).abs() < 4.5 * (2 / count) ** 0.5 * scale).all()


def test_refuses_what_does_not_fit(generator):
    latent = _latent("gaussian", generator)
    offset = torch.zeros(SHAPE, dtype=torch.float64)
    basis = torch.eye(6, RANK, dtype=torch.float64)
    with pytest.raises(ValueError, match="orthonormal"):
        SubspacePrior(offset, 2 * basis, latent)
    with pytest.raises(ValueError, match="subspace: an offset"):
        SubspacePrior(offset, basis[:5], latent)
    with pytest.raises(ValueError, match="subspace: an offset"):
        SubspacePrior(offset, torch.eye(6, 3, dtype=torch.float64), latent)
    prior = SubspacePrior(offset, basis, latent)
    identity = Matrix(torch.eye(6, dtype=torch.float64), SHAPE)
    batch = torch.ones(2, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match="one problem"):
        prior.posterior(Likelihood(identity, GaussianNoise(1.0), batch))
    with pytest.raises(ValueError, match="Gaussian noise only"):
        prior.posterior(Likelihood(identity, PoissonNoise(1.0), batch[0]))
    other = Matrix(torch.eye(6, dtype=torch.float64))
    with pytest.raises(ValueError, match="images of"):
        prior.posterior(Likelihood(other, GaussianNoise(1.0), batch[0]))
