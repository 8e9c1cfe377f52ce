"""Distillation of a denoiser into an idempotent network: closed forms, then two trainings."""

import math

import pytest
import torch
from torch import nn

from invdiff.priors import (
    GaussianPrior,
    LinearProjector,
    StudentAtoms,
    SubspacePrior,
    idempotence_error,
)
from invdiff.rng import derive_generator
from invdiff.training import (
    Distillation,
    Training,
    distillation_loss,
    drawn_network,
    train_idempotent,
)

SIZE, VARIANCE = 6, 0.8


@pytest.fixture(scope="module")
def prior():
    draws = torch.randn(SIZE, 2, generator=derive_generator(0, "basis"))
    latent = GaussianPrior(torch.zeros(2), VARIANCE * torch.eye(2))
    return SubspacePrior(torch.zeros(SIZE), torch.linalg.qr(draws)[0], latent)


class Affine(nn.Module):
    """g of an f(x) = F x."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = matrix

    def forward(self, x):
        return x @ self.matrix.mT - x


def loss_of(matrix, prior, **weights):
    tau, sigma = 0.7, 0.3
    settings = Distillation(taus=(tau, tau), sigmas=(sigma, sigma), **weights)
    clean = prior.sample(100_000, generator=derive_generator(0, "clean"))
    generator = derive_generator(0, "noise")
    return float(distillation_loss(Affine(matrix), prior, clean, settings, generator))


def test_the_score_term_of_the_projector_in_closed_form(prior):
    loss = loss_of(prior.basis @ prior.basis.mT, prior, idempotence=1.0, score=1.0, movement=0.0)
    # identity and idempotence vanish; u - k (u + sigma n) along the subspace is left
    k = VARIANCE / (VARIANCE + 0.3**2)
    along = (1 - k) ** 2 * (VARIANCE + 0.7**2) + k**2 * 0.3**2
    # a share of a mean square of 200 000 normals has a standard error of 0.3 %
    assert loss == pytest.approx(2 / SIZE * along, rel=4.5 * 0.0032)


def test_every_term_of_another_linear_map_in_closed_form(prior):
    only = {"idempotence": 0.0, "score": 0.0, "movement": 0.0}
    half = torch.eye(SIZE) / 2
    data, noisy = 2 * VARIANCE / SIZE, 2 * VARIANCE / SIZE + 0.7**2
    identity = loss_of(half, prior, **only)
    assert identity == pytest.approx(data / 4, rel=0.015)
    idempotence = loss_of(half, prior, **only | {"idempotence": 1.0}) - identity
    assert idempotence == pytest.approx(noisy / 16, rel=0.015)
    movement = loss_of(half, prior, **only | {"movement": 1.0}) - identity
    assert movement == pytest.approx(noisy / 4, rel=0.015)


def test_the_teacher_is_not_differentiated(prior):
    matrix = torch.eye(SIZE).requires_grad_()
    settings = Distillation(
        idempotence=0, movement=0, taus=(0.7, 0.7), sigmas=(1e-4, 1e-4), batch_size=1
    )
    clean = prior.sample(20_000, generator=derive_generator(0, "clean"))
    generator = derive_generator(0, "noise")
    distillation_loss(Affine(matrix), prior, clean, settings, generator).backward()
    # at f(z) = z the gradient is 2 (1 - B B^T) E z z^T / n: all of what is off the subspace
    across = torch.eye(SIZE) - prior.basis @ prior.basis.mT
    expected = 2 * across * 0.7**2 / SIZE
    torch.testing.assert_close(matrix.grad, expected, rtol=0, atol=0.006)


def mlp(size=SIZE, width=48):
    return nn.Sequential(
        nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
        nn.Linear(width, size),
    )  # fmt: skip


def trained(build, teacher, clean, num_steps, rate=3e-3, **options):
    training = Training(
        num_steps=num_steps,
        learning_rate=rate,
        num_warmup=50,
        weight_decay=0.0,
        ema_decay=0.99,
        dtype=torch.float32,
    )
    network = drawn_network(build, generator=derive_generator(0, "weights"))
    settings = Distillation(training=training, batch_size=128, **options)
    generator = derive_generator(0, "training")
    return train_idempotent(network, teacher, clean, settings, generator=generator)


def rms(error):
    return float(error.square().mean().sqrt())


def draw_from(prior):
    return lambda count, generator: prior.sample(count, generator=generator)


def linear():
    return nn.Linear(SIZE, SIZE)


@pytest.fixture(scope="module")
def z(prior):
    generator = derive_generator(0, "z")
    x = prior.sample(2000, generator=generator)
    return x + torch.randn(2000, SIZE, generator=generator)


@pytest.mark.parametrize(("build", "rate", "bound"), [(linear, 0.02, 0.13), (mlp, 3e-3, 0.09)])
def test_a_network_learns_the_projector_of_a_subspace(build, rate, bound, prior, z, generator):
    f, ideal = trained(build, prior, draw_from(prior), 400, rate), LinearProjector(prior)
    once, x = f.project(z), prior.sample(500, generator=generator)
    off = rms(once - ideal.project(once)) / rms(z - ideal.project(z))
    assert off < 0.06
    assert rms(once - ideal.project(z)) < bound
    assert idempotence_error(f, z).mean() < 0.05
    assert rms(f.project(x) - x) < 0.02


def test_without_the_movement_term_the_projection_is_oblique(prior, z):
    ideal = LinearProjector(prior).project(z)
    near, free = (
        trained(linear, prior, draw_from(prior), 400, 0.02, movement=weight).project(z)
        for weight in (0.5, 0.0)
    )
    assert rms(free - ideal) > 2 * rms(near - ideal)
    # which is not for want of reaching the subspace
    assert rms(free - LinearProjector(prior).project(free)) < 0.02


def test_a_network_learns_to_go_to_a_ring(generator):
    def on_ring(count, generator):
        angle = 2 * math.pi * torch.rand(count, generator=generator)
        return torch.stack([angle.cos(), angle.sin()], 1)

    angle = 2 * math.pi * torch.arange(64) / 64
    teacher = StudentAtoms(torch.stack([angle.cos(), angle.sin()], 1), math.inf)
    f = trained(
        lambda: mlp(2), teacher, on_ring, 500, taus=(0.05, 1.5), movement=0.1, sigmas=(0.1, 0.3)
    )
    z = 1.2 * torch.randn(2000, 2, generator=generator)
    once = f.project(z)
    assert (once.norm(dim=1) - 1).abs().mean() < 0.2 * (z.norm(dim=1) - 1).abs().mean()
    assert idempotence_error(f, z).mean() < 0.06
    x = on_ring(500, generator)
    assert rms(f.project(x) - x) < 0.03


def test_the_same_seed_trains_the_same_bits_from_stored_images(prior, generator):
    images = prior.sample(40, generator=generator)
    first, second = (trained(linear, prior, images, 3) for _ in range(2))
    assert torch.equal(first.project(images), second.project(images))
    assert first.image_shape == (SIZE,)
    assert first.data_range == prior.data_range


def test_distillation_refusals(prior, generator):
    with pytest.raises(ValueError, match=r"weights >= 0 .* \(1.0, -1.0, 0.5\)"):
        Distillation(score=-1.0)
    with pytest.raises(ValueError, match=r"low <= high, got 2.0 and 1.0"):
        Distillation(taus=(2.0, 1.0))
    with pytest.raises(ValueError, match=r"expected real images .* got torch.float32 \(0, 6\)"):
        trained(linear, prior, torch.zeros(0, SIZE), 1)
    with pytest.raises(ValueError, match=r"expected real images .* got torch.float32 \(0, 6\)"):
        distillation_loss(mlp(SIZE), prior, torch.zeros(0, SIZE), Distillation(), generator)
    for images in (torch.zeros(3, SIZE).to(torch.complex64), torch.zeros(3, SIZE).long()):
        with pytest.raises(ValueError, match=r"expected real images \(count, \*image\)"):
            trained(linear, prior, images, 1)
    with pytest.raises(ValueError, match=r"keeps the shape \(128, 6\), it returns \(128, 1\)"):
        trained(lambda: nn.Linear(SIZE, 1), prior, torch.zeros(3, SIZE), 1)


def test_images_may_have_another_dtype_than_the_network(prior, generator):
    images = prior.sample(40, generator=generator)
    single, double = (trained(linear, prior, x, 3) for x in (images, images.double()))
    assert torch.equal(single.project(images), double.project(images))
