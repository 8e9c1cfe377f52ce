"""Compile every projection kernel for an H100 (sm_90); needs no GPU, but no interpreter either."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from operators.ct import plane_kernels, ray_kernels, volume_kernels

BATCH = {"OFFSET": tl.int32, "WIDTH": 8, "GROUPS": 2}
SINGLE = {"OFFSET": tl.int64, "WIDTH": 1, "GROUPS": 1}
RAYS = {"BLOCK_V": 2, "BLOCK_R": 2, "BLOCK_C": 16}
VOXELS = {"BLOCK_K": 4, "BLOCK_I": 8, "BLOCK_J": 8}
CASES = [
    (plane_kernels.project_plane, "fp32", {**BATCH, "BLOCK_V": 2, "BLOCK_C": 32}),
    (plane_kernels.backproject_plane, "fp64", {**SINGLE, "BLOCK_I": 8, "BLOCK_J": 8}),
    (volume_kernels.project_volume, "fp32", {**BATCH, **RAYS}),
    (volume_kernels.backproject_volume, "fp32", {**BATCH, **VOXELS, "ALIGNED": True}),
    (volume_kernels.backproject_volume, "fp32", {**SINGLE, **VOXELS, "ALIGNED": False}),
    (
        ray_kernels.multiply_by_lengths,
        "fp32",
        {"OFFSET": tl.int32, "WIDTH": 8, "BLOCK": 1024},
    ),
]
POINTERS = ("x", "y", "out", "values", "directions")


def assembly(kernel, float_type: str, constants: dict[str, object]) -> str:
    """Return the PTX of one kernel, compiled as it is launched."""
    types = dict.fromkeys(POINTERS, "*" + float_type) | {"views": "*i32", "axes": "*i32"}
    types |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(
        kernel,
        signature={name: types.get(name, "i32") for name in kernel.arg_names},
        constexprs={(kernel.arg_names.index(name),): value for name, value in constants.items()},
    )
    options = {"num_warps": 4, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]


if __name__ == "__main__":
    for kernel, float_type, constants in CASES:
        ptx = assembly(kernel, float_type, constants)
        print(kernel.__name__, ".target sm_90" in ptx)
