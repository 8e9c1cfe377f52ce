import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from invdiff.metrics import ms_ssim, ms_ssim_scales, nrmse, psnr, ssim


@pytest.fixture
def pair(generator):
    truth = torch.rand(2, 3, 32, 40, generator=generator)
    return truth + 0.1 * torch.randn(truth.shape, generator=generator), truth


def test_psnr_is_that_of_scikit_image(pair):
    image, truth = pair
    expected = peak_signal_noise_ratio(truth[1, 2].numpy(), image[1, 2].numpy(), data_range=2.0)
    values = psnr(image, truth, data_range=2.0)
    assert values.shape == (2, 3)
    assert values[1, 2].item() == pytest.approx(expected, abs=1e-4)


def test_ssim_is_that_of_scikit_image_inside(pair):
    image, truth = pair
    arrays = [v[0, 1].double().numpy() for v in (truth, image)]
    _, full = structural_similarity(
        *arrays, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        full=True,
    )  # fmt: skip
    # torchmetrics averages over the pixels whose window lies inside, scikit-image over others
    expected = full[5:-5, 5:-5].mean()
    assert ssim(image, truth, data_range=1.0)[0, 1].item() == pytest.approx(expected, abs=1e-3)


def test_a_perfect_image_has_the_best_values(pair):
    _, truth = pair
    assert torch.isinf(psnr(truth, truth, data_range=1.0)).all()
    torch.testing.assert_close(
        ssim(truth, truth, data_range=1.0), torch.ones(2, 3, dtype=torch.float64)
    )
    assert nrmse(truth, truth).max() == 0


def test_truth_broadcasts_over_samples(pair):
    image, truth = pair
    values = psnr(image, truth[0, 0], data_range=1.0)
    expected = 20 * np.log10(1 / (image[1, 1] - truth[0, 0]).square().mean().sqrt().item())
    assert values[1, 1].item() == pytest.approx(expected, abs=1e-4)


def test_nrmse_of_complex_images(pair):
    image, truth = pair
    z = torch.complex(truth, image)
    torch.testing.assert_close(nrmse(1.1 * z, z), torch.full((2, 3), 0.1), rtol=1e-4, atol=0)


def test_refuses_a_data_range_of_zero(pair):
    with pytest.raises(ValueError, match="data_range"):
        psnr(*pair, data_range=0.0)


@pytest.mark.parametrize(
    ("side", "scales"), [(11, 1), (22, 2), (43, 2), (128, 4), (175, 4), (176, 5)]
)
def test_ms_ssim_has_as_many_scales_as_hold_a_window(side, scales):
    assert ms_ssim_scales(side, 300) == ms_ssim_scales(300, side) == scales


@pytest.mark.parametrize("side", [128, 192])
def test_ms_ssim_is_that_of_torchmetrics(side, generator):
    truth = torch.rand(2, side, side, generator=generator)
    image = truth + 0.3 * torch.randn(truth.shape, generator=generator)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][: ms_ssim_scales(side, side)])
    expected = multiscale_structural_similarity_index_measure(
        image[:, None].double(), truth[:, None].double(), data_range=1.0, reduction="none",
        betas=tuple(weights / weights.sum()),
    )  # fmt: skip
    torch.testing.assert_close(ms_ssim(image, truth, data_range=1.0), expected)


def test_ms_ssim_of_opposite_images_is_zero_with_a_finite_slope(generator):
    truth = torch.randn(1, 32, 32, generator=generator)
    image = (-truth).requires_grad_()
    value = ms_ssim(image, truth, data_range=2.0)
    (slope,) = torch.autograd.grad(value.sum(), image)
    assert value.item() == 0
    assert torch.isfinite(slope).all()


def test_ms_ssim_refuses_images_below_a_window(pair):
    with pytest.raises(ValueError, match="at least 11, got 8"):
        ms_ssim(pair[0][..., :8], pair[1][..., :8], data_range=1.0)
