"""Kernels of exact intersection lengths in two dimensions, and their transpose."""

import triton
import triton.language as tl

from operators.ct.ray_kernels import (
    affine,
    clipped,
    common_range,
    height,
    shadow_bounds,
    span,
    wins,
    within,
)


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
    x, y, values, views, axes, frames, groups, V, I, J, C,
    OFFSET: tl.constexpr, WIDTH: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_V: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Sum the pixels that each ray crosses, into y (groups, V, C, WIDTH).

    The images x come twice, as (2, groups, I, J, WIDTH), the second time with rows and columns
    exchanged: neighbouring rays then always read neighbouring values.
    """
    FLOAT: tl.constexpr = values.dtype.element_ty
    lane = tl.arange(0, BLOCK_V * BLOCK_C)
    column = tl.program_id(0) * BLOCK_C + lane % BLOCK_C
    frame = tl.program_id(1) * BLOCK_V + lane // BLOCK_C
    active = (column < C) & (frame < frames)
    frame = tl.minimum(frame, frames - 1)
    axis, view = tl.load(axes + frame), tl.load(views + frame)

    f, at = values + frame * 27, column.to(FLOAT) - (C - 1) * 0.5
    main = affine(tl.load(f), tl.load(f + 1), 0.0, at, 0.0)
    side = affine(tl.load(f + 3), tl.load(f + 4), 0.0, at, 0.0)
    moment = affine(tl.load(f + 9), tl.load(f + 10), 0.0, at, 0.0)
    # every ray is written by the one frame whose axis is its main axis
    active &= wins(main, side, axis, 1)

    size_a, size_b = tl.where(axis == 0, J, I), tl.where(axis == 0, I, J)
    middle = size_a.to(FLOAT) * 0.5
    inverse = 1.0 / tl.where(active, main, 1.0)
    slope = side * inverse
    start = lower_end(slope, tl.fma(moment, inverse, size_b.to(FLOAT) * 0.5))
    per_rise = inverse_rise(slope)
    low, high = span(slope, start, size_b)
    low, high = tl.maximum(low, -middle), tl.minimum(high, middle - 1.0)
    touched = active & (low <= high)
    begin, end = common_range(low, high, middle, touched)
    start = tl.where(touched, start, -1e6)  # below every pixel

    group = tl.program_id(2) * GROUPS + tl.arange(0, GROUPS)
    some = (group < groups)[:, None, None]
    image = x + (group.to(OFFSET) * I * J * WIDTH)[:, None, None]
    image += tl.arange(0, WIDTH)[None, None, :]
    copy = tl.where(axis == 0, groups, 0).to(OFFSET) * I * J
    total = tl.zeros((GROUPS, BLOCK_V * BLOCK_C, WIDTH), dtype=FLOAT)
    plane = begin.to(FLOAT) - middle
    offset = copy + begin * size_b
    for n in range(begin, end + 1):
        first, share = split(height(plane, slope, start), per_rise)
        b = first.to(tl.int32)
        lower, upper = within(b, size_b), within(b + 1, size_b)
        if BLOCK_V > 1:  # a tile may mix axes, of different lengths
            lower &= n < size_a
            upper &= n < size_a
        pixel = image + ((offset + b) * WIDTH)[None, :, None]
        x0 = tl.load(pixel, mask=lower[None, :, None] & some, other=0.0)
        x1 = tl.load(pixel + WIDTH, mask=upper[None, :, None] & some, other=0.0)
        total = tl.fma(share[None, :, None], x0, total)
        total = tl.fma((1.0 - share)[None, :, None], x1, total)
        plane += 1.0
        offset += size_b
    ray = (group.to(OFFSET) * V)[:, None] + view[None, :]
    ray = (ray * C + column[None, :]) * WIDTH
    out = y + ray[:, :, None] + tl.arange(0, WIDTH)[None, None, :]
    tl.store(out, total, mask=active[None, :, None] & some)


@triton.jit
def backproject_plane(
    y, x, values, views, axes, frames, groups, V, I, J, C,
    OFFSET: tl.constexpr, WIDTH: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr,
):  # fmt: skip
    """Sum y (groups, V, C, WIDTH) over the rays that cross a pixel, into (groups, I, J, WIDTH)."""
    FLOAT: tl.constexpr = values.dtype.element_ty
    lane = tl.arange(0, BLOCK_I * BLOCK_J)
    across = tl.cdiv(J, BLOCK_J)
    j = tl.program_id(0) % across * BLOCK_J + lane % BLOCK_J
    i = tl.program_id(0) // across * BLOCK_I + lane // BLOCK_J
    real = (i < I) & (j < J)
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    some = (group < groups)[:, None, None]
    sinogram = y + (group.to(OFFSET) * V * C * WIDTH)[:, None, None]
    sinogram += tl.arange(0, WIDTH)[None, None, :]
    total = tl.zeros((GROUPS, BLOCK_I * BLOCK_J, WIDTH), dtype=FLOAT)
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
        per_depth = 1.0 / (depth - 0.5 * (tl.abs(t_a) + tl.abs(t_b)))
        wide = 0.5 * (tl.abs(u_a - centre * t_a) + tl.abs(u_b - centre * t_b))
        low, high = shadow_bounds(centre, per_depth, wide)
        column, last = clipped(low, high, C)
        columns = tl.max(tl.where(real, last - column + 1, 0))
        main_0, main_c = tl.load(f), tl.load(f + 1)
        side_0, side_c = tl.load(f + 3), tl.load(f + 4)
        moment_0, moment_c = tl.load(f + 9), tl.load(f + 10)
        at = column.to(FLOAT) - (C - 1) * 0.5
        ray = (view.to(OFFSET) * C + column) * WIDTH
        for _ in range(columns):
            main = affine(main_0, main_c, 0.0, at, 0.0)
            side = affine(side_0, side_c, 0.0, at, 0.0)
            active = real & (column <= last) & wins(main, side, axis, 1)
            inverse = 1.0 / tl.where(active, main, 1.0)
            slope = side * inverse
            moment = affine(moment_0, moment_c, 0.0, at, 0.0)
            start = lower_end(slope, tl.fma(moment, inverse, half_b))
            first, share = split(height(plane, slope, start), inverse_rise(slope))
            weight = tl.where(b == first, share, tl.where(b == first + 1.0, 1.0 - share, 0.0))
            hit = (active & (weight > 0.0))[None, :, None] & some
            value = tl.load(sinogram + ray[None, :, None], mask=hit, other=0.0)
            total = tl.fma(weight[None, :, None], value, total)
            column += 1
            at += 1.0
            ray += WIDTH
    pixel = ((group.to(OFFSET) * I)[:, None] + i[None, :]) * J + j[None, :]
    out = x + (pixel * WIDTH)[:, :, None] + tl.arange(0, WIDTH)[None, None, :]
    tl.store(out, total, mask=real[None, :, None] & some)
