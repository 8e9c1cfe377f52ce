from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.superres.boundary import (
    PosteriorMeanBoundary,
    RandomBoundary,
    SharedBoundary,
    ZeroBoundary,
    cost_of,
    tiled,
)
from invdiff.superres.exact import ExactConditional
from invdiff.superres.ode import SuperResolutionOde
from operators import Matrix

VARIANCES = torch.tensor([2.0, 1.0, 0.5, 0.1], dtype=torch.float64)
NOISE_STD = 0.5


class Enlarged:
    """A denoiser that returns the enlarged measurement, and counts the images it is asked for."""

    data_range = (-1.0, 1.0)

    def __init__(self, factor: int = 2) -> None:
        self.factor, self.num_calls = factor, 0

    def __call__(self, x: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        self.num_calls += x.shape[:-2].numel()
        return self.center(y) + 0.1 * x

    def center(self, y: Tensor) -> Tensor:
        return y.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)


def gaussian() -> ExactConditional:
    prior = GaussianPrior(torch.ones(4, dtype=torch.float64), torch.diag(VARIANCES))
    return ExactConditional(prior, Matrix(torch.eye(4, dtype=torch.float64)), NOISE_STD)


def gaussian_ode() -> SuperResolutionOde:
    return SuperResolutionOde(gaussian(), "ddim", num_calls=20, sigma_max=10.0)


def test_zero_boundary_starts_at_the_rough_image(generator: torch.Generator) -> None:
    ode, y = gaussian_ode(), torch.randn(3, 4, generator=generator, dtype=torch.float64)
    x = ZeroBoundary(ode.denoiser)(y)
    assert x.shape == (3, 4)
    assert x.dtype == y.dtype
    torch.testing.assert_close(
        ode.start(ode.denoiser, ode.sigmas[0], x, y), ode.denoiser.center(y), rtol=0, atol=0
    )


def test_posterior_mean_boundary_starts_at_the_denoised_rough_image(
    generator: torch.Generator,
) -> None:
    ode, y = gaussian_ode(), torch.randn(3, 4, generator=generator, dtype=torch.float64)
    start = ode.start(ode.denoiser, ode.sigmas[0], PosteriorMeanBoundary(ode)(y), y)
    torch.testing.assert_close(start, ode.denoiser(ode.denoiser.center(y), ode.sigmas[0], y))


def test_posterior_mean_boundary_shrinks_the_error_of_zero_by_the_gain_at_the_highest_noise(
    generator: torch.Generator,
) -> None:
    # h is affine in its start, which is off mu by (c - mu) S / (S + sigma_max^2) instead of c - mu
    ode, y = gaussian_ode(), torch.randn(3, 4, generator=generator, dtype=torch.float64)
    exact = gaussian()
    mean, covariance = exact.posterior_mean(y), exact.covariances[0].diagonal()
    of_zero = ode(ZeroBoundary(exact)(y), y) - mean
    of_mean = ode(PosteriorMeanBoundary(ode)(y), y) - mean
    gain = covariance / (covariance + ode.sigmas[0] ** 2)
    torch.testing.assert_close(of_mean, gain * of_zero, rtol=1e-8, atol=1e-13)
    assert of_zero.abs().max() < 0.1


def test_posterior_mean_boundary_takes_one_call_for_each_image() -> None:
    denoiser = Enlarged()
    boundary = PosteriorMeanBoundary(SuperResolutionOde(denoiser, "ddim", num_calls=4))
    assert boundary(torch.zeros(5, 3, 3)).shape == (5, 6, 6)
    assert denoiser.num_calls == 5 * cost_of(boundary).per_image


def test_posterior_mean_boundary_refuses_another_start() -> None:
    def start(denoiser: object, sigma: Tensor, boundary: Tensor, y: Tensor) -> Tensor:
        return boundary

    ode = SuperResolutionOde(gaussian(), "ddim", num_calls=4, start=start)
    with pytest.raises(ValueError, match="WideStart"):
        PosteriorMeanBoundary(ode)


@pytest.mark.parametrize("shared", [True, False])
def test_random_boundary_is_a_function_of_its_seed(shared: bool) -> None:
    def made(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        boundary = RandomBoundary(Enlarged(), (4, 4), generator=generator, shared=shared)
        first, second = boundary(torch.zeros(3, 2, 2)), boundary(torch.ones(3, 2, 2))
        assert torch.equal(first, second)
        return first

    assert torch.equal(made(0), made(0))
    assert not torch.equal(made(0), made(1))
    assert made(0).shape == ((4, 4) if shared else (3, 4, 4))


def test_random_boundary_of_an_image_does_not_depend_on_the_batch(
    generator: torch.Generator,
) -> None:
    boundary = RandomBoundary(Enlarged(), (4, 4), generator=generator, shared=False)
    many = boundary(torch.zeros(2, 3, 2, 2))
    assert many.shape == (2, 3, 4, 4)
    assert torch.equal(many.flatten(0, 1)[:4], boundary(torch.zeros(4, 2, 2)))
    assert torch.equal(many[0, 0], boundary(torch.zeros(2, 2)))
    assert many.flatten(1).unique(dim=0).shape[0] == 2
    assert not torch.equal(many[0, 0], many[0, 1])


def test_random_boundary_has_unit_variance(generator: torch.Generator) -> None:
    boundary = RandomBoundary(Enlarged(), (64, 64), generator=generator, shared=False)
    x = boundary(torch.zeros(8, 32, 32))
    # 4.5 standard errors of 32768 normals
    assert abs(float(x.mean())) < 4.5 / 32768**0.5
    assert abs(float(x.var()) - 1) < 4.5 * (2 / 32768) ** 0.5


def test_random_boundary_refuses_images_of_another_shape(generator: torch.Generator) -> None:
    boundary = RandomBoundary(Enlarged(), (4, 4), generator=generator, shared=True)
    with pytest.raises(ValueError, match="expected images of"):
        boundary(torch.zeros(3, 4, 4))


def test_tiling_is_periodic(generator: torch.Generator) -> None:
    patch = torch.randn(3, 5, generator=generator)
    large = tiled(patch, (10, 12))
    assert large.shape == (10, 12)
    rows, columns = torch.arange(10) % 3, torch.arange(12) % 5
    assert torch.equal(large, patch[rows][:, columns])


def test_tiling_keeps_its_size_and_crops_to_a_smaller_one(generator: torch.Generator) -> None:
    patch = torch.randn(6, 5, generator=generator)
    assert torch.equal(tiled(patch, (6, 5)), patch)
    assert torch.equal(tiled(patch, (2, 4)), patch[:2, :4])
    assert torch.equal(tiled(patch, (12, 2)), torch.cat([patch, patch])[:, :2])


@pytest.mark.parametrize("coarse", [(2, 2), (4, 4), (6, 3)])
def test_shared_boundary_fits_images_of_any_size(
    coarse: tuple[int, int], generator: torch.Generator
) -> None:
    patch = torch.randn(8, 8, generator=generator)
    denoiser = Enlarged()
    boundary = SharedBoundary(patch, denoiser, calls_spent=7)
    ode = SuperResolutionOde(denoiser, "ddim", num_calls=2)
    y = torch.randn(3, *coarse, generator=generator)
    fine = tuple(2 * n for n in coarse)
    assert boundary(y).shape == fine
    assert ode(boundary(y), y).shape == (3, *fine)
    assert cost_of(boundary) == (0, 7)


def test_shared_boundary_takes_the_type_of_the_images() -> None:
    boundary = SharedBoundary(torch.ones(4, 4), Enlarged())
    assert boundary(torch.zeros(2, 2, dtype=torch.float64)).dtype == torch.float64


def test_gradient_of_a_tiled_boundary_counts_its_copies() -> None:
    patch = torch.zeros(4, 4, requires_grad=True)
    SharedBoundary(patch, Enlarged())(torch.zeros(1, 3, 4)).sum().backward()
    expected = torch.tensor([4.0, 4.0, 2.0, 2.0]).unsqueeze(1).expand(4, 4)
    assert torch.equal(patch.grad, expected)


@pytest.mark.parametrize("bad", [torch.tensor([1.0, torch.nan]), torch.zeros(0, 3)])
def test_shared_boundary_refuses_what_is_no_boundary(bad: Tensor) -> None:
    with pytest.raises(ValueError, match="SharedBoundary"):
        SharedBoundary(bad, Enlarged())


def test_shared_boundary_refuses_images_with_fewer_axes() -> None:
    with pytest.raises(ValueError, match="x_T has shape"):
        SharedBoundary(torch.zeros(2, 4, 4), Enlarged())(torch.zeros(2, 2))


def test_a_boundary_that_says_nothing_costs_nothing() -> None:
    assert cost_of(lambda y: y) == (0, 0)
