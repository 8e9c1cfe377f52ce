import pytest
import torch
from diffusers import UNet2DModel
from torch.nn.functional import avg_pool2d, pad

from invdiff.priors.gaussian import GaussianPrior
from invdiff.priors.preconditioning import EDM
from invdiff.priors.pretrained import PretrainedPrior, load_prior
from invdiff.superres.network_prior import SuperResolutionPrior
from invdiff.superres.perceptual import squared_error
from invdiff.superres.perceptual_features import FeatureDistance, UNetEncoder, map_distance
from invdiff.superres.recipe import SuperResolutionRecipe


@pytest.fixture(scope="module")
def brain():
    return load_prior("brain-mr-256")


@pytest.fixture(scope="module")
def coarse_to_fine():
    """A super-resolution prior of random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = SuperResolutionRecipe(channels=(32, 32), layers=1).network()
    return SuperResolutionPrior(network, EDM(0.1))


@pytest.fixture(params=["brain", "coarse_to_fine"])
def distance(request):
    return FeatureDistance(request.getfixturevalue(request.param))


@pytest.fixture
def truth():
    """An ellipse with a brighter one inside, on the flat background of a scan."""
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    head = (rows**2 / 0.7 + columns**2 / 0.5 < 1).float()
    inner = ((rows - 0.2) ** 2 + columns**2 < 0.1).float()
    return -1 + 0.8 * head + 0.5 * inner


def blurred(image, times):
    for _ in range(times):
        padded = pad(image.reshape(-1, 1, *image.shape[-2:]), (1, 1, 1, 1), mode="reflect")
        image = avg_pool2d(padded, 3, stride=1).reshape(image.shape)
    return image


def test_zero_for_equal_images_with_a_slope_of_zero(distance, truth):
    image = truth.clone().requires_grad_()
    loss = distance(image, truth)
    (slope,) = torch.autograd.grad(loss, image)
    assert loss.shape == ()
    assert loss.item() == 0
    assert slope.abs().max() == 0


def test_a_flat_image_has_a_finite_slope(distance, truth):
    flat = torch.full_like(truth, -1.0).requires_grad_()
    (slope,) = torch.autograd.grad(distance(flat, truth), flat)
    assert torch.isfinite(slope).all()


def test_positive_for_a_single_pixel_symmetric_and_the_same_alone_as_in_a_batch(distance, truth):
    images = truth.expand(2, 3, 64, 64).clone()
    images[1, 2, 20, 30] += 0.2
    losses = distance(images, truth)
    assert losses.shape == (2, 3)
    assert (losses.flatten()[:5] == 0).all()
    assert losses[1, 2] > 1e-6
    torch.testing.assert_close(losses[1, 2], distance(truth, images[1, 2]))


def test_grows_with_noise_and_with_blur(distance, truth, generator):
    texture = 0.1 * torch.randn(truth.shape, generator=generator)
    noise = torch.randn(truth.shape, generator=generator)
    truth = truth + texture * (truth > -1)
    noisy = torch.stack([distance(truth + s * noise, truth) for s in (0.0, 0.02, 0.05, 0.1, 0.2)])
    smooth = torch.stack([distance(blurred(truth, times), truth) for times in (0, 1, 2, 4, 8)])
    assert (noisy.diff() > 0).all()
    assert (smooth.diff() > 0).all()


@pytest.mark.parametrize("anatomy", [True, False])
def test_another_draw_of_a_texture_is_nearer_than_its_blur_unlike_squared_error(
    brain, truth, generator, anatomy
):
    distance = FeatureDistance(brain)
    draws = torch.randn(2, 64, 64, generator=generator)
    # without sharp edges, whose blur would be seen by the squared error as well
    soft = blurred(truth, 12)
    first, second = soft + 0.2 * draws * (soft > -0.9) if anatomy else 0.3 * draws
    smooth = blurred(first, 3)
    assert distance(second, first) < 0.8 * distance(smooth, first)
    assert squared_error(second, first) > 1.5 * squared_error(smooth, first)


def test_small_structure_is_what_forgives_another_draw(brain, generator):
    first, second = 0.3 * torch.randn(2, 64, 64, generator=generator)
    strict, lenient = (FeatureDistance(brain, structure=w)(second, first) for w in (1.0, 0.05))
    assert strict > 10 * lenient


def test_slope_is_the_derivative(distance, truth, generator):
    noise, direction = torch.randn(2, 64, 64, generator=generator)
    image = (truth + 0.1 * noise).requires_grad_()
    (slope,) = torch.autograd.grad(distance(image, truth), image)
    step = 3e-3
    ends = [distance(image.detach() + s * direction, truth) for s in (step, -step)]
    numeric = (ends[0] - ends[1]) / (2 * step)
    # float32, and the curvature over the step
    torch.testing.assert_close((slope * direction).sum(), numeric, rtol=0.05, atol=1e-3)


def test_encoder_gives_what_the_network_computes_on_the_way_down(brain, generator):
    x, time = torch.randn(2, 1, 32, 32, generator=generator), torch.tensor([-1.0, 0.5])
    outputs = []
    handles = [
        block.register_forward_hook(lambda _, __, output: outputs.append(output[0]))
        for block in brain.network.down_blocks
    ]
    brain.network(x, time)
    for handle in handles:
        handle.remove()
    encoder = UNetEncoder(brain.network)
    encoder(x, time)
    assert len(encoder.features) == len(outputs) == 5
    for features, output in zip(encoder.features, outputs, strict=True):
        torch.testing.assert_close(features, output)


def test_features_are_those_of_the_priors_own_call(distance, truth, generator):
    """The inputs of the network are those of a denoiser call on the image."""
    prior, seen = distance.prior, []
    image = truth + 0.1 * torch.randn(truth.shape, generator=generator)
    sigma, calls = torch.tensor(0.05), prior.num_calls
    handle = prior.network.down_blocks[0].register_forward_hook(
        lambda _, __, output: seen.append(output[0])
    )
    features = distance.features(image)
    assert prior.num_calls == calls
    if isinstance(prior, SuperResolutionPrior):
        prior(image, sigma, prior.operator((64, 64))(image))
    else:
        # a prior of crops of this size
        PretrainedPrior(prior.network, prior.preconditioning, size=(64, 64))(image, sigma)
    handle.remove()
    torch.testing.assert_close(features[0], image.unsqueeze(0))
    torch.testing.assert_close(features[1], seen[1][0])
    torch.testing.assert_close(seen[0], seen[1])


def test_noise_level_and_images_are_in_the_units_of_the_prior(brain, truth):
    seen = []
    handles = [
        part.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
        for part in (brain.network.time_proj, brain.network.conv_in)
    ]
    wide = PretrainedPrior(brain.network, EDM(5.0), data_range=(-10.0, 10.0))
    FeatureDistance(wide, noise=0.05).features(10 * truth)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(seen[0], torch.tensor([0.5]).log() / 4)
    torch.testing.assert_close(seen[1][0, 0], 10 * truth / (5.0**2 + 0.5**2) ** 0.5)


def test_map_distance_at_weight_one_is_the_structure_term_of_dists(generator):
    f, g = torch.randn(2, 3, 16, 16, generator=generator, dtype=torch.float64)
    f, g = ((v - v.mean((-2, -1), keepdim=True)) for v in (f, g))
    var_f, var_g, cov = ((a * b).mean((-2, -1)) for a, b in ((f, f), (g, g), (f, g)))
    expected = (1 - 2 * cov / (var_f + var_g)).mean()
    # the floor is a thousandth
    torch.testing.assert_close(map_distance(f, g, structure=1.0), expected, rtol=2e-3, atol=0)


def test_map_distance_of_means_and_of_spreads():
    pattern = torch.tensor([1.0, -1.0]).repeat(8, 4)
    ones, zero = torch.ones(1, 8, 8), torch.zeros(1, 8, 8)
    assert map_distance(ones, zero, structure=0.5).item() == pytest.approx(1, rel=2e-3)
    assert map_distance(pattern[None], 3 * pattern[None], structure=0.5).item() == pytest.approx(
        (3 - 1) ** 2 / (1 + 9), rel=2e-3
    )
    # the same spread, every detail elsewhere
    moved = map_distance(pattern[None], -pattern[None], structure=0.25)
    assert moved.item() == pytest.approx(2 * 0.25, rel=2e-3)


def test_refuses_what_it_has_no_encoder_for(brain, coarse_to_fine, truth):
    with pytest.raises(ValueError, match="0 < structure <= 1, got 0"):
        FeatureDistance(brain, structure=0.0)
    with pytest.raises(ValueError, match="noise > 0, got 0"):
        FeatureDistance(brain, noise=0.0)
    with pytest.raises(TypeError, match="GaussianPrior"):
        FeatureDistance(GaussianPrior(torch.zeros(4), torch.eye(4)))
    with pytest.raises(ValueError, match="real images"):
        FeatureDistance(brain)(truth + 0j, truth)
    with pytest.raises(ValueError, match="factor 4 does not divide"):
        FeatureDistance(coarse_to_fine)(truth[:62], truth[:62])
    classes = UNet2DModel(
        block_out_channels=(8,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
        norm_num_groups=4, num_class_embeds=3,
    )  # fmt: skip
    with pytest.raises(ValueError, match="image and time only"):
        UNetEncoder(classes)
