from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from invdiff.priors.adapter import DenoiserAdapter
from invdiff.priors.denoiser import rescale

MEAN, VARIANCE = 0.4, 0.05


class LinearDenoiser(nn.Module):
    """Signature of deepinv: x in [0, 1], sigma a float or a tensor ``(batch,)``."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor | float] = []

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        assert x.ndim == 4
        self.seen.append(sigma)
        level = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1)
        return MEAN + VARIANCE / (VARIANCE + level**2) * (x - MEAN)


class NoiseMapDenoiser(nn.Module):
    """As a DRUNet has it: the level is a further channel of the images."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels + 1, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        level = sigma.view(-1, 1, 1, 1) if isinstance(sigma, Tensor) else torch.tensor(sigma)
        return self.layer(torch.cat([x, level.to(x).expand(len(x), 1, *x.shape[2:])], dim=1))


def _expected(x: Tensor, sigma: Tensor) -> Tensor:
    return MEAN + VARIANCE / (VARIANCE + sigma**2) * (x - MEAN)


@pytest.mark.parametrize("per_image", [True, False])
def test_posterior_mean_passes_through(per_image: bool, generator: torch.Generator) -> None:
    prior = DenoiserAdapter(LinearDenoiser(), image_shape=(1, 4, 5), per_image_sigma=per_image)
    x = torch.rand(2, 3, 1, 4, 5, generator=generator, dtype=torch.float64)
    sigma = torch.tensor([[0.1, 0.2, 0.1], [0.3, 0.1, 0.2]], dtype=torch.float64)
    torch.testing.assert_close(prior(x, sigma), _expected(x, sigma[..., None, None, None]))
    assert prior.num_calls == 6
    assert prior.data_range == (0, 1)


@pytest.mark.parametrize("per_image", [True, False])
def test_batch_is_the_loop(per_image: bool, generator: torch.Generator) -> None:
    prior = DenoiserAdapter(NoiseMapDenoiser(2), per_image_sigma=per_image)
    x = torch.rand(3, 2, 6, 4, generator=generator)
    sigma = torch.tensor([0.3, 0.1, 0.3])
    with torch.no_grad():
        batch = prior(x, sigma)
        torch.testing.assert_close(batch, torch.stack([prior(x[i], sigma[i]) for i in range(3)]))


def test_one_level_is_one_call_with_a_float() -> None:
    call = LinearDenoiser()
    DenoiserAdapter(call, per_image_sigma=False)(torch.rand(3, 1, 2, 2), torch.tensor(0.25))
    assert call.seen == [0.25]
    many = LinearDenoiser()
    adapter = DenoiserAdapter(many, per_image_sigma=False)
    adapter(torch.rand(3, 1, 2, 2), torch.tensor([0.5, 0.25, 0.5]))
    assert many.seen == [0.25, 0.5]


@pytest.mark.parametrize(
    ("unit", "data_range", "seen"),
    [
        ("image", (0.0, 1.0), 0.2),
        ("image", (0.0, 255.0), 0.2),
        ("byte", (0.0, 1.0), 51.0),
        ("byte", (0.0, 255.0), 0.2),
        ("half_range", (0.0, 1.0), 0.4),
        ("half_range", (-1.0, 1.0), 0.2),
    ],
)
def test_level_is_told_in_its_units(
    unit: str, data_range: tuple[float, float], seen: float
) -> None:
    call = LinearDenoiser()
    prior = DenoiserAdapter(call, data_range=data_range, sigma_unit=unit)
    prior(torch.zeros(1, 1, 2, 2), torch.tensor(0.2))
    torch.testing.assert_close(call.seen[0], torch.tensor([seen]))


def test_other_units_of_the_images_are_an_affine_map(generator: torch.Generator) -> None:
    prior = rescale(DenoiserAdapter(LinearDenoiser()), -1000, 1500)
    x = 2500 * torch.rand(2, 1, 3, 3, generator=generator) - 1000
    expected = 2500 * _expected((x + 1000) / 2500, torch.tensor(100 / 2500)) - 1000
    torch.testing.assert_close(prior(x, torch.tensor(100.0)), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_without_channel_keep_shape_and_type(dtype: torch.dtype) -> None:
    prior = DenoiserAdapter(LinearDenoiser(), image_shape=(4, 5))
    assert prior.image_shape == (4, 5)
    # a sampler's level may have another type than its images
    denoised = prior(torch.rand(2, 4, 5, dtype=dtype), torch.tensor(0.1, dtype=torch.float64))
    assert denoised.shape == (2, 4, 5)
    assert denoised.dtype == dtype


def test_denoiser_of_another_type_gives_that_of_the_images() -> None:
    prior = DenoiserAdapter(lambda x, sigma: x.double())
    assert prior(torch.zeros(1, 1, 2, 2), torch.tensor(0.1)).dtype == torch.float32


def test_gradient_reaches_the_images() -> None:
    x = torch.rand(2, 1, 2, 2, requires_grad=True)
    prior = DenoiserAdapter(LinearDenoiser(), per_image_sigma=False)
    prior(x, torch.tensor([0.1, 0.2])).sum().backward()
    expected = VARIANCE / (VARIANCE + torch.tensor([0.01, 0.04]))
    torch.testing.assert_close(x.grad, expected[:, None, None, None].expand_as(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_range": (1.0, 0.0)}, r"data_range low < high, got \(1.0, 0.0\)"),
        ({"data_range": (0.0, float("inf"))}, "data_range low < high"),
        ({"image_shape": (4,)}, r"image_shape \(height, width\).*got \(4,\)"),
        ({"image_shape": (0, 4)}, r"image_shape \(height, width\).*got \(0, 4\)"),
        ({"sigma_unit": "db"}, "sigma_unit of image, byte, half_range, got 'db'"),
    ],
)
def test_bad_declarations_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenoiserAdapter(LinearDenoiser(), **options)


@pytest.mark.parametrize(
    "x", [torch.zeros(4), torch.zeros(1, 3, 5), torch.zeros(3, 4, dtype=torch.complex64)]
)
def test_other_images_are_refused(x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected real images of \(3, 4\), got"):
        DenoiserAdapter(LinearDenoiser(), image_shape=(3, 4))(x, torch.tensor(0.1))


def test_denoiser_that_changes_the_size_is_refused() -> None:
    prior = DenoiserAdapter(lambda x, sigma: x[..., ::2])
    with pytest.raises(ValueError, match="from the denoiser, got"):
        prior(torch.zeros(1, 1, 4, 4), torch.tensor(0.1))


@pytest.mark.parametrize("per_image", [True, False])
def test_no_images_are_no_images(per_image: bool) -> None:
    prior = DenoiserAdapter(LinearDenoiser(), per_image_sigma=per_image)
    assert prior(torch.zeros(0, 1, 2, 2), torch.tensor(0.1)).shape == (0, 1, 2, 2)
    assert prior.num_calls == 0
