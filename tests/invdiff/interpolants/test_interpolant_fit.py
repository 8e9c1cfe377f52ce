import pytest
import torch

from invdiff.interpolants.couplings import Draw, IndependentCoupling, PairedCoupling
from invdiff.interpolants.fit import train_field
from invdiff.interpolants.interpolant import OneSided, TwoSided
from invdiff.interpolants.losses import interpolant_loss
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.networks import FieldMLP, told
from invdiff.interpolants.skip import GaussianSkip
from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.training import Training, drawn_network

MEAN, STD = 1.5, 0.5


def training(num_steps, **others):
    choices = {"learning_rate": 5e-3, "num_warmup": 20, "weight_decay": 0.0, "ema_decay": 0.9}
    return Training(num_steps=num_steps, dtype=torch.float32, **choices | others)


def target(count, generator):
    return MEAN + STD * torch.randn(count, 1, generator=generator)


def noise(count, generator):
    return torch.randn(count, 1, generator=generator)


def exact(interpolant):
    one = torch.ones(1, dtype=torch.float64)
    base = GaussianMixturePrior(one, torch.zeros(1, 1).double(), torch.eye(1).double()[None])
    prior = GaussianMixturePrior(
        one, torch.full((1, 1), MEAN).double(), STD**2 * torch.eye(1).double()[None]
    )
    return MixtureProcess(interpolant, prior, base if interpolant.has_x0 else None)


def trained(interpolant=None, objective="b", *, seed=0, steps=5, network=None, coupling=None, **do):
    interpolant = interpolant or OneSided()
    coupling = coupling or IndependentCoupling(target, noise if interpolant.has_x0 else None)
    generator = derive_generator(seed)
    network = drawn_network(network or (lambda: FieldMLP(1, 32, 2)), generator=generator)
    return train_field(
        network, objective, interpolant, coupling, training(steps), batch_size=128,
        generator=generator, **do,
    )  # fmt: skip


def test_the_seed_decides_the_weights():
    first, same, other = (trained(seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])


def test_nothing_is_drawn_from_the_default_generator():
    before = torch.random.get_rng_state()
    trained()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("interpolant", [OneSided(), TwoSided()])
@pytest.mark.parametrize("objective", ["b", "v", "s", "eta"])
def test_the_field_approaches_the_closed_form(interpolant, objective):
    if objective == "v" and not interpolant.has_x0:
        pytest.skip("v is x1 of a one-sided interpolant")
    generator, process = derive_generator(2), exact(interpolant)
    field = trained(interpolant, objective, steps=400)
    t = torch.linspace(0.1, 0.9, 400, dtype=torch.float64)
    draw = Draw(noise(400, generator) if interpolant.has_x0 else None, target(400, generator))
    x = interpolant.point(t, draw.x0, draw.x1, noise(400, generator))
    b, s = process.velocity(x, t), process.score(x, t)
    c = interpolant.at(t).expanded(x)
    truth = {"b": b, "s": s, "eta": -c.gamma * s, "v": b + c.gamma_product * s}[objective]
    with torch.no_grad():
        found = field(x, t)
    # an untrained field is 0, an error of 1
    assert (found - truth).square().mean() < 0.02 * truth.square().mean()


def test_the_skip_needs_only_the_mean_to_be_learned():
    def build():
        return GaussianSkip(FieldMLP(1, 8, 1), OneSided(), "b", target_std=STD)

    process, t = exact(OneSided()), torch.linspace(0.05, 0.95, 200, dtype=torch.float64)
    x = OneSided().point(t, None, target(200, derive_generator(2)), noise(200, derive_generator(3)))
    field = trained(network=build, steps=150)
    with torch.no_grad():
        found = field(x, t)
    truth = process.velocity(x, t)
    # a small network, half as long
    assert (found - truth).square().mean() < 0.05 * truth.square().mean()


def test_conditions_are_passed():
    x1 = torch.tensor([[-1.0], [1.0]])
    coupling = PairedCoupling(torch.zeros(2, 1), x1, x1)
    field = trained(
        TwoSided(), "v", coupling=coupling, steps=150,
        network=lambda: FieldMLP(1, 16, 1, condition_dim=1),
    )  # fmt: skip
    # with the end known, the velocity is that end at all times and places
    t = torch.linspace(0.1, 0.9, 5)
    with torch.no_grad():
        for end in x1:
            found = told(field, end.expand(5, 1))(t[:, None] * end, t)
            torch.testing.assert_close(found, end.expand(5, 1), atol=0.1, rtol=0)


def test_the_loss_falls_to_that_of_the_exact_field():
    losses = []
    trained(steps=300, callback=lambda step: losses.append(float(step.loss)))
    generator = derive_generator(5)
    draw = Draw(None, target(20000, generator))
    t = torch.linspace(1e-4, 1 - 1e-4, 20000, dtype=torch.float64)
    z = noise(20000, generator)
    floor = interpolant_loss(exact(OneSided()).velocity, "b", OneSided(), draw, t, z).mean()
    # 30 batches of 128 pairs with a standard deviation of about 1
    assert sum(losses[-30:]) / 30 == pytest.approx(float(floor), abs=0.08)
    assert losses[0] > float(floor) + 0.3


def test_single_signs_of_the_noise_do_too():
    first = trained(antithetic=False).state_dict()["layers.0.weight"]
    assert not torch.equal(first, trained().state_dict()["layers.0.weight"])


def test_an_empty_batch_and_another_field_are_refused():
    coupling, generator = IndependentCoupling(target), derive_generator(0)
    network = GaussianSkip(FieldMLP(1, 8), OneSided(), "b")
    with pytest.raises(ValueError, match="batch_size >= 1, got 0"):
        train_field(
            network, "b", OneSided(), coupling, training(2), batch_size=0, generator=generator
        )
    with pytest.raises(ValueError, match="expected b of OneSided"):
        train_field(
            network, "eta", OneSided(), coupling, training(2), batch_size=2, generator=generator
        )
