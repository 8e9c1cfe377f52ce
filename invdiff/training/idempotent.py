"""Training of an idempotent network from the denoiser of a diffusion prior, without a critic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser
from invdiff.priors.idempotent import LearnedProjector, moved
from invdiff.training.loop import TrainingStep, train
from invdiff.training.settings import Training

__all__ = ["Distillation", "distillation_loss", "train_idempotent"]

_TRAINING = Training(
    num_steps=1500, learning_rate=3e-3, num_warmup=50, weight_decay=0.0, dtype=torch.float32,
    ema_decay=0.99,
)  # fmt: skip


@dataclass(frozen=True)
class Distillation:
    r"""What an idempotent network is trained for, and on what noise.

    With clean x, z = x + tau e and a level sigma, both levels log-uniform, the loss is

    .. math:: |f(x) - x|^2 + \lambda_i |f(f(z)) - f(z)|^2
        + \lambda_s |f(z) - \mathrm{sg}\, D(f(z) + \sigma n, \sigma)|^2
        + \lambda_m (1 - 2 k / K)_+ |f(z) - z|^2

    at step k of K. Half the gradient of the third term with respect to f(z) is minus sigma^2 times
    the teacher's score at f(z) + sigma n (and noise of mean zero): f(z) climbs the smoothed
    density. That alone would leave open which of the images z goes to; the last term makes it a
    near one, and fades in half the training, as it would else hold f(z) off the data. Idempotence
    and identity are those of :cite:t:`shocher2024`, who train with a term of the network's own in
    place of a teacher; the weights and the other two terms are this package's own design.

    Args:
        idempotence: lambda_i.
        score: lambda_s.
        movement: lambda_m.
        taus: Least and largest noise tau of the images that are projected, in units of the image.
        sigmas: Least and largest level that the teacher is asked at, likewise; where it is large
            the score pulls towards the mean of the data and no more to their support.
        batch_size: Images of each step.
        training: The optimisation.

    Raises:
        ValueError: A weight below 0, a range that isn't one, or no images.
    """

    idempotence: float = 1.0
    score: float = 1.0
    movement: float = 0.5
    taus: tuple[float, float] = (0.05, 2.0)
    sigmas: tuple[float, float] = (0.02, 0.2)
    batch_size: int = 256
    training: Training = _TRAINING

    def __post_init__(self) -> None:
        weights = (self.idempotence, self.score, self.movement)
        if not all(0 <= w < math.inf for w in weights) or self.batch_size < 1:
            raise ValueError(
                "Distillation: expected weights >= 0 and batch_size >= 1, got "
                f"{weights} and {self.batch_size}"
            )
        for low, high in (self.taus, self.sigmas):
            if not 0 < low <= high < math.inf:
                raise ValueError(f"Distillation: expected 0 < low <= high, got {low} and {high}")


def distillation_loss(
    network: nn.Module,
    teacher: Denoiser,
    clean: Tensor,
    settings: Distillation,
    generator: torch.Generator,
    *,
    movement: float | None = None,
) -> Tensor:
    """Return the loss of ``Distillation`` on a batch, a mean over images and pixels.

    Args:
        network: g of f(x) = x + g(x).
        teacher: D; it is not differentiated.
        clean: x, ``(batch, *image)``, real.
        settings: Weights and levels.
        generator: On the device of the images.
        movement: The weight of the last term at this step, ``settings.movement`` by default.

    Raises:
        ValueError: No images, complex ones, or a network that changes their shape.
    """
    _check_images(clean)

    def f(x: Tensor) -> Tensor:
        return moved(network, x)

    z = clean + _levels(settings.taus, clean, generator) * _normal(clean, generator)
    once = f(z)
    sigma = _levels(settings.sigmas, clean, generator)
    with torch.no_grad():
        noisy = once + sigma * _normal(clean, generator)
        taught = teacher(noisy, sigma.flatten())
    weight = settings.movement if movement is None else movement
    loss = ((f(clean) - clean) ** 2).mean() + weight * ((once - z) ** 2).mean()
    loss = loss + settings.idempotence * ((f(once) - once) ** 2).mean()
    return loss + settings.score * ((once - taught) ** 2).mean()


def train_idempotent(
    network: nn.Module,
    teacher: Denoiser,
    clean: Tensor | Callable[[int, torch.Generator], Tensor],
    settings: Distillation,
    *,
    generator: torch.Generator,
    callback: Callable[[TrainingStep], None] | None = None,
) -> LearnedProjector:
    """Distil a teacher into an idempotent network, and return it with averaged weights.

    Args:
        network: g of f(x) = x + g(x), on the device it is trained on; it is changed, too.
        teacher: D, in the units of the images.
        clean: Images ``(count, *image)``, or ``(batch, generator) -> images``, in any real dtype;
            the network and the teacher get them in that of the network.
        settings: The loss and the optimisation.
        generator: On the device; the only source of randomness.
        callback: Called after each step.

    Raises:
        ValueError: No images, complex ones, a network that changes their shape, or a loss that
            isn't finite.
    """
    draw = _drawn_from(clean) if isinstance(clean, Tensor) else clean
    example = draw(1, generator)
    weight = next(network.parameters())

    def loss(current: nn.Module, step: int) -> Tensor:
        movement = settings.movement * max(0.0, 1 - 2 * step / settings.training.num_steps)
        images = draw(settings.batch_size, generator).to(weight)
        return distillation_loss(current, teacher, images, settings, generator, movement=movement)

    average = train(network, loss, settings.training, callback=callback).requires_grad_(False)
    return LearnedProjector(average, tuple(example.shape[1:]), teacher.data_range)


def _drawn_from(images: Tensor) -> Callable[[int, torch.Generator], Tensor]:
    _check_images(images)

    def draw(count: int, generator: torch.Generator) -> Tensor:
        device = generator.device
        return images[torch.randint(len(images), (count,), generator=generator, device=device)]

    return draw


def _check_images(images: Tensor) -> None:
    if images.ndim < 2 or not images.numel() or not images.is_floating_point():
        raise ValueError(
            f"distillation: expected real images (count, *image), got {images.dtype} "
            f"{tuple(images.shape)}"
        )


def _levels(bounds: tuple[float, float], like: Tensor, generator: torch.Generator) -> Tensor:
    low, high = (math.log(bound) for bound in bounds)
    share = torch.rand(len(like), generator=generator, device=generator.device, dtype=like.dtype)
    return expand_right((low + (high - low) * share).exp(), like.ndim - 1)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype)
