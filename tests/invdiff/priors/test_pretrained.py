import json

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EDMEulerScheduler, LCMScheduler
from torch.nn import functional

from invdiff.data import MU_WATER, hu_to_mu, orient, read_dicom, sample_path
from invdiff.metrics import psnr
from invdiff.priors import list_priors, load_prior
from invdiff.rng import derive_generator


def noisy(generator, shape=(2, 3, 16, 16)):
    return torch.randn(shape, generator=generator)


@pytest.mark.parametrize("step", [0, 7, 100, 199])
def test_ddpm_networks_agree_with_their_scheduler(make_folder, ddpm, generator, step):
    prior = load_prior(make_folder(ddpm), channels_last=False)
    abar = ddpm.alphas_cumprod[step].double()
    sigma = ((1 - abar) / abar).sqrt()
    x = sigma.float() * noisy(generator, (1, 16, 16))
    x_t = x * abar.sqrt().float()
    output = prior.network(x_t.unsqueeze(1), torch.tensor([step]), return_dict=False)[0]
    expected = ddpm.step(output, step, x_t.unsqueeze(1)).pred_original_sample.squeeze(1)
    scale = expected.abs().max().item()
    torch.testing.assert_close(prior(x, sigma), expected, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_edm_networks_agree_with_their_scheduler(make_folder, generator, prediction):
    scheduler = EDMEulerScheduler(sigma_data=0.7, prediction_type=prediction)
    prior = load_prior(make_folder(scheduler), channels_last=False)
    x, sigma = noisy(generator, (1, 1, 16, 16)), torch.tensor(0.3)
    scaled = scheduler.precondition_inputs(x, sigma)
    output = prior.network(
        scaled, scheduler.precondition_noise(sigma).reshape(1), return_dict=False
    )
    expected = scheduler.precondition_outputs(x, output[0], sigma)
    torch.testing.assert_close(prior(x[:, 0], sigma), expected[:, 0])


def test_any_batch_and_any_chunk_give_the_same_images(make_folder, generator):
    folder = make_folder()
    x, sigma = noisy(generator), torch.rand(2, 3, generator=generator) + 0.1
    single = load_prior(folder, chunk_size=1)
    rows = [[single(x[i, j], sigma[i, j]) for j in range(3)] for i in range(2)]
    expected = torch.stack([torch.stack(row) for row in rows])
    for chunk_size in (1, 4, 100):
        prior = load_prior(folder, chunk_size=chunk_size)
        torch.testing.assert_close(prior(x, sigma), expected, rtol=1e-5, atol=1e-5)
        assert prior.num_calls == 6
    assert prior(x.double(), sigma).dtype == torch.float64


def test_the_learned_variance_is_left_out(make_folder, generator):
    prior = load_prior(make_folder(DDPMScheduler(), learned_variance=True))
    assert prior(noisy(generator), torch.tensor(0.5)).shape == (2, 3, 16, 16)


def test_colour_images_keep_their_channels(make_folder, generator):
    prior = load_prior(make_folder(channels=3))
    assert prior.image_shape == (3, 16, 16)
    assert prior(noisy(generator, (2, 3, 16, 16)), torch.tensor(0.5)).shape == (2, 3, 16, 16)


def test_a_network_in_bfloat16_is_close(make_folder, generator):
    folder = make_folder()
    x, sigma = noisy(generator), torch.tensor(0.5)
    exact = load_prior(folder)(x, sigma)
    low = load_prior(folder, dtype=torch.bfloat16)(x, sigma)
    assert low.dtype == torch.float32
    # bfloat16 has three digits
    assert (low - exact).abs().max() < 0.05 * exact.abs().max()


def test_the_folder_may_declare_its_range(make_folder):
    folder = make_folder(DDIMScheduler())
    assert load_prior(folder).data_range == (-1.0, 1.0)
    (folder / "prior.json").write_text(json.dumps({"data_range": [0, 1], "modality": "MR"}))
    prior = load_prior(folder)
    assert prior.data_range == (0.0, 1.0)
    assert prior.info["modality"] == "MR"


def test_refuses_images_of_another_size(make_folder):
    with pytest.raises(ValueError, match=r"expected real images of \(16, 16\), got \(2, 8, 8\)"):
        load_prior(make_folder())(torch.zeros(2, 8, 8), torch.tensor(1.0))


def test_refuses_what_is_no_prior(make_folder, tmp_path):
    with pytest.raises(ValueError, match="brain-mr-256, ct-256 or a folder, got ct-257"):
        load_prior("ct-257")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"scheduler_config\.json: not a readable JSON file"):
        load_prior(empty)
    folder = make_folder(LCMScheduler())
    with pytest.raises(ValueError, match="'LCMScheduler' is none of"):
        load_prior(folder)
    EDMEulerScheduler().save_pretrained(folder / "scheduler")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a readable UNet2DModel"):
        load_prior(folder)
    weights.unlink()
    with pytest.raises(ValueError, match=r"no weights as \.safetensors"):
        load_prior(folder)


def test_the_shipped_priors_are_listed():
    assert list_priors() == ["brain-mr-256", "ct-256"]


def sample_image(name):
    """The middle slice of a shipped sample over its whole field of view, in [0, 1]."""
    values = orient(read_dicom(sample_path(name)).middle()).values
    unit = hu_to_mu(values) / (2.5 * MU_WATER) if name == "sts-044" else values
    image = torch.from_numpy(np.ascontiguousarray(unit)).float().unsqueeze(0)
    image = functional.interpolate(image, size=(256, 256), mode="bilinear", antialias=True)[0, 0]
    return (image if name == "sts-044" else image / image.quantile(0.997)).clamp(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sample", "floor"), [("ct-256", "sts-044", 39.0), ("brain-mr-256", "head-t1", 32.0)]
)
def test_the_shipped_priors_denoise_a_held_out_patient(name, sample, floor):
    prior, truth = load_prior(name), sample_image(sample)
    sigma = torch.tensor(0.1)
    noise = torch.randn(truth.shape, generator=derive_generator(0, "noise"))
    image = (prior(2 * truth - 1 + sigma * noise, sigma) + 1) / 2
    # noise of 0.05 on [0, 1] is 26 dB
    assert psnr(image, truth, data_range=1.0).item() > floor
