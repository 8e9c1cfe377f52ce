"""A trained router tends to the exact one; what it is worth is measured at each noise level."""

import json
import math

import pytest
import torch

from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.priors.router_network import RouterNetwork, RouterSettings
from invdiff.priors.routing import MixtureRouter, mixture_components
from invdiff.rng import derive_generator
from invdiff.training import LogUniformLevels, Training, drawn_network, router_scores
from invdiff.training.routed_folder import load_routed_prior, save_routed_prior
from invdiff.training.router import router_loss, train_router
from invdiff.training.router_folder import load_router, save_router

SIGMAS = (0.03, 0.1, 0.3, 1.0, 2.5)
# nats above the entropy of the exact router, after two seconds; found to be below 0.0012
EXCESS = 0.005


def _mixture():
    return GaussianMixturePrior(
        torch.tensor([0.5, 0.3, 0.2]),
        torch.tensor([[-0.6, 0.0], [0.5, 0.4], [0.3, -0.6]]),
        torch.tensor([[0.05, 0.02], [0.04, 0.04], [0.01, 0.08]]).diag_embed(),
    )


def _network(shape=(2,), num_experts=3, **settings):
    return drawn_network(
        lambda: RouterNetwork(RouterSettings(num_experts, shape, **settings)),
        generator=derive_generator(0, "weights"),
    )


def _labelled(mixture, count, generator):
    parts = mixture_components(mixture)
    counts = (count * mixture.weights).round().int().tolist()
    clean = [part.sample(n, generator=generator) for part, n in zip(parts, counts, strict=True)]
    return torch.cat(clean), torch.arange(3).repeat_interleave(torch.tensor(counts))


@pytest.fixture(scope="module")
def trained():
    mixture, generator = _mixture(), derive_generator(0, "data")
    clean = [part.sample(20000, generator=generator) for part in mixture_components(mixture)]
    training = Training(500, learning_rate=5e-3, num_warmup=50, ema_decay=0.99, dtype=torch.float32)
    return train_router(
        _network(width=48, depth=3), clean, training, LogUniformLevels(0.02, 3.0), batch_size=512,
        generator=generator, shares=mixture.weights.tolist(),
    )  # fmt: skip


def test_a_trained_router_comes_near_the_exact_one(trained):
    mixture = _mixture()
    exact = MixtureRouter(mixture.weights, mixture_components(mixture))
    clean, expert = _labelled(mixture, 10000, derive_generator(0, "test"))
    best, found = (
        router_scores(router, clean, expert, SIGMAS, generator=derive_generator(0, "noise"))
        for router in (exact, trained)
    )
    for right, score in zip(best, found, strict=True):
        assert score.sigma == right.sigma
        assert abs(score.cross_entropy - right.cross_entropy) < EXCESS
        assert score.accuracy == pytest.approx(right.accuracy, abs=0.01)
        # that of the exact one is the scatter of a finite test
        assert score.calibration_error < right.calibration_error + 0.015


def test_no_router_has_a_lower_loss_than_the_exact_one(generator):
    mixture = _mixture()
    exact = MixtureRouter(mixture.weights, mixture_components(mixture))
    clean, expert = _labelled(mixture, 20000, generator)
    levels = LogUniformLevels(0.1, 1.0)

    def loss(router):
        return router_loss(router, clean, expert, levels, derive_generator(1, "loss"))

    best = loss(exact)
    for factor in (0.5, 0.8, 1.25, 2.0):
        assert loss(lambda x, s, f=factor: (f * exact(x, s)).log_softmax(-1)) > best
    prior = loss(lambda x, s: mixture.weights.log().expand(len(x), 3))
    entropy = -(mixture.weights * mixture.weights.log()).sum()
    torch.testing.assert_close(prior, entropy, atol=1e-4, rtol=0)
    assert best < prior


def test_the_calibration_error_is_that_of_stated_probabilities():
    clean, expert = torch.zeros(1000, 2), torch.arange(1000) % 10 // 8  # 8 of 10 are of expert 0

    def error(stated):
        def router(x, sigma):
            return torch.tensor([stated, 1 - stated]).log().expand(len(x), 2)

        (score,) = router_scores(
            router, clean, expert, [0.1], generator=torch.Generator().manual_seed(0)
        )
        assert score.accuracy == pytest.approx(0.8 if stated > 0.5 else 0.2)
        expected = -(0.8 * math.log(stated) + 0.2 * math.log(1 - stated))
        assert score.cross_entropy == pytest.approx(expected, abs=1e-6)
        return score.calibration_error

    assert error(0.8) == pytest.approx(0, abs=1e-6)
    assert error(0.95) == pytest.approx(0.15, abs=1e-6)
    assert error(0.1) == pytest.approx(0.7, abs=1e-6)


def test_images_are_drawn_by_the_shares_and_changed_by_what_is_given():
    clean = [torch.full((5, 8, 8), float(k)) for k in range(3)]
    seen = []

    def change(images, generator):
        seen.append(images.mean((1, 2)))
        return images

    def run(shares):
        seen.clear()
        train_router(
            _network((8, 8), width=8, depth=2), clean,
            Training(4, num_warmup=0, dtype=torch.float32), LogUniformLevels(), batch_size=1000,
            generator=torch.Generator().manual_seed(0), shares=shares, change=change,
        )  # fmt: skip
        drawn = torch.cat(seen)
        return [float((drawn == k).float().mean()) for k in range(3)]

    assert run([6, 3, 1]) == pytest.approx([0.6, 0.3, 0.1], abs=0.04)
    assert run(None) == pytest.approx([1 / 3] * 3, abs=0.04)


def test_the_same_generator_gives_the_same_router():
    clean = [torch.randn(20, 8, 8, generator=derive_generator(0, k)) + k for k in range(2)]

    def run():
        return train_router(
            _network((8, 8), 2, width=8, depth=2), clean,
            Training(5, num_warmup=0, dtype=torch.float32), LogUniformLevels(), batch_size=8,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip

    first, second = run().state_dict(), run().state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("clean", "shares", "reason"),
    [
        ([torch.zeros(4, 2)], None, "each of 3 experts"),
        ([torch.zeros(4, 2), torch.zeros(0, 2), torch.zeros(4, 2)], None, "each of 3 experts"),
        ([torch.zeros(4, 2), torch.zeros(4, 3), torch.zeros(4, 2)], None, "alike in shape"),
        ([torch.zeros(4, 2)] * 3, [1.0, 1.0], "3 positive shares"),
        ([torch.zeros(4, 2)] * 3, [1.0, 0.0, 1.0], "3 positive shares"),
    ],
)
def test_images_that_do_not_fit_are_refused(clean, shares, reason, generator):
    with pytest.raises(ValueError, match=reason):
        train_router(
            _network(), clean, Training(1), LogUniformLevels(), batch_size=4, generator=generator,
            shares=shares,
        )  # fmt: skip


def test_a_router_survives_its_folder(trained, tmp_path, generator):
    save_router(tmp_path / "router", trained, {"title": "of a mixture"})
    read = load_router(tmp_path / "router")
    assert read.settings == trained.settings
    assert not any(p.requires_grad for p in read.parameters())
    x = torch.randn(6, 2, generator=generator)
    assert torch.equal(read(x, torch.tensor(0.4)), trained(x, torch.tensor(0.4)))


def test_a_routed_prior_survives_its_folder(tmp_path, generator):
    router = _network((256, 256), 2, width=8, depth=3)
    save_routed_prior(tmp_path, ["ct-256", "brain-mr-256"], router, {"title": "both"}, top=1)
    prior = load_routed_prior(tmp_path, size=(32, 32))
    assert prior.image_shape == (32, 32)
    assert prior.top == 1
    x, sigma = torch.randn(2, 32, 32, generator=generator), torch.tensor(0.5)
    likeliest = router(x, sigma).argmax(-1)
    expected = [prior.experts[int(k)](v, sigma) for k, v in zip(likeliest, x, strict=True)]
    torch.testing.assert_close(prior(x, sigma), torch.stack(expected))


def _written(folder, **changes):
    save_routed_prior(folder, ["ct-256", "brain-mr-256"], _network((16, 16), 2, width=8), {})
    path = folder / "experts.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"experts": ["ct-256"]}, "1 experts, but the router knows 2"),
        ({"experts": ["ct-256", "../elsewhere"]}, "a folder inside, got ../elsewhere"),
        ({"experts": ["ct-256", "/etc"]}, "a folder inside, got /etc"),
        ({"experts": ["ct-256", "."]}, "a folder inside, got ."),
        ({"experts": ["ct-256", "absent"]}, "absent"),
        ({"experts": ["ct-256", 3]}, "expected names"),
        ({"experts": None}, "expected names"),
        ({"router": "../router"}, "a folder inside"),
        ({"router": "absent"}, "not a readable JSON"),
        ({"top": 3}, "top from 1 to 2, got 3"),
        ({"top": "one"}, "top as an integer"),
        ({"info": 3}, 'an object "info"'),
    ],
)
def test_a_bad_folder_is_refused_in_one_line(changes, reason, tmp_path):
    with pytest.raises(ValueError, match=reason) as error:
        load_routed_prior(_written(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_a_link_does_not_lead_out_of_the_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    inside = tmp_path / "prior"
    _written(inside, experts=["ct-256", "linked"])
    (inside / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="a folder inside, got linked"):
        load_routed_prior(inside)


def test_damaged_settings_and_weights_of_a_router_are_refused(tmp_path):
    save_router(tmp_path, _network(width=8), {})
    path = tmp_path / "router.json"
    kept = json.loads(path.read_text())
    for settings in ({}, {"num_experts": 1, "image_shape": [2]}, {**kept["settings"], "more": 1}):
        path.write_text(json.dumps({"info": {}, "settings": settings}))
        with pytest.raises(ValueError, match="not the settings of a router"):
            load_router(tmp_path)
    path.write_text(json.dumps({"info": {}, "settings": {**kept["settings"], "width": 16}}))
    with pytest.raises(ValueError, match="of shape"):
        load_router(tmp_path)


def test_a_folder_is_not_written_for_experts_that_it_cannot_name(tmp_path):
    router = _network((16, 16), 2, width=8)
    with pytest.raises(ValueError, match="but the router knows 2"):
        save_routed_prior(tmp_path / "a", ["ct-256"], router, {})
    with pytest.raises(ValueError, match="a folder inside"):
        save_routed_prior(tmp_path / "a", ["ct-256", "../b"], router, {})
    assert not (tmp_path / "a").exists()
