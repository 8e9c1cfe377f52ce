"""Device functions that the projection kernels share, so that both directions round alike.

Fused products are written out and the compiler's own fusing is switched off at launch: a weight
then has the same bits in the projection and in the back-projection.

Images are stored as (groups, *shape, WIDTH), WIDTH of a group's images side by side. A program
treats a tile (GROUPS, rays or voxels, WIDTH); threads run along rays and within a group, so that
one thread uses an index and a weight for all of GROUPS * WIDTH images but a few neighbours'.
"""

import triton
import triton.language as tl


@triton.jit
def affine(start, per_column, per_row, column, row):
    """Value at (column, row) of an affine function on the detector."""
    return tl.fma(row, per_row, tl.fma(column, per_column, start))


@triton.jit
def wins(main, other, axis, later):
    """Whether a ray runs along the main axis rather than the other; ties go to the earlier axis.

    Args:
        main: Direction along the main axis.
        other: Direction along the other axis.
        axis: Number of the main axis.
        later: The other axis comes later if ``axis`` is below this.
    """
    size, against = tl.abs(main), tl.abs(other)
    return tl.where(axis < later, size >= against, size > against)


@triton.jit
def height(plane, slope, intercept):
    """Where a ray crosses a plane of its main axis, along a cross axis."""
    return tl.fma(plane, slope, intercept)


@triton.jit
def within(index, size):
    """Whether 0 <= index < size, in one unsigned comparison."""
    return index.to(tl.uint32, bitcast=True) < tl.cast(size, tl.uint32)


@triton.jit
def span(slope, intercept, size):
    """First and last plane, from the centre, between which a ray may touch the grid."""
    # bounds a little too wide also cover a slope too small to divide by
    steep = tl.where(tl.abs(slope) < 1e-6, 1e-6, slope)
    enters, leaves = (-1.01 - intercept) / steep, (size + 0.01 - intercept) / steep
    return tl.minimum(enters, leaves), tl.maximum(enters, leaves)


@triton.jit
def common_range(low, high, middle, touched):
    """Numbers of the planes that any ray of the tile touches."""
    first = tl.min(tl.where(touched, tl.floor(low + middle), 1073741824.0)).to(tl.int32)
    last = tl.max(tl.where(touched, tl.ceil(high + middle), -1.0)).to(tl.int32)
    return first, last


@triton.jit
def shadow_bounds(at, per_depth, wide):
    """Interval of the detector that a neighbourhood projects to, never too narrow.

    The shadow (U + dU) / (T + dT) of a shifted point lies dU - (U / T) dT over T + dT from U / T.

    Args:
        at: U / T, the shadow of the centre.
        per_depth: One over the least T + dT.
        wide: The greatest dU - (U / T) dT.
    """
    # the margin is far above rounding, and costs little
    wide = wide * per_depth * 1.001 + 0.01
    return at - wide, at + wide


@triton.jit
def clipped(low, high, size):
    """Whole numbers of an interval that lie within 0, ..., size - 1, as first and last."""
    first = tl.ceil(tl.minimum(tl.maximum(low, 0.0), size)).to(tl.int32)
    last = tl.floor(tl.minimum(tl.maximum(high, -1.0), size - 1)).to(tl.int32)
    return first, last


@triton.jit
def direction(line, column, row):
    """Direction along x, y and z of the ray at (column, row), from nine coefficients."""
    x = affine(tl.load(line), tl.load(line + 1), tl.load(line + 2), column, row)
    y = affine(tl.load(line + 3), tl.load(line + 4), tl.load(line + 5), column, row)
    z = affine(tl.load(line + 6), tl.load(line + 7), tl.load(line + 8), column, row)
    return x, y, z


@triton.jit
def multiply_by_lengths(
    y, out, directions, count, V, R, C,
    WIDTH: tl.constexpr, OFFSET: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Multiply (groups, V, R, C, WIDTH) by the mm of a ray between two planes of its main axis."""
    FLOAT: tl.constexpr = directions.dtype.element_ty
    element = tl.program_id(0).to(OFFSET) * BLOCK + tl.arange(0, BLOCK)
    inside = element < count
    ray = tl.where(inside, element, 0) // WIDTH
    column = (ray % C).to(FLOAT) - (C - 1) * 0.5
    row = (ray // C % R).to(FLOAT) - (R - 1) * 0.5
    view = directions + (ray // C // R % V) * 18
    x, y_, z = direction(view, column, row)
    main = tl.maximum(tl.maximum(tl.abs(x), tl.abs(y_)), tl.abs(z))
    x, y_, z = direction(view + 9, column, row)
    length = tl.sqrt(tl.fma(x, x, tl.fma(y_, y_, z * z)))
    value = tl.load(y + element, mask=inside, other=0.0)
    tl.store(out + element, value * (length / main), mask=inside)
