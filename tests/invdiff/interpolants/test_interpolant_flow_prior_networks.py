import pytest
import torch

from invdiff.interpolants.couplings import IndependentCoupling
from invdiff.interpolants.fit import train_field
from invdiff.interpolants.flow_prior import DenoiserProcess, FlowPrior
from invdiff.interpolants.image_field import ImageField
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.networks import FieldMLP, FieldUNet, told
from invdiff.interpolants.process import FieldProcess
from invdiff.likelihood import Likelihood
from invdiff.priors import load_prior
from invdiff.rng import derive_generator
from invdiff.samplers import TDS
from invdiff.training import Training
from operators import GaussianNoise, Mask


def test_a_shipped_prior_goes_there_and_back(generator):
    prior = load_prior("ct-256", size=(64, 64))
    flow = FlowPrior(DenoiserProcess(prior, OneSided()), prior.data_range, prior.image_shape)
    sigma = torch.tensor(0.5)
    x = 0.5 * torch.randn(1, *prior.image_shape, generator=generator)
    torch.testing.assert_close(flow(x, sigma), prior(x, sigma), rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_an_image_field_knows_no_channel_axis_and_no_chunks(channels, generator):
    with torch.random.fork_rng(devices=[]):
        network = FieldUNet(channels, widths=(16,), patch=2).requires_grad_(False)
    shape = (8, 8) if channels == 1 else (2, 8, 8)
    x = torch.randn(2, 3, *shape, generator=generator)
    t = torch.rand(2, 3, generator=generator)
    whole = network(x.reshape(6, channels, 8, 8), t.reshape(6)).reshape(x.shape)
    for size in (None, 4, 6):
        part = ImageField(network, shape, size)(x, t)
        torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-5)
    flow = FlowPrior(FieldProcess(OneSided(), b=ImageField(network, shape)), (-1.0, 1.0), shape)
    assert flow(x, torch.tensor(0.4)).shape == x.shape


def test_an_image_field_refuses_other_shapes():
    for shape, size in (((4,), None), ((4, 4), 0)):
        with pytest.raises(ValueError, match="ImageField"):
            ImageField(lambda x, t: x, shape, size)
    with pytest.raises(ValueError, match="expected images"):
        ImageField(lambda x, t: x, (4, 4))(torch.zeros(2, 4, 5), torch.tensor(0.5))


def test_a_trained_flow_is_a_prior(mixture, generator):
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        network = FieldMLP(2, 64, 3)
    training = Training(600, 4e-3, 20, ema_decay=0.98, dtype=torch.float32)
    coupling = IndependentCoupling(lambda n, g: mixture.sample(n, generator=g).float())
    network = train_field(
        network, "b", OneSided(), coupling, training, batch_size=256, generator=generator
    )
    flow = FlowPrior(FieldProcess(OneSided(), b=told(network, None)), mixture.data_range, (2,))
    x = mixture.sample(2000, generator=generator)
    for sigma in (0.1, 0.5, 2.0):
        level = torch.tensor(sigma)
        noisy = x + sigma * torch.randn(x.shape, generator=generator).double()
        with torch.no_grad():
            error = ((flow(noisy.float(), level) - mixture(noisy, level)) ** 2).mean().sqrt()
        # little beside the spread of the data given the noisy ones
        assert error < 0.15 * ((x - noisy) ** 2).mean().sqrt() + 0.1
    operator = Mask(torch.tensor([True, False]))
    likelihood = Likelihood(operator, GaussianNoise(0.8), torch.tensor([-0.6]))
    exact = mixture.posterior(Likelihood(operator.double(), GaussianNoise(0.8), likelihood.y))
    samples = TDS(num_steps=40).sample(likelihood, flow, 1000, generator=derive_generator(0))
    weights = samples.log_weights.softmax(0)
    share = (weights * exact.responsibilities(samples.values)[:, 0]).sum()
    assert (share - exact.weights[0]).abs() < 0.1
