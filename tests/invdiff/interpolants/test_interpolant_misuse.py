"""Mistakes that would go on in silence by broadcasting, and devices that are not to be mixed."""

import dataclasses
import inspect

import pytest
import torch

from invdiff.interpolants import conversions, ddbm, gammas, paths
from invdiff.interpolants import interpolant as kinds
from invdiff.interpolants.bridge_process import BridgeProcess, predict_from_denoiser
from invdiff.interpolants.bridge_sampler import sample_bridge
from invdiff.interpolants.couplings import Draw, PairedCoupling
from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.flow_prior import DenoiserProcess, FlowPrior
from invdiff.interpolants.gaussian_coupling import GaussianCoupling
from invdiff.interpolants.i2sb import drift_from_output, i2sb_output
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import Interpolant, Mirror, OneSided, TwoSided, foellmer
from invdiff.interpolants.kl_bounds import kl_on_grid
from invdiff.interpolants.likelihood import ode_log_prob
from invdiff.interpolants.losses import interpolant_loss
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.networks import FieldMLP, FieldUNet
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.paths import EncodingDecodingPath, TrigonometricPath
from invdiff.interpolants.point_source import PointSource
from invdiff.interpolants.process import FieldProcess, velocity_and_score
from invdiff.interpolants.rectified_flow import ReflowedGaussian
from invdiff.interpolants.schedule_conversion import ConvertedProcess
from invdiff.interpolants.sde import integrate_sde
from invdiff.interpolants.sde_likelihood import PathWeights, sampler_log_prob
from invdiff.interpolants.settings import interpolant_from_settings, interpolant_settings
from invdiff.interpolants.skip import GaussianSkip
from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.rng import derive_generator

X = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)
TIMES = torch.tensor([0.2, 0.5, 0.7], dtype=torch.float64)
BRIDGE = ddbm.DiffusionBridge(ddbm.VariancePreservingDiffusion())

_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def mixture():
    eye = torch.eye(2, dtype=torch.float64)
    means = torch.tensor([[-1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    return GaussianMixturePrior(torch.tensor([0.3, 0.7], dtype=torch.float64), means,
                                torch.stack([eye, 0.5 * eye]))  # fmt: skip


@pytest.mark.parametrize("interpolant", [TwoSided(), foellmer(), BRIDGE])
def test_an_interpolant_with_two_ends_needs_both(interpolant):
    with pytest.raises(ValueError, match="expected an x0"):
        interpolant.point(TIMES, None, X, X)
    with pytest.raises(ValueError, match="expected an x0"):
        interpolant.path_velocity(TIMES, None, X)
    with pytest.raises(ValueError, match="expected an x0"):
        interpolant_loss(lambda x, t: x, "b", interpolant, Draw(None, X), TIMES, X)


@pytest.mark.parametrize("parts", [(X[:, :1], X, X), (X, X, X[:, :1]), (X[:1], X, X)])
def test_parts_of_other_shapes_are_not_broadcast(parts):
    with pytest.raises(ValueError, match="of one shape"):
        TwoSided().point(TIMES, *parts)


@pytest.mark.parametrize("t", [TIMES[:1], TIMES[:2], TIMES.expand(3, 3)])
def test_a_time_is_for_all_or_for_each(t):
    with pytest.raises(ValueError, match="one time"):
        TwoSided().point(t, X, X, X)
    with pytest.raises(ValueError, match="of shape"):
        MixtureProcess(OneSided(), mixture()).velocity(X, t)


def test_a_field_of_another_shape_is_not_broadcast():
    with pytest.raises(ValueError, match="field of shape"):
        interpolant_loss(lambda x, t: x[:, :1], "b", TwoSided(), Draw(X, X), TIMES, X)


def test_unknown_methods_and_times_outside_are_refused():
    process = MixtureProcess(OneSided(), mixture())
    for times, method in ((time_grid(2), "rk4"), (torch.tensor([0.5, 1.5]), "heun")):
        with pytest.raises(ValueError, match=r"method|\[0, 1\]"):
            integrate_ode(process.velocity, X, times, method=method)
        with pytest.raises(ValueError, match=r"method|\[0, 1\]"):
            integrate_sde(
                process, X, times, epsilon=ConstantEpsilon(1.0), noise=lambda: X, method=method
            )
    with pytest.raises(ValueError, match="2 monotonic"):
        sample_bridge(lambda x, t: x, TwoSided(), X, torch.zeros(1))


def test_noise_for_fewer_samples_is_not_shared():
    with pytest.raises(ValueError, match="of 1 samples"):
        SampleNoise(torch.Generator(), 1, X)


def test_a_base_density_of_each_entry_is_refused():
    process, normal = MixtureProcess(OneSided(), mixture()), torch.distributions.Normal(0.0, 1.0)
    with pytest.raises(ValueError, match="base_log_prob"):
        ode_log_prob(process.velocity, X, normal.log_prob,
                     lambda f, y: integrate_ode(f, y, time_grid(2, 1.0, 0.0)))  # fmt: skip
    with pytest.raises(ValueError, match="base_log_prob"):
        sampler_log_prob(
            process,
            X,
            normal.log_prob,
            time_grid(2, 0.9, 0.1),
            2,
            epsilon=ConstantEpsilon(1.0),
            generator=torch.Generator(),
        )


def test_one_path_has_no_variance():
    with pytest.raises(ValueError, match="2 paths"):
        _ = PathWeights(torch.zeros(3, 1)).variance


def test_a_density_that_is_nothing_somewhere_adds_nothing_there():
    points = torch.linspace(0, 1, 3)
    log_p = torch.tensor([0.0, 0.0, -torch.inf])
    assert kl_on_grid(log_p, torch.full((3,), -1.0), points) == pytest.approx(0.75)


def test_interpolants_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="FoellmerGamma"):
        PointSource(OneSided(), lambda x, t, x0: x)
    with pytest.raises(ValueError, match="signal and noise"):
        DenoiserProcess(mixture(), OneSided(EncodingDecodingPath()))
    eye = torch.eye(2, dtype=torch.float64)
    coupling = GaussianCoupling(X[0], X[1], eye, eye, 0 * eye)
    with pytest.raises(ValueError, match="expected x0"):
        coupling.given_base(X[:, :1])


def _all_kinds():
    modules = (kinds, ddbm, gammas, paths)
    return {
        part
        for module in modules
        for _, part in inspect.getmembers(module, inspect.isclass)
        if issubclass(part, Interpolant | gammas.Gamma | paths.Path | ddbm.Diffusion)
        and not inspect.isabstract(part)
    }


def _interpolants():
    for kind in _all_kinds():
        if issubclass(kind, gammas.Gamma):
            yield Mirror(kind())
        elif issubclass(kind, paths.Path):
            yield OneSided(kind())
        elif issubclass(kind, ddbm.Diffusion):
            yield ddbm.DiffusionBridge(kind())
        elif kind is not ddbm.DiffusionBridge:
            yield kind()


def test_every_kind_comes_back_from_its_settings():
    found = list(_interpolants())
    parts = {type(i) for i in found}
    for interpolant in found:
        parts |= {type(getattr(interpolant, f.name)) for f in dataclasses.fields(interpolant)}
        assert interpolant_from_settings(interpolant_settings(interpolant)) == interpolant
    assert parts == _all_kinds()


def _counted(field):
    calls = []

    def counted(x, t):
        calls.append(t)
        return field(x, t)

    return counted, calls


@pytest.mark.parametrize("t", [TIMES, TIMES[0]])
def test_velocity_and_score_of_converted_fields_cost_one_call(t):
    denoiser, calls = _counted(mixture())
    exact = MixtureProcess(OneSided(TrigonometricPath()), mixture())
    made = DenoiserProcess(denoiser, exact.interpolant)
    for a, b in zip(velocity_and_score(made, X, t), exact.both(X, t), strict=True):
        torch.testing.assert_close(a, b)
    assert len(calls) == 1

    flow, calls = _counted(MixtureProcess(OneSided(), mixture()).velocity)
    made = ConvertedProcess(FieldProcess(OneSided(), b=flow), exact.interpolant)
    for a, b in zip(velocity_and_score(made, X, t), exact.both(X, t), strict=True):
        torch.testing.assert_close(a, b)
    assert len(calls) == 1

    predict, calls = _counted(lambda x, t: x.sin())
    bridge = BridgeProcess(TwoSided(), predict, X.flip(0))
    b, s = velocity_and_score(bridge, X, t)
    assert len(calls) == 1
    torch.testing.assert_close(s, bridge.score(X, t))
    v = TwoSided().path_velocity(t, bridge.x0, X.sin())
    torch.testing.assert_close(b, conversions.velocity_from_score(TwoSided(), v, s, t))


def test_a_reflowed_gaussian_takes_a_time_for_each():
    flow = ReflowedGaussian(X[0], torch.tensor([[2.0, 0.3], [0.3, 0.5]], dtype=torch.float64))
    together = flow.velocity(X[:2], TIMES[:2])
    alone = [flow.velocity(x, t) for x, t in zip(X[:2], TIMES[:2], strict=True)]
    torch.testing.assert_close(together, torch.stack(alone))


def _identity(x, t, *_):
    assert x.device.type == "meta"
    return x


@pytest.mark.parametrize("t", [TIMES, TIMES[0]])
def test_times_of_the_host_go_with_images_of_another_device(t):
    # tensors of "meta" have no values, so that whatever mixes or reads them raises
    x = X.to("meta").float()
    one, two = OneSided(TrigonometricPath()), TwoSided()
    learned = FieldProcess(one, b=_identity)
    source = PointSource(foellmer(), _identity)
    bridge = BridgeProcess(BRIDGE, _identity, x)
    results = [
        two.point(t, x, x, x),
        BRIDGE.pull(x, x, t),
        *velocity_and_score(learned, x, t),
        *velocity_and_score(ConvertedProcess(learned, OneSided()), x, t),
        *velocity_and_score(DenoiserProcess(_identity, one), x, t),
        *velocity_and_score(bridge, x, t),
        predict_from_denoiser(_identity, two, x, sigma_max=80.0)(x, t),
        FlowPrior(learned, (-1, 1))(x, t),
        source.score(x, t, x),
        source.forward_drift(x, t, x, ConstantEpsilon(1.0)),
        i2sb_output(x, x, t, 1.0),
        drift_from_output(x, t, 1.0),
        GaussianSkip(FieldMLP(2).to("meta"), two, "b")(x, t),
        interpolant_loss(_identity, "b", two, Draw(x, x), t, x),
    ]
    assert all(r.device == x.device and r.dtype == x.dtype for r in results)
    with torch.device("meta"):
        network = FieldUNet(widths=(16, 16))
    images = torch.empty(3, 1, 8, 8, device="meta")
    assert network(images, t).shape == images.shape


def test_samplers_read_only_the_times_of_the_host():
    x = X.to("meta").float()
    process = FieldProcess(OneSided(), b=_identity)
    times, noise = time_grid(3), lambda: torch.empty_like(x)
    results = [
        integrate_ode(process.velocity, x, times),
        integrate_sde(process, x, times, epsilon=ConstantEpsilon(1.0), noise=noise, method="heun"),
        sample_bridge(_identity, TwoSided(), x, time_grid(3, 0, 1), noise=noise),
    ]
    assert all(r.device == x.device and r.dtype == x.dtype for r in results)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=_GPU)])
def test_pairs_may_stay_on_another_device_than_the_generator(device):
    pairs = PairedCoupling(X, X + 1, X)
    draw = pairs.draw(4, derive_generator(0, device=device))
    assert draw.x1.device.type == torch.device(device).type
    assert torch.equal(draw.x1, draw.x0 + 1)
    assert torch.equal(draw.condition, draw.x0)
