"""The training of a super-resolution prior, with a tiny network on discs."""

import pytest
import torch
from torch.nn.functional import pixel_shuffle

from invdiff.priors.preconditioning import EDM
from invdiff.rng import derive_generator
from invdiff.superres.network_prior import SuperResolutionPrior
from invdiff.superres.recipe import SuperResolutionRecipe, drawn_loss, train_super_resolution
from invdiff.training import NoiseLevels, Training


def recipe(num_steps=2, **choices):
    training = Training(
        num_steps=num_steps, num_warmup=5, learning_rate=2e-3, ema_decay=0.9, dtype=torch.float32
    )
    plain = {"channels": (16, 32), "layers": 1, "batch_size": 4, "crop": None}
    return SuperResolutionRecipe(training=training, **plain | choices)


def discs(count, seed, shape=(32, 32)):
    """Discs of one grey value each, in [0, 1]."""
    generator = derive_generator(seed, "discs")
    place = torch.rand(3, count, 1, 1, generator=generator)
    rows, columns = torch.meshgrid(*(torch.linspace(0, 1, n) for n in shape), indexing="ij")
    distance = torch.hypot(rows - place[0], columns - place[1])
    return torch.where(distance < 0.15 + 0.3 * place[2], 0.3 + 0.7 * place[2], 0.0)


def weights_of(prior):
    return torch.cat([p.flatten() for p in prior.network.parameters()])


def trained(slices, choices=None, seed=0, **words):
    generator = derive_generator(seed)
    return train_super_resolution(slices, choices or recipe(), generator=generator, **words)


def test_the_generator_decides_everything():
    slices = discs(6, 0)
    state = torch.random.get_rng_state()
    first = weights_of(trained(slices))
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.random.fork_rng():
        # whatever state torch's own generator is in
        torch.random.default_generator.manual_seed(7)
        again = weights_of(trained(slices))
    assert torch.equal(first, again)
    assert not torch.equal(first, weights_of(trained(slices, seed=1)))


def test_bytes_are_the_same_slices():
    values = (255 * discs(6, 0)).round()
    torch.testing.assert_close(
        weights_of(trained(values.to(torch.uint8))), weights_of(trained(values / 255))
    )


def test_training_lowers_the_loss_of_other_images():
    slices, kept = discs(200, 0, (16, 16)), discs(100, 1, (16, 16))
    # much noise: what is learnt fastest is what the coarse image tells
    loud = {"levels": NoiseLevels(0.0, 0.5), "sigma_data": 0.3}
    choices = recipe(num_steps=60, batch_size=16, **loud)
    steps = []
    prior = trained(slices, choices, callback=steps.append)
    untrained = trained(slices, recipe(num_steps=1, **loud))

    def loss(judged):
        generator = derive_generator(9)
        values = [drawn_loss(judged.network, judged, kept, choices, generator) for _ in range(9)]
        return float(torch.stack(values).mean())

    assert loss(prior) < 0.9 * loss(untrained)
    assert len(steps) == 60


def test_the_result_is_ready_for_use():
    choices = recipe(patch=2, factor=2)
    prior = trained(discs(4, 0), choices)
    assert (prior.factor, prior.patch, prior.data_range) == (2, 2, (-1.0, 1.0))
    assert prior.preconditioning.sigma_data == choices.sigma_data
    assert not any(p.requires_grad for p in prior.parameters())
    assert not prior.network.training
    assert prior(torch.zeros(32, 32), torch.tensor(0.1), torch.zeros(16, 16)).shape == (32, 32)


def test_training_asks_the_network_what_its_use_does():
    """A batch of the training, denoised by the finished prior, has the loss of the training."""
    slices, choices = discs(6, 0), recipe()
    prior = trained(slices, choices)
    loss = drawn_loss(prior.network, prior, slices, choices, derive_generator(3))
    # the same draws in the same order
    generator = derive_generator(3)
    chosen = torch.randint(6, (4,), generator=generator)
    fine = 2 * choices.changed(slices[chosen], generator) - 1
    sigma = choices.levels.sample(4, generator)
    noise = torch.randn(4, 16, 8, 8, generator=generator)
    x = fine + (pixel_shuffle(sigma * noise, 4))[:, 0]
    error = prior(x, sigma.flatten(), prior.operator((32, 32))(fine)) - fine
    data = choices.sigma_data
    weight = (sigma**2 + data**2) / (sigma * data) ** 2
    torch.testing.assert_close(loss, (weight[:, 0] * error**2).mean(), rtol=1e-4, atol=0)


def test_the_loss_is_1_where_bicubic_leaves_the_assumed_spread():
    slices, prior = discs(60, 0), trained(discs(4, 0))
    fine = 2 * slices - 1
    left = (fine - prior.center(prior.operator((32, 32))(fine))).square().mean().sqrt()
    torch.nn.init.zeros_(prior.network.conv_out.weight)
    torch.nn.init.zeros_(prior.network.conv_out.bias)
    silent = SuperResolutionPrior(prior.network, EDM(float(left)))
    matched = recipe(gamma_spread=0.0, batch_size=512)
    loss = drawn_loss(silent.network, silent, slices, matched, derive_generator(0))
    # where there is little noise the loss is the square of the noise, elsewhere that of what is
    # left, which differs from disc to disc: 512 draws average it to several per cent
    torch.testing.assert_close(loss, torch.tensor(1.0), rtol=0.1, atol=0)


def test_changes_stay_in_range_and_take_parts(generator):
    slices = discs(5, 0, (40, 40))
    parts = recipe(crop=16, gamma_spread=0.5).changed(slices, generator)
    assert parts.shape == (5, 16, 16)
    assert 0 <= parts.min() < parts.max() <= 1


def test_parts_of_slices_of_any_size_train_a_network():
    prior = trained(discs(5, 0, (44, 44)), recipe(crop=16))
    assert prior(torch.zeros(64, 32), torch.tensor(0.1), torch.zeros(16, 8)).shape == (64, 32)


def test_a_part_as_large_as_the_slice_is_the_slice():
    slices = discs(4, 0)
    plain = recipe(gamma_spread=0.0)
    whole = recipe(gamma_spread=0.0, crop=32)
    kept, cut = (
        r.changed(slices, derive_generator(5)).flatten(1).sort().values for r in (plain, whole)
    )
    assert torch.equal(kept, cut)


@pytest.mark.parametrize(
    ("shape", "crop", "message"),
    [
        ((36, 36), None, "multiples of 8"),
        ((40, 40), 12, "multiples of 8"),
        ((32, 40), None, "square"),
        ((32, 32), 64, "cannot cut 64"),
    ],
)
def test_refuses_slices_that_do_not_fit(shape, crop, message):
    with pytest.raises(ValueError, match=message):
        trained(discs(3, 0, shape), recipe(crop=crop))


@pytest.mark.parametrize("value", [torch.nan, -0.1, 255.0])
def test_refuses_slices_of_other_values(value):
    slices = discs(3, 0)
    slices[:, 0, 0] = value
    with pytest.raises(ValueError, match="floating point from 0 to 1"):
        trained(slices)


def test_refuses_integers_that_are_not_bytes_no_slices_and_a_graph_without_a_gpu():
    with pytest.raises(ValueError, match="expected uint8"):
        trained(discs(3, 0).long())
    with pytest.raises(ValueError, match="slices, side, side"):
        trained(discs(3, 0)[:0])
    with pytest.raises(ValueError, match="needs a CUDA device"):
        train_super_resolution(
            discs(3, 0), recipe(), generator=torch.Generator().manual_seed(0), graph=True
        )


@pytest.mark.parametrize(
    "change", [{"batch_size": 0}, {"factor": 0}, {"crop": 0}, {"sigma_data": float("inf")}]
)
def test_refuses_a_recipe_out_of_range(change):
    with pytest.raises(ValueError, match="SuperResolutionRecipe"):
        SuperResolutionRecipe(**change)
