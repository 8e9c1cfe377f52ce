"""Trained networks as denoisers."""

from __future__ import annotations

import os
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invdiff.priors.folder import find_prior, names_in, read_prior_folder
from invdiff.priors.labels import condition_of
from invdiff.priors.preconditioning import Preconditioning

__all__ = ["PretrainedPrior", "list_priors", "load_prior", "prior_folder"]

# a 256^2 image of a small UNet needs about 150 MB of activations
_CUDA_BYTES_PER_PIXEL = 2400


class PretrainedPrior(nn.Module):
    r"""A network as a Denoiser, called on chunks of the batch that fit the memory.

    A network with classes is told one of them. Classifier-free guidance :cite:p:`ho2022guidance`
    goes on beyond it,

    .. math:: D = D_\varnothing + w\, (D_{label} - D_\varnothing)

    which for w other than 0 and 1 is the posterior mean of no density: the tilted prior
    :math:`p(x)\, p(label | x)^w` has this score at :math:`\sigma = 0` only.

    Args:
        network: A diffusers ``UNet2DModel``, or an ``ImageNetwork``.
        preconditioning: What its output means.
        data_range: Range of the images it was trained on.
        chunk_size: Images per network call; None: 1 on a CPU, where larger batches are slower,
            and as many as fill half of the free memory on a GPU.
        info: What the folder says about the prior: title, modality, value_range, pixel_mm, ...
        size: Rows and columns of the images if not those of the training: a network without
            fixed positions denoises crops of its images, of sizes that its poolings divide.
        label: Index of the class, or its name in ``info["classes"]``; None for a network without.
        guidance: w. Other than 1, the network must know the null class: a label more than there
            are names in ``info["classes"]``, or ``info["class_dropout"]`` for networks that are
            told vectors (EDM's).

    Attributes:
        num_calls: Network evaluations so far, one per image, two with guidance.
        image_shape: Trailing shape: ``(height, width)`` for one channel, else
            ``(channel, height, width)``.
    """

    def __init__(
        self,
        network: nn.Module,
        preconditioning: Preconditioning,
        *,
        data_range: tuple[float, float] = (-1.0, 1.0),
        chunk_size: int | None = None,
        info: dict[str, Any] | None = None,
        size: tuple[int, int] | None = None,
        label: str | int | None = None,
        guidance: float = 1.0,
    ) -> None:
        super().__init__()
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size: expected at least 1, got {chunk_size}")
        self.network = network.eval().requires_grad_(False)
        self.preconditioning = preconditioning
        self.data_range = (float(data_range[0]), float(data_range[1]))
        self.chunk_size, self.info, self.num_calls = chunk_size, info or {}, 0
        self.label, self.guidance = label, guidance
        condition = condition_of(network, self.info, label, guidance)
        self._terms = ((None, 1.0),) if condition is None else condition.terms
        config: Any = network.config
        trained = config.sample_size
        height, width = size or ((trained, trained) if isinstance(trained, int) else trained)
        channels = config.in_channels
        self.image_shape: tuple[int, ...] = (
            (height, width) if channels == 1 else (channels, height, width)
        )

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x0 | x] for x ``(*batch, *image_shape)``, sigma 0-dimensional or ``batch``.

        Differentiable in x; nothing is recorded unless x asks for it.

        Raises:
            ValueError: Images of another shape than the network was trained on.
        """
        shape = self.image_shape
        if x.shape[x.ndim - len(shape) :] != shape or x.is_complex():
            raise ValueError(f"prior: expected real images of {shape}, got {tuple(x.shape)}")
        batch = x.shape[: x.ndim - len(shape)]
        images = x.reshape(-1, *(shape if len(shape) == 3 else (1, *shape))).float()
        levels = sigma.to(images).expand(batch).reshape(-1, 1, 1, 1)
        size = self.chunk_size or self._fitting_chunk(images)
        chunks = zip(torch.split(images, size), torch.split(levels, size), strict=True)
        denoised = [self._denoise(v, s) for v, s in chunks]
        self.num_calls += images.shape[0] * len(self._terms)
        return torch.cat(denoised).reshape(x.shape).to(x.dtype)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        parts = [
            weight * self.preconditioning.denoise(partial(self._predict, label=label), x, sigma)
            for label, weight in self._terms
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def _predict(self, x: Tensor, time: Tensor, label: int | None = None) -> Tensor:
        parameter = next(self.network.parameters())
        # a time of up to 1000 has too many digits for half precision
        told = [] if label is None else [torch.full((len(x),), label, device=x.device)]
        output = self.network(x.to(parameter.dtype), time.float(), *told, return_dict=False)
        # networks that also learn the variance give it in further channels
        return output[0][:, : x.shape[1]].to(x.dtype)

    def _fitting_chunk(self, images: Tensor) -> int:
        if images.device.type != "cuda":
            return 1
        free, _ = torch.cuda.mem_get_info(images.device)
        return max(1, free // 2 // (_CUDA_BYTES_PER_PIXEL * images[0].numel()))


def list_priors() -> list[str]:
    """Names of the priors that ship with the package."""
    return names_in(_weights())


def prior_folder(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the folder of a shipped prior of that name, or that folder.

    Raises:
        ValueError: Neither is there.
    """
    return find_prior(name_or_path, _weights())


def load_prior(
    name_or_path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    chunk_size: int | None = None,
    channels_last: bool = True,
    compile: bool = False,
    size: tuple[int, int] | None = None,
    label: str | int | None = None,
    guidance: float = 1.0,
) -> PretrainedPrior:
    """Load a shipped prior by name, or the folder of any, without network access.

    The folder is what diffusers wrote (``unet/`` and ``scheduler/``, weights as safetensors) or
    ``convert_checkpoint`` (``network/``). A file ``prior.json`` may declare ``data_range``
    (default -1 to 1, the convention of diffusers), ``modality``, ``value_range``, ``pixel_mm`` and
    ``classes``.

    Args:
        name_or_path: One of ``list_priors()``, or a folder.
        device: Where the network runs.
        dtype: Its precision; ``torch.bfloat16`` is twice as fast on a GPU.
        chunk_size: Images per network call, see ``PretrainedPrior``.
        channels_last: Memory format of the convolutions: faster on CPUs and on tensor cores.
        compile: Use ``torch.compile``; the first call takes minutes.
        size: For crops of its images, see ``PretrainedPrior``.
        label: Name or index of the class, for a prior that has classes.
        guidance: Weight of the label, see ``PretrainedPrior``.

    Raises:
        ValueError: No such prior or folder, a scheduler that isn't known, weights that are
            missing or not safetensors, or a label that is missing or unknown.
    """
    saved = read_prior_folder(
        prior_folder(name_or_path),
        device=device, dtype=dtype, channels_last=channels_last, compile=compile,
    )  # fmt: skip
    config: Any = saved.network.config
    # a network that also learns the variance gives it in as many further channels
    if config.out_channels not in (config.in_channels, 2 * config.in_channels):
        raise ValueError(
            f"{name_or_path}: expected a network of as many channels out as in, got "
            f"{config.out_channels} and {config.in_channels}: is it told an image, too?"
        )
    return PretrainedPrior(
        saved.network,
        saved.preconditioning,
        data_range=saved.data_range,
        chunk_size=chunk_size,
        info=saved.info,
        size=size,
        label=label,
        guidance=guidance,
    )


def _weights() -> Path:
    return Path(str(files("invdiff.priors"))) / "weights"
