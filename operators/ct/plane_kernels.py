"""Kernels of exact intersection lengths in two dimensions, and their transpose."""

import triton
import triton.language as tl

from operators.ct.ray_kernels import affine, height, wins
from operators.ct.volume_kernels import clipped, shadow_bounds


@triton.jit
def lower_end(slope, intercept):
    """Intercept of the lower of the two heights at which a ray enters and leaves a column."""
    return intercept + tl.minimum(slope, 0.0)


@triton.jit
def inverse_rise(slope):
    """One over the height that a ray gains in a column; large, not infinite, for a level ray."""
    return 1.0 / tl.maximum(tl.abs(slope), 1e-30)


@triton.jit
def split(low, per_rise):
    """Lowest pixel that a ray meets in a column, and its share; the next one has the rest.

    The ray climbs by at most one pixel, so that it meets at most two.
    """
    first = tl.floor(low)
    return first, tl.minimum((first + 1.0 - low) * per_rise, 1.0)


@triton.jit
def project_plane(
    x, y, values, views, axes, frames, I, J, C, B,
    TRANSPOSED: tl.constexpr, OFFSET: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_C: tl.constexpr,
    BLOCK_B: tl.constexpr,
):  # fmt: skip
    """Sum x of shape (I, J, B) over the pixels that each ray crosses, into y (V, C, B)."""
    FLOAT: tl.constexpr = values.dtype.element_ty
    lane = tl.arange(0, BLOCK_V * BLOCK_C)
    column = tl.program_id(0) * BLOCK_C + lane % BLOCK_C
    frame = tl.program_id(1) * BLOCK_V + lane // BLOCK_C
    active = (column < C) & (frame < frames)
    frame = tl.minimum(frame, frames - 1)
    batch = tl.program_id(2) * BLOCK_B + tl.arange(0, BLOCK_B)
    axis, view = tl.load(axes + frame), tl.load(views + frame)

    f, at = values + frame * 27, column.to(FLOAT) - (C - 1) * 0.5
    main = affine(tl.load(f), tl.load(f + 1), 0.0, at, 0.0)
    side = affine(tl.load(f + 3), tl.load(f + 4), 0.0, at, 0.0)
    moment = affine(tl.load(f + 9), tl.load(f + 10), 0.0, at, 0.0)
    # every ray is written by the one frame whose axis is its main axis
    active &= wins(main, side, axis == 0)

    size_a, size_b = tl.where(axis == 0, J, I), tl.where(axis == 0, I, J)
    middle = size_a.to(FLOAT) * 0.5
    inverse = 1.0 / tl.where(active, main, 1.0)
    slope = side * inverse
    start = lower_end(slope, tl.fma(moment, inverse, size_b.to(FLOAT) * 0.5))
    per_rise = inverse_rise(slope)
    # bounds a little too wide also cover a slope too small to divide by
    steep = tl.where(tl.abs(slope) < 1e-6, 1e-6, slope)
    enters, leaves = (-1.01 - start) / steep, (size_b + 0.01 - start) / steep
    low = tl.maximum(tl.minimum(enters, leaves), -middle)
    high = tl.minimum(tl.maximum(enters, leaves), middle - 1.0)
    touched = active & (low <= high)
    begin = tl.min(tl.where(touched, tl.floor(low + middle), 1073741824.0)).to(tl.int32)
    end = tl.max(tl.where(touched, tl.ceil(high + middle), -1.0)).to(tl.int32)

    # a second copy of x with rows and columns exchanged keeps neighbouring rays on one line
    flipped = TRANSPOSED & (axis == 0)
    step_a = tl.where(axis == 0, tl.where(flipped, I, 1), J).to(OFFSET)
    step_b = tl.where(axis == 0, tl.where(flipped, 1, J), 1).to(OFFSET)
    base = tl.where(flipped, I, 0).to(OFFSET) * J
    in_batch = (batch < B)[None, :]
    total = tl.zeros((BLOCK_V * BLOCK_C, BLOCK_B), dtype=FLOAT)
    plane = begin.to(FLOAT) - middle
    for n in range(begin, end + 1):
        first, share = split(height(plane, slope, start), per_rise)
        b = first.to(tl.int32)
        inside = touched & (n < size_a)
        pixel = x + ((base + n * step_a + b * step_b) * B)[:, None] + batch[None, :]
        lower = (inside & (b >= 0) & (b < size_b))[:, None] & in_batch
        upper = (inside & (share < 1.0) & (b >= -1) & (b < size_b - 1))[:, None] & in_batch
        x0 = tl.load(pixel, mask=lower, other=0.0)
        x1 = tl.load(pixel + (step_b * B)[:, None], mask=upper, other=0.0)
        total = tl.fma(share[:, None], x0, total)
        total = tl.fma((1.0 - share)[:, None], x1, total)
        plane += 1.0
    ray = view.to(OFFSET) * C + column
    tl.store(y + (ray * B)[:, None] + batch[None, :], total, mask=active[:, None] & in_batch)


@triton.jit
def backproject_plane(
    y, x, values, views, axes, frames, I, J, C, B,
    OFFSET: tl.constexpr, BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_B: tl.constexpr,
):  # fmt: skip
    """Sum y of shape (V, C, B) over the rays that cross each pixel, into x (I, J, B)."""
    FLOAT: tl.constexpr = values.dtype.element_ty
    lane = tl.arange(0, BLOCK_I * BLOCK_J)
    across = tl.cdiv(J, BLOCK_J)
    j = tl.program_id(0) % across * BLOCK_J + lane % BLOCK_J
    i = tl.program_id(0) // across * BLOCK_I + lane // BLOCK_J
    real = (i < I) & (j < J)
    batch = tl.program_id(1) * BLOCK_B + tl.arange(0, BLOCK_B)
    in_batch = (batch < B)[None, :]
    total = tl.zeros((BLOCK_I * BLOCK_J, BLOCK_B), dtype=FLOAT)
    for frame in range(frames):
        f, axis, view = values + frame * 27, tl.load(axes + frame), tl.load(views + frame)
        a, b = tl.where(axis == 0, j, i).to(FLOAT), tl.where(axis == 0, i, j).to(FLOAT)
        half_a = tl.where(axis == 0, J, I).to(FLOAT) * 0.5
        half_b = tl.where(axis == 0, I, J).to(FLOAT) * 0.5
        plane = a - half_a
        # from the centre of the grid to the centre of the pixel
        to_a, to_b = plane + 0.5, b - half_b + 0.5
        u_a, u_b, t_a, t_b = tl.load(f + 16), tl.load(f + 17), tl.load(f + 24), tl.load(f + 25)
        depth = tl.load(f + 23) + t_a * to_a + t_b * to_b
        centre = (tl.load(f + 15) + u_a * to_a + u_b * to_b) / depth
        low, high = shadow_bounds(centre, depth, t_a, t_b, u_a, u_b, 0.5)
        column, last = clipped(low, high, C)
        columns = tl.max(tl.where(real, last - column + 1, 0))
        main_0, main_c, side_0, side_c = (
            tl.load(f), tl.load(f + 1), tl.load(f + 3), tl.load(f + 4)
        )  # fmt: skip
        moment_0, moment_c = tl.load(f + 9), tl.load(f + 10)
        for _ in range(columns):
            at = column.to(FLOAT) - (C - 1) * 0.5
            main = affine(main_0, main_c, 0.0, at, 0.0)
            side = affine(side_0, side_c, 0.0, at, 0.0)
            active = real & (column <= last) & wins(main, side, axis == 0)
            inverse = 1.0 / tl.where(active, main, 1.0)
            slope = side * inverse
            moment = affine(moment_0, moment_c, 0.0, at, 0.0)
            start = lower_end(slope, tl.fma(moment, inverse, half_b))
            first, share = split(height(plane, slope, start), inverse_rise(slope))
            weight = tl.where(b == first, share, tl.where(b == first + 1.0, 1.0 - share, 0.0))
            weight = tl.where(active, weight, 0.0)
            ray = (view.to(OFFSET) * C + column) * B
            hit = (weight > 0.0)[:, None] & in_batch
            value = tl.load(y + ray[:, None] + batch[None, :], mask=hit, other=0.0)
            total = tl.fma(weight[:, None], value, total)
            column += 1
    pixel = (i.to(OFFSET) * J + j) * B
    tl.store(x + pixel[:, None] + batch[None, :], total, mask=real[:, None] & in_batch)
