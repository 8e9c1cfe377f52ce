import copy
import dataclasses

import pytest
import torch

from invdiff import samplers
from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from operators import FiniteDifferences, GaussianNoise, Mask, TransmissionNoise

from .sampler_instances import INTERACTING, NEEDS_SVD, SAMPLERS

# two to four particles cannot carry weights, and their ensemble rightly says so
pytestmark = pytest.mark.filterwarnings("ignore:Ensemble. at step:invdiff.linalg.NumericalWarning")

SHAPE = (4, 3)
# rounding of float32 sums in another order, over a dozen steps
BATCH_TOLERANCE = 1e-5


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    return SAMPLERS[request.param]


@pytest.fixture(params=["mask", "differences", "counts"])
def likelihood(request, sampler, generator):
    """Four problems: the closed form of an SVD, conjugate gradients, weights from counts."""
    if isinstance(sampler, NEEDS_SVD) and request.param != "mask":
        pytest.skip("refused: no SVD or several noise levels, as the samplers say")
    x = torch.rand(4, *SHAPE, generator=generator)
    mask = torch.rand(SHAPE, generator=generator) < 0.6
    operator = Mask(mask) if request.param == "mask" else FiniteDifferences(SHAPE)
    noise = TransmissionNoise(500.0) if request.param == "counts" else GaussianNoise(0.05)
    return Likelihood(operator, noise, noise.sample(operator(x), generator=generator))


@pytest.fixture
def prior():
    n = SHAPE[0] * SHAPE[1]
    distance = (torch.arange(n)[:, None] - torch.arange(n)).abs()
    return GaussianPrior(torch.full(SHAPE, 0.5).double(), 0.1 * torch.exp(-distance / 2.0).double())


def run(sampler, likelihood, prior, num_samples=2, generator=None, **kwargs):
    generator = generator or derive_generator(0, "sampler")
    return sampler.sample(likelihood, prior, num_samples, generator=generator, **kwargs)


def test_every_sampler_of_posteriors_is_in_the_list():
    methods = {v for v in vars(samplers).values() if dataclasses.is_dataclass(v)}
    unconditional = {samplers.HeunSampler, samplers.Samples}
    assert {type(s) for s in SAMPLERS.values()} == methods - unconditional


def test_shapes_and_weights(sampler, likelihood, prior):
    samples = run(sampler, likelihood, prior, num_samples=3)
    assert samples.values.shape == (3, 4, *SHAPE)
    assert samples.values.dtype == torch.float32
    assert torch.isfinite(samples.values).all()
    total = samples.log_weights.exp().sum(0)
    torch.testing.assert_close(total, torch.ones(4), check_dtype=False)


def test_the_same_seed_gives_the_same_bits(sampler, likelihood, prior):
    first, second = (run(sampler, likelihood, prior).values for _ in range(2))
    assert torch.equal(first, second)
    other = run(sampler, likelihood, prior, generator=derive_generator(1)).values
    assert not torch.equal(first, other)


def test_samples_differ(sampler, likelihood, prior):
    samples = run(sampler, likelihood, prior, num_samples=4).values
    assert not torch.allclose(samples[0], samples[-1], atol=1e-3)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS.keys() - INTERACTING), indirect=True)
def test_a_sample_does_not_depend_on_how_many_there_are(sampler, likelihood, prior):
    few = run(sampler, likelihood, prior, num_samples=2).values
    many = run(sampler, likelihood, prior, num_samples=4).values
    torch.testing.assert_close(few, many[:2], rtol=BATCH_TOLERANCE, atol=BATCH_TOLERANCE)


def test_inputs_and_global_random_numbers_are_left_alone(sampler, likelihood, prior):
    tensors = [likelihood.y, likelihood.target, likelihood.weighted_adjoint, prior.means]
    tensors += likelihood.operator.buffers()
    before = [tensor.clone() for tensor in tensors]
    state = torch.random.get_rng_state()
    samples = run(sampler, likelihood, prior)
    assert all(torch.equal(tensor, old) for tensor, old in zip(tensors, before, strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not samples.values.requires_grad


def test_a_batch_of_problems_equals_single_runs(sampler, likelihood, prior):
    streams = [derive_generator(0, p) for p in range(4)]
    together = run(sampler, likelihood, prior, generator=streams).values
    for p in range(4):
        alone = Likelihood(likelihood.operator, likelihood.noise, likelihood.y[p])
        expected = run(sampler, alone, prior, generator=derive_generator(0, p)).values
        torch.testing.assert_close(
            together[:, p], expected, rtol=BATCH_TOLERANCE, atol=BATCH_TOLERANCE
        )


def test_the_callback_sees_every_step_and_changes_nothing(sampler, likelihood, prior):
    seen = []
    samples = run(sampler, likelihood, prior, callback=seen.append)
    assert [p.step for p in seen] == list(range(12))
    assert {p.num_steps for p in seen} == {12}
    assert seen[-1].misfit.shape == (2, 4)
    assert all(torch.isfinite(p.misfit).all() and (p.sigma > 0).all() for p in seen)
    assert torch.equal(samples.values, run(sampler, likelihood, prior).values)
    torch.testing.assert_close(seen[-1].image, samples.values)


def test_refuses_a_prior_of_another_size(sampler, likelihood):
    prior = GaussianPrior(torch.zeros(3, 4), 1.0)
    with pytest.raises(ValueError, match=r"shape \(3, 4\), the operator takes \(4, 3\)"):
        run(sampler, likelihood, prior)


def test_refuses_no_samples(sampler, likelihood, prior):
    with pytest.raises(ValueError, match="at least 1"):
        run(sampler, likelihood, prior, num_samples=0)


def test_precise_and_complete_data_decide(sampler, prior, generator):
    x = prior.sample(3, generator=generator)
    operator = Mask(torch.ones(SHAPE, dtype=torch.bool))
    noise = GaussianNoise(1e-4)
    likelihood = Likelihood(operator, noise, noise.sample(operator(x), generator=generator))
    longer = dataclasses.replace(sampler, num_steps=300)
    error = run(longer, likelihood, prior).values - x
    # the prior's standard deviation is 0.3; DDS weighs the data by its own gamma of 1 instead
    bound = 0.05 if not isinstance(sampler, samplers.DDS) else 0.3
    if isinstance(sampler, samplers.DPS) and sampler.guidance_kind == "norm":
        # steps of the fixed length of 1.3 go back and forth about the data, whatever their noise
        bound = 0.7
    assert error.abs().max() < bound


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_steps_on_a_gpu_never_wait_for_it(sampler, likelihood, prior):
    """From the end of the first step to the end of the last nothing may ask for a value."""
    operator = copy.deepcopy(likelihood.operator).cuda()
    on_device = Likelihood(operator, likelihood.noise, likelihood.y.cuda())
    means, covariance = prior.means.cuda(), prior.covariance().cuda()
    prior = GaussianPrior(means[0], covariance)

    def watch(progress):
        last = progress.step == progress.num_steps - 1
        torch.cuda.set_sync_debug_mode("default" if last else "error")

    generator = derive_generator(0, "sampler", device="cuda")
    if isinstance(sampler, samplers.ParticleSystem):
        # in chunks, the particles lie in the host's memory and travel at each step
        sampler = dataclasses.replace(sampler, chunk_size=0)
    try:
        samples = run(sampler, on_device, prior, generator=generator, callback=watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert samples.values.is_cuda
