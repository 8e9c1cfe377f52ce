"""Kernels of the ray-driven projector of Joseph (1982) in three dimensions and its transpose."""

import triton
import triton.language as tl

from operators.ct.ray_kernels import affine, height, wins


@triton.jit
def hat(position, index):
    """Weight of linear interpolation at a position for the sample at an index."""
    return tl.maximum(1.0 - tl.abs(position - index), 0.0)


@triton.jit
def span(slope, intercept, size):
    """First and last plane, from the centre, between which a ray may touch the volume."""
    # bounds a little too wide also cover a slope too small to divide by
    steep = tl.where(tl.abs(slope) < 1e-6, 1e-6, slope)
    enters, leaves = (-1.01 - intercept) / steep, (size + 0.01 - intercept) / steep
    return tl.minimum(enters, leaves), tl.maximum(enters, leaves)


@triton.jit
def project_volume(
    x, y, values, views, axes, frames, K, I, J, R, C, B,
    TRANSPOSED: tl.constexpr, OFFSET: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_B: tl.constexpr,
):  # fmt: skip
    """Sum x of shape (K, I, J, B) over the planes that each ray crosses, into y (V, R, C, B)."""
    FLOAT: tl.constexpr = values.dtype.element_ty
    lane = tl.arange(0, BLOCK_V * BLOCK_R * BLOCK_C)
    tiles = tl.cdiv(C, BLOCK_C)
    column = tl.program_id(0) % tiles * BLOCK_C + lane % BLOCK_C
    row = tl.program_id(0) // tiles * BLOCK_R + lane // BLOCK_C % BLOCK_R
    frame = tl.program_id(1) * BLOCK_V + lane // (BLOCK_C * BLOCK_R)
    active = (column < C) & (row < R) & (frame < frames)
    frame = tl.minimum(frame, frames - 1)
    batch = tl.program_id(2) * BLOCK_B + tl.arange(0, BLOCK_B)
    axis, view = tl.load(axes + frame), tl.load(views + frame)

    f, c, r = values + frame * 27, column.to(FLOAT) - (C - 1) * 0.5, row.to(FLOAT) - (R - 1) * 0.5
    main = affine(tl.load(f), tl.load(f + 1), tl.load(f + 2), c, r)
    side_b = affine(tl.load(f + 3), tl.load(f + 4), tl.load(f + 5), c, r)
    side_c = affine(tl.load(f + 6), tl.load(f + 7), tl.load(f + 8), c, r)
    moment_b = affine(tl.load(f + 9), tl.load(f + 10), tl.load(f + 11), c, r)
    moment_c = affine(tl.load(f + 12), tl.load(f + 13), tl.load(f + 14), c, r)
    # every ray is written by the one frame whose axis is its main axis
    active &= wins(main, side_b, axis == 0) & wins(main, side_c, axis < 2)

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
    first = tl.min(tl.where(touched, tl.floor(low + middle), 1073741824.0)).to(tl.int32)
    last = tl.max(tl.where(touched, tl.ceil(high + middle), -1.0)).to(tl.int32)

    # a second copy of x with rows and columns exchanged keeps neighbouring rays on one line
    flipped = TRANSPOSED & (axis == 0)
    step_a = tl.where(axis == 0, tl.where(flipped, I, 1), tl.where(axis == 1, J, I * J)).to(OFFSET)
    step_b = tl.where(axis == 0, tl.where(flipped, 1, J), 1).to(OFFSET)
    step_c = tl.where(axis == 2, J, I * J).to(OFFSET)
    base = tl.where(flipped, K, 0).to(OFFSET) * I * J
    in_batch = (batch < B)[None, :]
    total = tl.zeros((BLOCK_V * BLOCK_R * BLOCK_C, BLOCK_B), dtype=FLOAT)
    plane = first.to(FLOAT) - middle
    for n in range(first, last + 1):
        at_b, at_c = height(plane, slope_b, start_b), height(plane, slope_c, start_c)
        below_b, below_c = tl.floor(at_b), tl.floor(at_c)
        b, c_ = below_b.to(tl.int32), below_c.to(tl.int32)
        inside = touched & (n < size_a)
        b0, b1 = inside & (b >= 0) & (b < size_b), inside & (b >= -1) & (b < size_b - 1)
        c0, c1 = (c_ >= 0) & (c_ < size_c), (c_ >= -1) & (c_ < size_c - 1)
        voxel = x + ((base + n * step_a + b * step_b + c_ * step_c) * B)[:, None] + batch[None, :]
        next_b, next_c = (step_b * B)[:, None], (step_c * B)[:, None]
        x00 = tl.load(voxel, mask=(b0 & c0)[:, None] & in_batch, other=0.0)
        x01 = tl.load(voxel + next_c, mask=(b0 & c1)[:, None] & in_batch, other=0.0)
        x10 = tl.load(voxel + next_b, mask=(b1 & c0)[:, None] & in_batch, other=0.0)
        x11 = tl.load(voxel + next_b + next_c, mask=(b1 & c1)[:, None] & in_batch, other=0.0)
        weight_b0, weight_b1 = hat(at_b, below_b), hat(at_b, below_b + 1.0)
        weight_c0, weight_c1 = hat(at_c, below_c), hat(at_c, below_c + 1.0)
        total = tl.fma((weight_b0 * weight_c0)[:, None], x00, total)
        total = tl.fma((weight_b0 * weight_c1)[:, None], x01, total)
        total = tl.fma((weight_b1 * weight_c0)[:, None], x10, total)
        total = tl.fma((weight_b1 * weight_c1)[:, None], x11, total)
        plane += 1.0
    ray = (view.to(OFFSET) * R + row) * C + column
    tl.store(y + (ray * B)[:, None] + batch[None, :], total, mask=active[:, None] & in_batch)


@triton.jit
def shadow_bounds(at, depth, depth_b, depth_c, across_b, across_c, REACH: tl.constexpr):
    """Interval of the detector that a voxel's neighbourhood projects to, never too narrow.

    The shadow (U + dU) / (T + dT) of a shifted point lies dU - (U / T) dT over T + dT from U / T.
    """
    nearest = depth - REACH * (tl.abs(depth_b) + tl.abs(depth_c))
    wide = REACH * (tl.abs(across_b - at * depth_b) + tl.abs(across_c - at * depth_c)) / nearest
    # the margin is far above rounding, and costs little
    wide = wide * 1.001 + 0.01
    return at - wide, at + wide


@triton.jit
def clipped(low, high, size):
    """Whole numbers of an interval that lie within 0, ..., size - 1."""
    low = tl.ceil(tl.minimum(tl.maximum(low, 0.0), size)).to(tl.int32)
    high = tl.floor(tl.minimum(tl.maximum(high, -1.0), size - 1)).to(tl.int32)
    return low, high


@triton.jit
def backproject_volume(
    y, x, values, views, axes, frames, K, I, J, R, C, B,
    ALIGNED: tl.constexpr, OFFSET: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_I: tl.constexpr,
    BLOCK_J: tl.constexpr, BLOCK_B: tl.constexpr,
):  # fmt: skip
    """Sum y of shape (V, R, C, B) over the rays that touch each voxel, into x (K, I, J, B)."""
    FLOAT: tl.constexpr = values.dtype.element_ty
    lane = tl.arange(0, BLOCK_K * BLOCK_I * BLOCK_J)
    across, down = tl.cdiv(J, BLOCK_J), tl.cdiv(I, BLOCK_I)
    j = tl.program_id(0) % across * BLOCK_J + lane % BLOCK_J
    i = tl.program_id(0) // across % down * BLOCK_I + lane // BLOCK_J % BLOCK_I
    k = tl.program_id(0) // across // down * BLOCK_K + lane // (BLOCK_J * BLOCK_I)
    real = (k < K) & (i < I) & (j < J)
    batch = tl.program_id(1) * BLOCK_B + tl.arange(0, BLOCK_B)
    in_batch = (batch < B)[None, :]
    total = tl.zeros((BLOCK_K * BLOCK_I * BLOCK_J, BLOCK_B), dtype=FLOAT)
    for frame in range(frames):
        f, axis, view = values + frame * 27, tl.load(axes + frame), tl.load(views + frame)
        a = tl.where(axis == 0, j, tl.where(axis == 1, i, k)).to(FLOAT)
        b, c = tl.where(axis == 0, i, j).to(FLOAT), tl.where(axis == 2, i, k).to(FLOAT)
        size_a = tl.where(axis == 0, J, tl.where(axis == 1, I, K))
        size_b, size_c = tl.where(axis == 0, I, J), tl.where(axis == 2, I, K)
        plane = a - (size_a - 1).to(FLOAT) * 0.5
        middle_b, middle_c = (size_b - 1).to(FLOAT) * 0.5, (size_c - 1).to(FLOAT) * 0.5

        u_b, u_c, t_b, t_c = tl.load(f + 17), tl.load(f + 18), tl.load(f + 25), tl.load(f + 26)
        v_b, v_c = tl.load(f + 21), tl.load(f + 22)
        depth = tl.load(f + 23) + tl.load(f + 24) * plane + t_b * (b - middle_b)
        depth += t_c * (c - middle_c)
        u = tl.load(f + 15) + tl.load(f + 16) * plane + u_b * (b - middle_b) + u_c * (c - middle_c)
        v = tl.load(f + 19) + tl.load(f + 20) * plane + v_b * (b - middle_b) + v_c * (c - middle_c)
        low, high = shadow_bounds(u / depth, depth, t_b, t_c, u_b, u_c, 1.0)
        first_column, last_column = clipped(low, high, C)
        low, high = shadow_bounds(v / depth, depth, t_b, t_c, v_b, v_c, 1.0)
        first_row, last_row = clipped(low, high, R)
        some = real & (first_column <= last_column) & (first_row <= last_row)
        columns = tl.max(tl.where(some, last_column - first_column + 1, 0))
        rows = tl.max(tl.where(some, last_row - first_row + 1, 0))

        main_0, main_c, main_r = tl.load(f), tl.load(f + 1), tl.load(f + 2)
        b_0, b_c, b_r = tl.load(f + 3), tl.load(f + 4), tl.load(f + 5)
        c_0, c_c, c_r = tl.load(f + 6), tl.load(f + 7), tl.load(f + 8)
        qb_0, qb_c, qb_r = tl.load(f + 9), tl.load(f + 10), tl.load(f + 11)
        qc_0, qc_c, qc_r = tl.load(f + 12), tl.load(f + 13), tl.load(f + 14)
        column = first_column
        for _ in range(columns):
            at = column.to(FLOAT) - (C - 1) * 0.5
            in_columns = some & (column <= last_column)
            if ALIGNED:
                # D_a, D_b and Q_b are the same along a detector column, and z never wins
                main = affine(main_0, main_c, main_r, at, 0.0)
                side_b = affine(b_0, b_c, b_r, at, 0.0)
                active = in_columns & wins(main, side_b, axis == 0)
                inverse = 1.0 / tl.where(active, main, 1.0)
                start_b = tl.fma(affine(qb_0, qb_c, qb_r, at, 0.0), inverse, middle_b)
                weight_b = hat(height(plane, side_b * inverse, start_b), b)
            row = first_row
            for _ in range(rows):
                r = row.to(FLOAT) - (R - 1) * 0.5
                side_c = affine(c_0, c_c, c_r, at, r)
                if not ALIGNED:
                    main = affine(main_0, main_c, main_r, at, r)
                    side_b = affine(b_0, b_c, b_r, at, r)
                    active = in_columns & wins(main, side_b, axis == 0)
                    active &= wins(main, side_c, axis < 2)
                    inverse = 1.0 / tl.where(active, main, 1.0)
                    start_b = tl.fma(affine(qb_0, qb_c, qb_r, at, r), inverse, middle_b)
                    weight_b = hat(height(plane, side_b * inverse, start_b), b)
                start_c = tl.fma(affine(qc_0, qc_c, qc_r, at, r), inverse, middle_c)
                weight = weight_b * hat(height(plane, side_c * inverse, start_c), c)
                weight = tl.where(active & (row <= last_row), weight, 0.0)
                ray = ((view.to(OFFSET) * R + row) * C + column) * B
                hit = (weight > 0.0)[:, None] & in_batch
                value = tl.load(y + ray[:, None] + batch[None, :], mask=hit, other=0.0)
                total = tl.fma(weight[:, None], value, total)
                row += 1
            column += 1
    voxel = ((k.to(OFFSET) * I + i) * J + j) * B
    tl.store(x + voxel[:, None] + batch[None, :], total, mask=real[:, None] & in_batch)
