"""The training of refiners, with tiny networks on squares and their blurred images."""

import math

import pytest
import torch
from torch import nn

from invdiff.rng import derive_generator
from invdiff.superres import RefinerRecipe, ShiftedDiffusion, refiner_loss, train_refiner
from invdiff.training import NoiseLevels, Training

TINY = RefinerRecipe(
    channels=(16, 32),
    batch_size=4,
    training=Training(num_steps=4, num_warmup=1, dtype=torch.float32),
)


@pytest.fixture(scope="module")
def pairs():
    truth = -torch.ones(6, 16, 16)
    for k in range(6):
        truth[k, k : k + 8, 2 : 6 + k] = 0.5
    return truth, (truth + truth.roll(1, 1) + truth.roll(1, 2)) / 3


def trained(pairs, recipe=TINY):
    return train_refiner(*pairs, recipe, generator=derive_generator(0, "refiner"))


class Silent(nn.Module):
    """A network that says nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x, time, return_dict):
        return (0 * x[:, : x.shape[1] // 2],)


def test_the_loss_of_a_network_that_says_nothing_in_closed_form(pairs):
    truth, rough = (image.repeat(600, 1, 1) for image in pairs)
    recipe = RefinerRecipe(sigma_data=0.3, levels=NoiseLevels(math.log(0.2), 1e-6))
    loss = refiner_loss(Silent(), truth, rough, recipe, derive_generator(0, "loss"))
    # D - r = (sigma_d^2 n sigma - sigma^2 r) / (sigma_d^2 + sigma^2), over c_out
    error = ((truth - rough) ** 2).mean()
    total = 0.3**2 + 0.2**2
    expected = (0.3**4 * 0.2**2 + 0.2**4 * error) / total**2 / (0.2 * 0.3) ** 2 * total
    torch.testing.assert_close(loss, expected, rtol=0.01, atol=0)


def test_the_condition_is_the_rough_image_itself(pairs):
    refiner = trained(pairs)
    assert torch.equal(refiner.center(pairs[1]), pairs[1])
    # at no noise the noisy image is all there is to say
    clean = refiner(pairs[0], torch.tensor(1e-4), pairs[1])
    torch.testing.assert_close(clean, pairs[0], rtol=0, atol=1e-3)


def test_the_same_seed_trains_the_same_bits_and_pairs_are_kept(pairs):
    before = [image.clone() for image in pairs]
    first, second = (trained(pairs)(*pairs[:1], torch.tensor(0.3), pairs[1]) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(pairs, before, strict=True))


def test_learns_to_refine(pairs):
    training = Training(
        num_steps=60, num_warmup=5, learning_rate=3e-3, ema_decay=0.9, dtype=torch.float32
    )
    recipe = RefinerRecipe(
        channels=(16, 32), batch_size=6, sigma_data=0.3, levels=NoiseLevels(-0.5, 1.0),
        training=training,
    )  # fmt: skip
    refiner, (truth, rough) = trained(pairs, recipe), pairs
    generator = derive_generator(0, "noise")
    noisy = truth + torch.randn(truth.shape, generator=generator)
    refined = refiner(noisy, torch.tensor(1.0), rough)
    assert ((refined - truth) ** 2).mean() < 0.8 * ((rough - truth) ** 2).mean()


def test_refined_samples_have_the_shape_of_the_images(pairs):
    samples = ShiftedDiffusion(num_steps=3).sample(
        trained(pairs), pairs[1][:2], 3, generator=derive_generator(0, "samples")
    )
    assert samples.values.shape == (3, 2, 16, 16)
    assert torch.isfinite(samples.values).all()


def test_refiner_refusals(pairs):
    with pytest.raises(ValueError, match=r"got \(6, 16, 16\) and \(5, 16, 16\)"):
        trained((pairs[0], pairs[1][:5]))
    with pytest.raises(ValueError, match=r"multiples of 8, got \(12, 12\)"):
        trained(tuple(image[:, :12, :12] for image in pairs))
    with pytest.raises(ValueError, match="out of its range"):
        RefinerRecipe(sigma_data=0.0)
    with pytest.raises(ValueError, match="out of its range"):
        RefinerRecipe(channels=())
    with pytest.raises(ValueError, match=r"expected real pairs, got torch\.complex64"):
        trained(tuple(image.to(torch.complex64) for image in pairs))
