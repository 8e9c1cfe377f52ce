"""A prior as an experiment names it: one network or several, its precision, and what is refused."""

import pytest
import torch

from invdiff.priors import (
    ComplexPrior,
    PretrainedPrior,
    RoutedPrior,
    RouterNetwork,
    RouterSettings,
    SupportedPrior,
    rescale,
    resized,
)
from invdiff.rng import derive_generator
from invdiff.study import prior as named
from invdiff.study.catalogue import catalogue
from invdiff.study.config import PriorConfig
from invdiff.study.laboratory.volume_meter import CountedPrior
from invdiff.training import drawn_network, save_routed_prior
from invdiff.training.routed_folder import copied_experts, is_routed, prior_info


@pytest.fixture(scope="module")
def routed_folder(tmp_path_factory, prior_folder):
    folder = tmp_path_factory.mktemp("named") / "routed"
    router = drawn_network(
        lambda: RouterNetwork(RouterSettings(2, (32, 32), width=8, depth=2)),
        generator=derive_generator(0, "weights"),
    )
    names = copied_experts(folder, [prior_folder, "brain-mr-256"])
    save_routed_prior(folder, names, router, {"title": "both"})
    return folder


def test_a_folder_with_experts_is_told_from_one_without(routed_folder, prior_folder):
    assert is_routed(routed_folder)
    assert not is_routed(prior_folder)
    assert not is_routed("ct-256")
    assert prior_info(routed_folder)["title"] == "both"
    assert prior_info(prior_folder)["title"] == "untrained"
    assert prior_info("ct-256")["title"] in catalogue()
    with pytest.raises(ValueError, match="or a folder, got absent"):
        is_routed("absent")


def test_it_has_the_size_of_its_router_and_the_top_that_is_asked_for(routed_folder):
    found = PriorConfig(name=str(routed_folder)).load("cpu")
    assert isinstance(found, RoutedPrior)
    assert found.image_shape == (32, 32)
    assert found.top is None
    assert PriorConfig(name=str(routed_folder), top=1).load("cpu").top == 1
    assert PriorConfig(name=str(routed_folder)).load("cpu", (64, 48)).image_shape == (64, 48)


def test_a_prior_given_twice_is_copied_once(prior_folder, tmp_path):
    names = copied_experts(tmp_path, [prior_folder, "ct-256", prior_folder])
    assert names == ["expert_0", "ct-256", "expert_0"]
    assert (tmp_path / "expert_0" / "unet").is_dir()


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"label": 0}, "prior.label"), ({"guidance": 2.0}, "prior.label"), ({"top": 3}, "top")],
)
def test_options_that_are_not_for_several_experts(routed_folder, options, reason):
    with pytest.raises(ValueError, match=reason):
        PriorConfig(name=str(routed_folder), **options).load("cpu")


def test_experts_are_not_routed_themselves_and_one_network_has_no_top(
    routed_folder, prior_folder, tmp_path
):
    with pytest.raises(ValueError, match="this one has experts"):
        copied_experts(tmp_path, [routed_folder])
    with pytest.raises(ValueError, match=r"prior\.top"):
        PriorConfig(name=str(prior_folder), top=1).load("cpu")


def test_another_size_is_what_loading_it_at_that_size_gives(routed_folder, generator):
    config = PriorConfig(name=str(routed_folder), top=1)
    x, sigma = torch.rand(2, 64, 32, generator=generator), torch.tensor(0.3)
    found = resized(rescale(config.load("cpu"), 0.0, 1.0), (64, 32))
    expected = rescale(config.load("cpu", (64, 32)), 0.0, 1.0)
    torch.testing.assert_close(found(x, sigma), expected(x, sigma))
    counted = CountedPrior(rescale(config.load("cpu"), 0.0, 1.0))
    torch.testing.assert_close(counted.of((64, 32))(x, sigma), expected(x, sigma))
    assert counted.pixels == x.numel()


def test_it_works_in_what_wraps_a_prior(routed_folder, generator):
    prior = PriorConfig(name=str(routed_folder)).load("cpu")
    x, sigma = torch.rand(2, 32, 32, generator=generator), torch.tensor([0.2, 0.5])
    inside = rescale(prior, 0.0, 1.0)
    support = torch.zeros(32, 32, dtype=torch.bool)
    support[8:24, 8:24] = True
    kept = SupportedPrior(inside, support)(x, sigma)
    torch.testing.assert_close(kept, torch.where(support, inside(x, sigma), 0.0))
    whole = ComplexPrior(inside, 0.1)(torch.complex(x, x), sigma)
    torch.testing.assert_close(whole.real, inside(x, sigma))
    # of two experts each of four times
    assert prior.num_calls == 4 * 2 * len(x)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_bfloat16_is_chosen_where_the_processor_has_it(
    monkeypatch, prior_folder, routed_folder, found, name
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    config = PriorConfig(name=str(prior_folder), dtype="auto")
    prior = config.load("cpu")
    assert isinstance(prior, PretrainedPrior)
    assert config.dtype_on("cpu") == name
    assert next(prior.network.parameters()).dtype == getattr(torch, name)
    routed = PriorConfig(name=str(routed_folder), dtype="auto").load("cpu")
    dtypes = {next(expert.network.parameters()).dtype for expert in routed.experts}
    assert dtypes == {getattr(torch, name)}
    assert next(routed.router.parameters()).dtype == torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_a_gpu_is_asked_for_instructions_not_for_emulation(monkeypatch, fast):
    asked = []

    def supported(including_emulation=True):
        asked.append(including_emulation)
        return fast

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert named.fast_dtype("cuda:0") == ("bfloat16" if fast else "float32")
    assert asked == [False]


def test_single_precision_is_the_default():
    assert PriorConfig(name="ct-256").dtype_on("cpu") == "float32"
