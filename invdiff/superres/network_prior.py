"""Networks that denoise an image given its coarse version."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from invdiff.priors.folder import find_prior, names_in, read_prior_folder
from invdiff.priors.preconditioning import EDM
from operators.resample import Downsample, Resample

__all__ = [
    "ConditionedNetwork",
    "SuperResolutionPrior",
    "list_super_resolution_priors",
    "load_super_resolution_prior",
]


class SuperResolutionPrior(nn.Module):
    r"""A network that sees the enlarged coarse image beside the noisy one, after SR3.

    .. math:: D(x, \sigma, y) = U y + D_\theta(x - U y, \sigma;\ U y)

    The condition enters as further channels :cite:p:`saharia2023`; the network learns what is
    left of the image after bicubic enlargement U, whose spread is the ``sigma_data`` of the
    preconditioning. Blocks of ``patch`` by ``patch`` pixels are its channels, so that it works on
    the grid of the coarse image, with a sixteenth of the arithmetic for a factor of 4.

    Args:
        network: A ``UNet2DModel`` of ``2 patch^2`` channels in and ``patch^2`` out.
        preconditioning: What its output means.
        factor: Fine pixels to a coarse one, along each axis.
        patch: Side of the blocks.
        data_range: Of the images it was trained on.
        chunk_size: Images per network call; None: 1 on a CPU, 256 on a GPU.
        info: What the folder says about the prior.

    Attributes:
        num_calls: Network evaluations so far, one per image.

    Raises:
        ValueError: A number below 1, or a network of other channels.
    """

    def __init__(
        self,
        network: nn.Module,
        preconditioning: EDM,
        *,
        factor: int = 4,
        patch: int = 4,
        data_range: tuple[float, float] = (-1.0, 1.0),
        chunk_size: int | None = None,
        info: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        config: Any = network.config
        if min(factor, patch) < 1 or (chunk_size is not None and chunk_size < 1):
            raise ValueError(
                "SuperResolutionPrior: expected factor, patch and chunk_size >= 1, got "
                f"{factor}, {patch} and {chunk_size}"
            )
        if (config.in_channels, config.out_channels) != (2 * patch**2, patch**2):
            raise ValueError(
                f"SuperResolutionPrior: patch {patch} needs {2 * patch**2} channels in and "
                f"{patch**2} out, got {config.in_channels} and {config.out_channels}"
            )
        self.network = network.eval().requires_grad_(False)
        self.preconditioning, self.factor, self.patch = preconditioning, factor, patch
        self.data_range, self.chunk_size = data_range, chunk_size
        self.info, self.num_calls = info or {}, 0
        self._resamplings: dict[tuple[int, ...], tuple[Downsample, Resample]] = {}

    def forward(self, x: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        """Return the mean for x ``(*batch, height, width)``, y coarser by the factor.

        Raises:
            ValueError: Shapes that don't belong together, or that the network can't halve.
        """
        self._check(x, y)
        batch = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])  # type: ignore[no-untyped-call]
        x, up = x.expand(*batch, *x.shape[-2:]), self.center(y)
        up = up.expand(*batch, *up.shape[-2:]).reshape(-1, 1, *x.shape[-2:]).float()
        images = x.reshape(-1, 1, *x.shape[-2:]).float()
        levels = sigma.to(images).expand(batch).reshape(-1, 1, 1, 1)
        size = self.chunk_size or (1 if images.device.type == "cpu" else 256)
        parts = zip(*(torch.split(part, size) for part in (images, levels, up)), strict=True)
        denoised = torch.cat([self._denoised(*part) for part in parts])
        self.num_calls += len(images)
        return denoised.reshape(x.shape).to(x.dtype)

    def center(self, y: Tensor) -> Tensor:
        """Return the bicubic enlargement of y, ``(*batch, height, width)``."""
        fine = tuple(n * self.factor for n in y.shape[-2:])
        enlarged: Tensor = self._resampling(fine)[1](y)
        return enlarged

    def operator(self, fine_shape: tuple[int, int]) -> Downsample:
        """Return the operator that the measurements of the training came from."""
        return self._resampling(fine_shape)[0]

    def check_sides(self, sides: Sequence[int]) -> None:
        """Refuse images that the network can't halve at all its resolutions.

        Raises:
            ValueError: A side that isn't a multiple of what it needs.
        """
        config: Any = self.network.config
        unit = math.lcm(self.factor, self.patch * 2 ** (len(config.block_out_channels) - 1))
        if any(n % unit for n in sides):
            raise ValueError(
                f"SuperResolutionPrior: sides must be multiples of {unit}, got {tuple(sides)}"
            )

    def _denoised(self, x: Tensor, sigma: Tensor, up: Tensor) -> Tensor:
        network = ConditionedNetwork(self.network, up, self.patch)
        residual = self.preconditioning.denoise(network, pixel_unshuffle(x - up, self.patch), sigma)
        return up + pixel_shuffle(residual, self.patch)

    def _resampling(self, fine: tuple[int, ...]) -> tuple[Downsample, Resample]:
        if fine not in self._resamplings:
            coarse = [n // self.factor for n in fine]
            self._resamplings[fine] = Downsample(fine, self.factor), Resample(coarse, fine)
        down, up = self._resamplings[fine]
        device = next(self.network.parameters()).device
        return down.to(device), up.to(device)

    def _check(self, x: Tensor, y: Tensor) -> None:
        if x.ndim < 2 or y.ndim < 2 or not x.numel():
            raise ValueError(
                f"SuperResolutionPrior: expected images and measurements, got {tuple(x.shape)} and "
                f"{tuple(y.shape)}"
            )
        if x.is_complex() or x.shape[-2:] != torch.Size([n * self.factor for n in y.shape[-2:]]):
            raise ValueError(
                f"SuperResolutionPrior: expected real images {self.factor} times as fine as "
                f"{tuple(y.shape[-2:])}, got {tuple(x.shape[-2:])}"
            )
        self.check_sides(x.shape[-2:])


class ConditionedNetwork:
    """F(c_in r, c_noise) for the blocks of a residual, with the enlarged image beside them.

    Args:
        network: Of ``2 patch^2`` channels in.
        up: Enlarged coarse images, ``(batch, 1, height, width)``.
        patch: Side of the blocks.
    """

    def __init__(self, network: nn.Module, up: Tensor, patch: int) -> None:
        self.network, self.condition = network, pixel_unshuffle(up, patch)

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        """Return F for blocks ``(batch, patch^2, height / patch, width / patch)``."""
        parameter = next(self.network.parameters())
        stacked = torch.cat([x, self.condition], 1).to(parameter.dtype)
        output: Tensor = self.network(stacked, time.to(parameter.dtype), return_dict=False)[0]
        return output.to(x.dtype)


def list_super_resolution_priors() -> list[str]:
    """Names of the super-resolution priors that ship with the package."""
    return names_in(_weights())


def load_super_resolution_prior(
    name_or_path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    chunk_size: int | None = None,
    compile: bool = False,
) -> SuperResolutionPrior:
    """Load a shipped super-resolution prior by name, or a folder that its training wrote.

    Args:
        name_or_path: One of ``list_super_resolution_priors()``, or a folder whose ``prior.json``
            gives ``factor`` and ``patch``.
        device: Where the network runs.
        dtype: Its precision; ``torch.bfloat16`` takes about half the time.
        chunk_size: Images per network call, see ``SuperResolutionPrior``.
        compile: Use ``torch.compile``; the first call takes minutes.

    Raises:
        ValueError: No such prior or folder, damaged files, or a network of another kind.
    """
    folder = find_prior(name_or_path, _weights())
    saved = read_prior_folder(
        folder, device=device, dtype=dtype, channels_last=True, compile=compile
    )
    kind = [saved.info.get(key) for key in ("factor", "patch")]
    # a bool is an int
    if not isinstance(saved.preconditioning, EDM) or any(type(k) is not int for k in kind):
        raise ValueError(f"{folder}: not a super-resolution prior (no factor and patch)")
    return SuperResolutionPrior(
        saved.network,
        saved.preconditioning,
        factor=saved.info["factor"],
        patch=saved.info["patch"],
        data_range=saved.data_range,
        chunk_size=chunk_size,
        info=saved.info,
    )


def _weights() -> Path:
    return Path(str(files("invdiff.superres"))) / "weights"
