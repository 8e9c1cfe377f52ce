"""Projections onto the images of a prior: idempotent, with the data as fixed points."""

import pytest
import torch
from torch import nn

from invdiff.priors import (
    GaussianPrior,
    Idempotent,
    LearnedProjector,
    LinearProjector,
    SubspacePrior,
    idempotence_error,
)


@pytest.fixture
def prior(generator):
    basis = torch.linalg.qr(torch.randn(12, 3, generator=generator, dtype=torch.float64))[0]
    offset = torch.rand(4, 3, generator=generator, dtype=torch.float64)
    variances = torch.diag(torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64))
    return SubspacePrior(offset, basis, GaussianPrior(torch.zeros(3).double(), variances))


@pytest.fixture
def x(generator):
    return torch.randn(2, 5, 4, 3, generator=generator, dtype=torch.float64)


def test_the_linear_projector_is_idempotent(prior, x):
    f = LinearProjector(prior)
    assert isinstance(f, Idempotent)
    assert idempotence_error(f, x).shape == (2, 5)
    assert idempotence_error(f, x).max() < 1e-14
    assert (f.project(x) - x).abs().max() > 1


def test_the_linear_projector_leaves_the_data_alone(prior, generator):
    data = prior.sample(50, generator=generator)
    torch.testing.assert_close(LinearProjector(prior).project(data), data)


def test_what_is_taken_away_is_orthogonal_to_the_images(prior, x):
    rest = (x - LinearProjector(prior).project(x)).flatten(-2)
    assert (rest @ prior.basis).abs().max() < 1e-14


def test_the_linear_projector_is_the_denoiser_at_no_noise(prior, x):
    f, little = LinearProjector(prior), torch.tensor(1e-7, dtype=torch.float64)
    # the shrinkage is sigma^2 over the least variance, 5e-14
    torch.testing.assert_close(f(x, torch.tensor(3.0)), prior(x, little), rtol=0, atol=1e-11)


def test_keeps_dtype(prior, x):
    assert LinearProjector(prior).project(x.float()).dtype == torch.float32


def test_the_idempotence_error_is_a_root_mean_square(x):
    class Halved:
        image_shape = (4, 3)
        data_range = (-1.0, 1.0)

        def project(self, x):
            return x / 2

    expected = (x / 4).square().mean((-2, -1)).sqrt()
    torch.testing.assert_close(idempotence_error(Halved(), x), expected)


def test_a_network_is_added_to_the_image(x):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 12), nn.Unflatten(1, (4, 3)))
    f = LearnedProjector(network, (4, 3), (-1.0, 1.0))
    expected = x[1, 2].float() + network(x[1, 2].float()[None])[0]
    torch.testing.assert_close(f(x, torch.tensor(1.0))[1, 2].float(), expected)
    assert f.project(x).dtype == torch.float64


def test_refusals(prior, x):
    network = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=r"low < high, got \(3,\) and \(1.0, 1.0\)"):
        LearnedProjector(network, (3,), (1.0, 1.0))
    with pytest.raises(ValueError, match=r"expected an image_shape and .* got \(0, 3\)"):
        LearnedProjector(network, (0, 3), (0.0, 1.0))
    with pytest.raises(ValueError, match=r"images \(3, 4\), got torch.float64 \(2, 5, 4, 3\)"):
        LearnedProjector(network, (3, 4), (0.0, 1.0)).project(x)
    with pytest.raises(ValueError, match=r"LinearProjector: expected real images \(4, 3\)"):
        LinearProjector(prior).project(x.mT)
    with pytest.raises(ValueError, match=r"LinearProjector: .* torch.complex128 \(4, 3\)"):
        LinearProjector(prior).project(x[0, 0].to(torch.complex128))
    with pytest.raises(ValueError, match=r"LearnedProjector: .* torch\.complex128"):
        LearnedProjector(network, (3,), (0.0, 1.0)).project(x.to(torch.complex128))
    # which a sum would broadcast
    with pytest.raises(ValueError, match=r"keeps the shape \(40, 3\), it returns \(40, 1\)"):
        LearnedProjector(nn.Linear(3, 1), (3,), (0.0, 1.0)).project(x)


def test_no_images_and_no_weights_are_fine(prior, x):
    assert LinearProjector(prior).project(x[:0]).shape == (0, 5, 4, 3)
    f = LearnedProjector(nn.Identity(), (4, 3), (0.0, 1.0))
    torch.testing.assert_close(f.project(x), 2 * x)
