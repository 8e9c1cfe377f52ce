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
    from collections.abc import Callable

    from operators.ct.frames import RayFrames

    Blocks = dict[str, int]

_INT32_LIMIT = 2**31 - 1
_MAX_WIDTH = 8  # in float32 one sector of the cache, 32 bytes
_MAX_GROUPS = 8  # times _MAX_WIDTH images are what registers hold the sums of
_LENGTH_BLOCK = 1024
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
    if v.ndim != len(expected) + 1 or v.shape[1:] != expected or not len(v):
        raise ValueError(f"{name}: expected (batch, *{expected}), got {tuple(v.shape)}")
    if v.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name}: expected float32 or float64, got {v.dtype}")
    if not (v.is_cuda or (v.device.type == "cpu" and interpreting())):
        raise ValueError(
            f"{name}: expected a CUDA tensor, got one on {v.device}; on the CPU the kernels only "
            "run in the interpreter, with TRITON_INTERPRET=1 set before triton is first imported"
        )


def grouped(v: Tensor) -> Tensor:
    """Return (batch, *shape) as (groups, *shape, width), contiguous, filled up with zeros.

    For a batch of one the result may share its memory with v.
    """
    return _side_by_side(v).contiguous()


def _side_by_side(v: Tensor) -> Tensor:
    width = min(triton.next_power_of_2(len(v)), _MAX_WIDTH)
    missing = -len(v) % width
    if missing:
        v = torch.cat([v, v.new_zeros(missing, *v.shape[1:])])
    return v.reshape(-1, width, *v.shape[1:]).movedim(1, -1)


def ungrouped(v: Tensor, batch: int) -> Tensor:
    """Return (groups, *shape, width) as the (batch, *shape) that :func:`grouped` took."""
    return v.movedim(-1, 1).flatten(0, 1)[:batch]


def both_orientations(v: Tensor) -> Tensor:
    """Return (2, groups, ..., width): :func:`grouped` v, and the same of v with rows as columns.

    Args:
        v: Images or volumes, (batch, ..., rows, columns).
    """
    straight, exchanged = _side_by_side(v), _side_by_side(v.mT)
    both = v.new_empty(2, *straight.shape)
    both[0].copy_(straight)
    both[1].view(exchanged.shape).copy_(exchanged)
    return both


def group_block(groups: int) -> int:
    """Groups of images that one program treats together, a power of two."""
    return min(triton.next_power_of_2(groups), _MAX_GROUPS)


def scaled_by_lengths(y: Tensor, frames: RayFrames, out: Tensor) -> Tensor:
    """Write to ``out``, and return, y times the length in mm of every ray from plane to plane.

    That is the voxel size along the ray's main axis over the cosine of its angle to it:
    |D in mm| / max |D in voxels|.

    Args:
        y: (groups, views, rows, columns, width).
        frames: The rays, in the dtype of y.
        out: Like y, or y itself.
    """
    _, *shape, width = y.shape
    with torch.cuda.device_of(y):  # type: ignore[no-untyped-call]
        multiply_by_lengths[(triton.cdiv(y.numel(), _LENGTH_BLOCK),)](
            y, out, frames.directions, y.numel(), *shape,
            WIDTH=width, OFFSET=_offset_type(y), BLOCK=_LENGTH_BLOCK, **_OPTIONS,
        )  # fmt: skip
    return out


def launch(
    kernel: Any,
    source: Tensor,
    target: Tensor,
    frames: RayFrames,
    sizes: tuple[int, ...],
    grid: Callable[[Blocks, int], tuple[int, ...]],
    blocks: tuple[tuple[Blocks, int], ...],
    **constants: Any,
) -> None:
    """Run a kernel over all groups, with the block sizes that are fastest on this device.

    Args:
        kernel: A ``triton.jit`` function of (source, target, values, views, axes, number of frames,
            groups, *sizes) that writes its target without reading it.
        source: What it reads.
        target: (groups, ..., width).
        frames: The rays, in the dtype of both.
        sizes: The further sizes it takes.
        grid: Programs for given block sizes and a number of blocks of groups.
        blocks: (sizes, warps) to try, once for every new problem; the interpreter takes the first.
        **constants: Further compile-time constants.
    """
    groups, width = target.shape[0], target.shape[-1]
    constants |= {"OFFSET": _offset_type(source, target), "WIDTH": width}
    constants["GROUPS"] = group_block(groups)
    count = triton.cdiv(groups, constants["GROUPS"])
    arguments = (
        source, target, frames.values, frames.views, frames.axes, len(frames.views), groups, *sizes,
    )  # fmt: skip
    if interpreting():
        kernel[grid(blocks[0][0], count)](*arguments, **constants, **blocks[0][0])
        return
    frozen = tuple((tuple(block.items()), warps) for block, warps in blocks)
    tuned = _tuned(kernel, frozen)
    with torch.cuda.device_of(source):  # type: ignore[no-untyped-call]
        tuned[lambda meta: grid(meta, count)](*arguments, **constants, **_OPTIONS)


@functools.cache
def _tuned(kernel: Any, blocks: tuple[tuple[tuple[tuple[str, int], ...], int], ...]) -> Any:
    configs = [triton.Config(dict(block), num_warps=w, num_stages=1) for block, w in blocks]
    sizes = [name for name in kernel.arg_names if name.isupper() and len(name) == 1]
    return triton.autotune(configs=configs, key=["frames", "groups", "WIDTH", *sizes])(kernel)


def _offset_type(*tensors: Tensor) -> Any:
    """Integer type that can count the elements of every tensor."""
    return tl.int32 if max(t.numel() for t in tensors) < _INT32_LIMIT else tl.int64
