import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invdiff.metrics import nrmse, psnr, ssim


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
