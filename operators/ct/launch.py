"""How the projection kernels are launched: devices, memory layouts, block sizes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from operators.ct.ray_kernels import multiply_by_lengths

if TYPE_CHECKING:
    from operators.ct.frames import RayFrames

_INT32_LIMIT = 2**31 - 1
_MAX_BATCH_BLOCK = 64
_LENGTH_BLOCK = 1024
# below this many images a warp reads along rows of the image, so both orientations are stored
_COPY_BELOW = 8
# rounding must not depend on what the compiler fuses: see operators.ct.ray_kernels
_OPTIONS: dict[str, Any] = {"enable_fp_fusion": False}


def interpreting() -> bool:
    """Whether kernels are interpreted on the CPU, as TRITON_INTERPRET=1 asks for."""
    return type(multiply_by_lengths).__name__ == "InterpretedFunction"


def check_tensor(name: str, v: Tensor, expected: tuple[int, ...]) -> None:
    """Refuse a tensor the kernels cannot read, with a ValueError.

    Args:
        name: Of the function, for the message.
        v: Tensor of shape (batch, *expected).
        expected: Trailing shape.
    """
    if v.ndim != len(expected) + 1 or v.shape[1:] != expected:
        raise ValueError(f"{name}: expected (batch, *{expected}), got {tuple(v.shape)}")
    if v.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name}: expected float32 or float64, got {v.dtype}")
    if not (v.is_cuda or (v.device.type == "cpu" and interpreting())):
        raise ValueError(
            f"{name}: expected a CUDA tensor, got one on {v.device}; on the CPU the kernels only "
            "run in the interpreter, with TRITON_INTERPRET=1 set before triton is first imported"
        )


def batch_last(v: Tensor) -> Tensor:
    """Return (*shape, batch), contiguous."""
    return v.movedim(0, -1).contiguous()


def both_orientations(v: Tensor) -> tuple[Tensor, bool]:
    """Return (*shape, batch) with, for a small batch, a copy whose rows and columns are exchanged.

    Args:
        v: Images or volumes, (batch, ..., rows, columns).

    Returns:
        The values in order, the copy behind the original; and whether there is a copy.
    """
    straight = batch_last(v)
    if len(v) >= _COPY_BELOW:
        return straight, False
    return torch.cat([straight.flatten(), batch_last(v.mT).flatten()]), True


def offsets(*tensors: Tensor) -> Any:
    """Integer type that can count the elements of every tensor."""
    return tl.int32 if max(t.numel() for t in tensors) < _INT32_LIMIT else tl.int64


def batch_block(batch: int) -> int:
    """Images that one program treats together, a power of two."""
    return min(triton.next_power_of_2(batch), _MAX_BATCH_BLOCK)


def scaled_by_lengths(y: Tensor, frames: RayFrames, out: Tensor) -> Tensor:
    """Write to ``out``, and return, y (V, R, C, B) times the mm of every ray per plane.

    That is the voxel size along the ray's main axis over the cosine of its angle to it:
    |D in mm| / max |D in voxels|.
    """
    _, rows, columns, batch = y.shape
    multiply_by_lengths[(triton.cdiv(y.numel(), _LENGTH_BLOCK),)](
        y, out, frames.directions, y.numel(), rows, columns, batch,
        OFFSET=offsets(y), BLOCK=_LENGTH_BLOCK, **_OPTIONS,
    )  # fmt: skip
    return out


@functools.lru_cache(maxsize=32)
def _tuned(kernel: Any, blocks: tuple[tuple[tuple[str, int], ...], ...], key: tuple[str, ...]) -> Any:
    configs = [
        triton.Config(dict(block), num_warps=warps, num_stages=1)
        for block in blocks
        for warps in (2, 4, 8)
    ]
    return triton.autotune(configs=configs, key=list(key))(kernel)


def launch(
    kernel: Any,
    grid: Any,
    arguments: tuple[Any, ...],
    fixed: dict[str, Any],
    blocks: list[dict[str, int]],
    key: tuple[str, ...],
) -> None:
    """Run a kernel with the block sizes that are fastest on this device.

    Args:
        kernel: A ``triton.jit`` function that writes its output without reading it.
        grid: Programs, as a function of the block sizes.
        arguments: Tensors and sizes.
        fixed: Compile-time constants.
        blocks: Block sizes to try, once for every new value of ``key``; the interpreter takes the
            first.
        key: Names of the arguments that the choice depends on.
    """
    if interpreting():
        kernel[grid](*arguments, **fixed, **blocks[0])
        return
    frozen = tuple(tuple(sorted(block.items())) for block in blocks)
    _tuned(kernel, frozen, key)[grid](*arguments, **fixed, **_OPTIONS)
