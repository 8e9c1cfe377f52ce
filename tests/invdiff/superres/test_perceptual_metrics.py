from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import prewitt
from torch.nn.functional import avg_pool2d

from invdiff.superres.perceptual import (
    gradient_similarity_deviation,
    one_minus_ms_ssim,
    one_minus_ssim,
    squared_error,
)

METRICS = {
    "squared_error": squared_error,
    "one_minus_ssim": partial(one_minus_ssim, data_range=2.0),
    "one_minus_ms_ssim": partial(one_minus_ms_ssim, data_range=2.0),
    "gradient_similarity_deviation": partial(gradient_similarity_deviation, data_range=2.0),
}


@pytest.fixture(params=METRICS)
def metric(request):
    return METRICS[request.param]


@pytest.fixture
def truth():
    """Two squares and a ramp, with a flat background as in a scan."""
    image = torch.full((2, 48, 56), -1.0)
    image[0, 10:30, 12:40], image[1, 20:40, 5:25] = 0.5, 0.2
    image[1, 8:16, 10:50] = torch.linspace(-0.5, 0.9, 40)
    return image


def blurred(image, times):
    for _ in range(times):
        padded = torch.nn.functional.pad(image.unsqueeze(1), (1, 1, 1, 1), mode="replicate")
        image = torch.nn.functional.avg_pool2d(padded, 3, stride=1).squeeze(1)
    return image


def test_equal_images_have_loss_zero_and_a_finite_slope(metric, truth):
    image = truth.clone().requires_grad_()
    loss = metric(image, truth)
    assert loss.shape == (2,)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, torch.zeros(2), atol=1e-7, rtol=0)
    (slope,) = torch.autograd.grad(loss.sum(), image)
    assert torch.isfinite(slope).all()


def test_a_black_image_has_a_finite_slope(metric, truth):
    black = torch.zeros_like(truth).requires_grad_()
    for other in (truth, torch.zeros_like(truth)):
        (slope,) = torch.autograd.grad(metric(black, other).sum(), black)
        assert torch.isfinite(slope).all()


def test_loss_grows_with_noise_and_with_blur(metric, truth, generator):
    noise = torch.randn(truth.shape, generator=generator)
    noisy = torch.stack([metric(truth + level * noise, truth) for level in (0.0, 0.02, 0.1, 0.3)])
    smooth = torch.stack([metric(blurred(truth, times), truth) for times in (0, 1, 2, 4)])
    assert (noisy.diff(dim=0) > 0).all()
    assert (smooth.diff(dim=0) > 0).all()


def test_symmetric_and_the_same_alone_as_in_a_batch(metric, truth, generator):
    image = truth + 0.1 * torch.randn(3, *truth.shape, generator=generator)
    losses = metric(image, truth)
    assert losses.shape == (3, 2)
    torch.testing.assert_close(losses[2, 1], metric(image[2, 1], truth[1]))
    torch.testing.assert_close(losses, metric(truth, image))


def test_slope_is_the_derivative(metric, truth, generator):
    truth = truth.double()
    image = truth + 0.2 * torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    direction = torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    image.requires_grad_()
    (slope,) = torch.autograd.grad(metric(image, truth).sum(), image)
    step = 1e-6
    ends = [metric(image.detach() + s * direction, truth).sum() for s in (step, -step)]
    numeric = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close((slope * direction).sum(), numeric, rtol=1e-5, atol=1e-8)


def test_squared_error_of_a_constant_is_its_square_in_the_unit(truth):
    torch.testing.assert_close(
        squared_error(truth + 0.5, truth, unit=2.0), torch.full((2,), 1 / 16)
    )
    line = torch.zeros(3, 64)
    assert squared_error(line + 2, line, image_ndim=1).tolist() == [4.0, 4.0, 4.0]


def test_gradient_similarity_is_its_formula_in_units_of_8_bits(truth, generator):
    image = truth + 0.2 * torch.randn(truth.shape, generator=generator)
    m, n = (
        np.hypot(prewitt(v, 0, mode="nearest"), prewitt(v, 1, mode="nearest")) / 3
        for v in (avg_pool2d(v[:1].double() * 127.5, 2)[0].numpy() for v in (image, truth))
    )
    similarity = (2 * m * n + 170) / (m**2 + n**2 + 170)
    value = gradient_similarity_deviation(image, truth, data_range=2.0)
    assert value[0].item() == pytest.approx(similarity.std(), rel=1e-3)


def test_gradient_similarity_sees_no_constant(truth):
    value = gradient_similarity_deviation(truth + 0.25, truth, data_range=2.0)
    torch.testing.assert_close(value, torch.zeros(2), atol=1e-5, rtol=0)


def test_refuses_units_that_are_not_positive_and_images_below_a_window(truth):
    with pytest.raises(ValueError, match="unit > 0"):
        squared_error(truth, truth, unit=0.0)
    for function in (one_minus_ssim, one_minus_ms_ssim, gradient_similarity_deviation):
        with pytest.raises(ValueError, match="data_range"):
            function(truth, truth, data_range=0.0)
    with pytest.raises(ValueError, match="at least 11, got 8"):
        one_minus_ms_ssim(truth[:, :8], truth[:, :8], data_range=1.0)
