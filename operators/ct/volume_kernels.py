"""Kernels of the ray-driven projector of Joseph (1982) in three dimensions and its transpose."""

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
def hat(position, index):
    """Weight of linear interpolation at a position for the sample at an index."""
    return tl.maximum(1.0 - tl.abs(position - index), 0.0)


@triton.jit
def project_volume(
    x, y, values, views, axes, frames, groups, V, K, I, J, R, C,
    OFFSET: tl.constexpr, WIDTH: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_V: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Sum over the planes that each ray crosses, into y (groups, V, R, C, WIDTH).

    The volumes x come twice, as (2, groups, K, I, J, WIDTH), the second time with rows and columns
    exchanged: neighbouring rays then always read neighbouring values.
    """
    FLOAT: tl.constexpr = values.dtype.element_ty
    lane = tl.arange(0, BLOCK_V * BLOCK_R * BLOCK_C)
    tiles = tl.cdiv(C, BLOCK_C)
    column = tl.program_id(0) % tiles * BLOCK_C + lane % BLOCK_C
    row = tl.program_id(0) // tiles * BLOCK_R + lane // BLOCK_C % BLOCK_R
    frame = tl.program_id(1) * BLOCK_V + lane // (BLOCK_C * BLOCK_R)
    active = (column < C) & (row < R) & (frame < frames)
    frame = tl.minimum(frame, frames - 1)
    axis, view = tl.load(axes + frame), tl.load(views + frame)

    f, c, r = values + frame * 27, column.to(FLOAT) - (C - 1) * 0.5, row.to(FLOAT) - (R - 1) * 0.5
    main = affine(tl.load(f), tl.load(f + 1), tl.load(f + 2), c, r)
    side_b = affine(tl.load(f + 3), tl.load(f + 4), tl.load(f + 5), c, r)
    side_c = affine(tl.load(f + 6), tl.load(f + 7), tl.load(f + 8), c, r)
    moment_b = affine(tl.load(f + 9), tl.load(f + 10), tl.load(f + 11), c, r)
    moment_c = affine(tl.load(f + 12), tl.load(f + 13), tl.load(f + 14), c, r)
    # every ray is written by the one frame whose axis is its main axis
    active &= wins(main, side_b, axis, 1) & wins(main, side_c, axis, 2)

    size_a = tl.where(axis == 0, J, tl.where(axis == 1, I, K))
    size_b, size_c = tl.where(axis == 0, I, J), tl.where(axis == 2, I, K)
    middle = (size_a - 1).to(FLOAT) * 0.5
    inverse = 1.0 / tl.where(active, main, 1.0)
    slope_b, slope_c = side_b * inverse, side_c * inverse
    start_b = tl.fma(moment_b, inverse, (size_b - 1).to(FLOAT) * 0.5)
    start_c = tl.fma(moment_c, inverse, (size_c - 1).to(FLOAT) * 0.5)
    low_b, high_b = span(slope_b, start_b, size_b)
    low_c, high_c = span(slope_c, start_c, size_c)
    low = tl.maximum(tl.maximum(low_b, low_c), -middle)
    high = tl.minimum(tl.minimum(high_b, high_c), middle)
    touched = active & (low <= high)
    begin, end = common_range(low, high, middle, touched)
    start_b = tl.where(touched, start_b, -1e6)  # below every voxel

    # along b the step is one voxel: y (exchanged copy) for axis x, and x for axes y and z
    step_a = tl.where(axis == 0, I, tl.where(axis == 1, J, I * J)).to(OFFSET)
    step_c = tl.where(axis == 2, J, I * J).to(OFFSET)
    group = tl.program_id(2) * GROUPS + tl.arange(0, GROUPS)
    some = (group < groups)[:, None, None]
    volume = x + (group.to(OFFSET) * K * I * J * WIDTH)[:, None, None]
    volume += tl.arange(0, WIDTH)[None, None, :]
    offset = tl.where(axis == 0, groups, 0).to(OFFSET) * K * I * J + begin * step_a
    total = tl.zeros((GROUPS, BLOCK_V * BLOCK_R * BLOCK_C, WIDTH), dtype=FLOAT)
    plane = begin.to(FLOAT) - middle
    for n in range(begin, end + 1):
        at_b, at_c = height(plane, slope_b, start_b), height(plane, slope_c, start_c)
        below_b, below_c = tl.floor(at_b), tl.floor(at_c)
        b, c_ = below_b.to(tl.int32), below_c.to(tl.int32)
        b0, b1 = within(b, size_b), within(b + 1, size_b)
        c0, c1 = within(c_, size_c), within(c_ + 1, size_c)
        if BLOCK_V > 1:  # a tile may mix axes, of different lengths
            b0 &= n < size_a
            b1 &= n < size_a
        voxel = volume + ((offset + b + c_ * step_c) * WIDTH)[None, :, None]
        above = voxel + (step_c * WIDTH)[None, :, None]
        x00 = tl.load(voxel, mask=(b0 & c0)[None, :, None] & some, other=0.0)
        x10 = tl.load(voxel + WIDTH, mask=(b1 & c0)[None, :, None] & some, other=0.0)
        x01 = tl.load(above, mask=(b0 & c1)[None, :, None] & some, other=0.0)
        x11 = tl.load(above + WIDTH, mask=(b1 & c1)[None, :, None] & some, other=0.0)
        weight_b0, weight_b1 = hat(at_b, below_b), hat(at_b, below_b + 1.0)
        weight_c0, weight_c1 = hat(at_c, below_c), hat(at_c, below_c + 1.0)
        total = tl.fma((weight_b0 * weight_c0)[None, :, None], x00, total)
        total = tl.fma((weight_b1 * weight_c0)[None, :, None], x10, total)
        total = tl.fma((weight_b0 * weight_c1)[None, :, None], x01, total)
        total = tl.fma((weight_b1 * weight_c1)[None, :, None], x11, total)
        plane += 1.0
        offset += step_a
    ray = (group.to(OFFSET) * V)[:, None] + view[None, :]
    ray = ((ray * R + row[None, :]) * C + column[None, :]) * WIDTH
    out = y + ray[:, :, None] + tl.arange(0, WIDTH)[None, None, :]
    tl.store(out, total, mask=active[None, :, None] & some)


@triton.jit
def backproject_volume(
    y, x, values, views, axes, frames, groups, V, K, I, J, R, C,
    ALIGNED: tl.constexpr, OFFSET: tl.constexpr, WIDTH: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr,
):  # fmt: skip
    """Sum y over the rays that touch each voxel, into x (groups, K, I, J, WIDTH).

    The tile is (GROUPS, slices, pixels of a slice, WIDTH). In an aligned scan a detector column
    looks the same from every slice, so that what depends on it is worked out per pixel only.
    """
    FLOAT: tl.constexpr = values.dtype.element_ty
    lane = tl.arange(0, BLOCK_I * BLOCK_J)
    across, down = tl.cdiv(J, BLOCK_J), tl.cdiv(I, BLOCK_I)
    j = (tl.program_id(0) % across * BLOCK_J + lane % BLOCK_J)[None, :]
    i = (tl.program_id(0) // across % down * BLOCK_I + lane // BLOCK_J)[None, :]
    k = (tl.program_id(0) // across // down * BLOCK_K + tl.arange(0, BLOCK_K))[:, None]
    real = (i < I) & (j < J)
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    some = (group < groups)[:, None, None, None]
    scan = y + (group.to(OFFSET) * V * R * C * WIDTH)[:, None, None, None]
    scan += tl.arange(0, WIDTH)[None, None, None, :]
    total = tl.zeros((GROUPS, BLOCK_K, BLOCK_I * BLOCK_J, WIDTH), dtype=FLOAT)
    for frame in range(frames):
        f, axis, view = values + frame * 27, tl.load(axes + frame), tl.load(views + frame)
        if ALIGNED:
            a, b, c = tl.where(axis == 0, j, i), tl.where(axis == 0, i, j), k
        else:
            a = tl.where(axis == 0, j, tl.where(axis == 1, i, k))
            b, c = tl.where(axis == 0, i, j), tl.where(axis == 2, i, k)
        a, b, c = a.to(FLOAT), b.to(FLOAT), c.to(FLOAT)
        size_a = tl.where(axis == 0, J, tl.where(axis == 1, I, K))
        size_b, size_c = tl.where(axis == 0, I, J), tl.where(axis == 2, I, K)
        plane = a - (size_a - 1).to(FLOAT) * 0.5
        middle_b, middle_c = (size_b - 1).to(FLOAT) * 0.5, (size_c - 1).to(FLOAT) * 0.5
        to_b, to_c = b - middle_b, c - middle_c

        u_b, u_c, v_b, v_c = tl.load(f + 17), tl.load(f + 18), tl.load(f + 21), tl.load(f + 22)
        t_b, t_c = tl.load(f + 25), tl.load(f + 26)
        depth = tl.load(f + 23) + tl.load(f + 24) * plane + t_b * to_b
        u = tl.load(f + 15) + tl.load(f + 16) * plane + u_b * to_b
        v = tl.load(f + 19) + tl.load(f + 20) * plane + v_b * to_b + v_c * to_c
        if not ALIGNED:
            depth += t_c * to_c
            u += u_c * to_c
        inverse_depth = 1.0 / depth
        per_depth = 1.0 / (depth - tl.abs(t_b) - tl.abs(t_c))
        u, v = u * inverse_depth, v * inverse_depth
        wide = tl.abs(u_b - u * t_b) + tl.abs(u_c - u * t_c)
        low, high = shadow_bounds(u, per_depth, wide)
        column, last_column = clipped(low, high, C)
        wide = tl.abs(v_b - v * t_b) + tl.abs(v_c - v * t_c)
        low, high = shadow_bounds(v, per_depth, wide)
        first_row, last_row = clipped(low, high, R)
        columns = tl.max(tl.where(real, last_column - column + 1, 0))
        rows = tl.max(tl.where(real & (k < K), last_row - first_row + 1, 0))

        main_0, main_c, main_r = tl.load(f), tl.load(f + 1), tl.load(f + 2)
        b_0, b_c, b_r = tl.load(f + 3), tl.load(f + 4), tl.load(f + 5)
        c_0, c_c, c_r = tl.load(f + 6), tl.load(f + 7), tl.load(f + 8)
        qb_0, qb_c, qb_r = tl.load(f + 9), tl.load(f + 10), tl.load(f + 11)
        qc_0, qc_c, qc_r = tl.load(f + 12), tl.load(f + 13), tl.load(f + 14)
        at = column.to(FLOAT) - (C - 1) * 0.5
        first_r = first_row.to(FLOAT) - (R - 1) * 0.5
        first_ray = ((view.to(OFFSET) * R + first_row) * C + column) * WIDTH
        for _column in range(columns):
            in_columns = real & (column <= last_column)
            if ALIGNED:
                # D_a, D_b and Q_b are the same along a detector column, and z never wins
                main = affine(main_0, main_c, main_r, at, 0.0)
                side_b = affine(b_0, b_c, b_r, at, 0.0)
                active = in_columns & wins(main, side_b, axis, 1)
                inverse = 1.0 / tl.where(active, main, 1.0)
                start_b = tl.fma(affine(qb_0, qb_c, qb_r, at, 0.0), inverse, middle_b)
                weight_b = hat(height(plane, side_b * inverse, start_b), b)
                weight_b = tl.where(active, weight_b, 0.0)
            row, r, ray = first_row, first_r, first_ray
            for _row in range(rows):
                side_c = affine(c_0, c_c, c_r, at, r)
                if not ALIGNED:
                    main = affine(main_0, main_c, main_r, at, r)
                    side_b = affine(b_0, b_c, b_r, at, r)
                    active = in_columns & wins(main, side_b, axis, 1)
                    active &= wins(main, side_c, axis, 2)
                    inverse = 1.0 / tl.where(active, main, 1.0)
                    start_b = tl.fma(affine(qb_0, qb_c, qb_r, at, r), inverse, middle_b)
                    weight_b = hat(height(plane, side_b * inverse, start_b), b)
                    weight_b = tl.where(active, weight_b, 0.0)
                start_c = tl.fma(affine(qc_0, qc_c, qc_r, at, r), inverse, middle_c)
                weight = weight_b * hat(height(plane, side_c * inverse, start_c), c)
                hit = ((row <= last_row) & (weight > 0.0))[None, :, :, None] & some
                value = tl.load(scan + ray[None, :, :, None], mask=hit, other=0.0)
                total = tl.fma(weight[None, :, :, None], value, total)
                row += 1
                r += 1.0
                ray += C * WIDTH
            column += 1
            at += 1.0
            first_ray += WIDTH
    voxel = ((group.to(OFFSET) * K)[:, None, None] + k[None, :, :]) * I + i[None, :, :]
    voxel = (voxel * J + j[None, :, :]) * WIDTH
    out = x + voxel[:, :, :, None] + tl.arange(0, WIDTH)[None, None, None, :]
    tl.store(out, total, mask=(real & (k < K))[None, :, :, None] & some)
