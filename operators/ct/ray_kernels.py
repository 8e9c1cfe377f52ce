"""Device functions that the projection kernels share, so that both directions round alike.

Fused products are written out and the compiler's own fusing is switched off at launch: a weight
then has the same bits in the projection and in the back-projection.
"""

import triton
import triton.language as tl


@triton.jit
def affine(start, per_column, per_row, column, row):
    """Value at (column, row) of an affine function on the detector."""
    return tl.fma(row, per_row, tl.fma(column, per_column, start))


@triton.jit
def wins(main, other, preferred):
    """Whether a ray runs along the main axis rather than the other; ties go to the preferred."""
    size, against = tl.abs(main), tl.abs(other)
    return (size > against) | ((size == against) & preferred)


@triton.jit
def height(plane, slope, intercept):
    """Where a ray crosses a plane of its main axis, along a cross axis."""
    return tl.fma(plane, slope, intercept)


@triton.jit
def direction(line, column, row):
    """Direction along x, y and z of the ray at (column, row), from nine coefficients."""
    x = affine(tl.load(line), tl.load(line + 1), tl.load(line + 2), column, row)
    y = affine(tl.load(line + 3), tl.load(line + 4), tl.load(line + 5), column, row)
    z = affine(tl.load(line + 6), tl.load(line + 7), tl.load(line + 8), column, row)
    return x, y, z


@triton.jit
def multiply_by_lengths(
    y, out, directions, count, R, C, B, OFFSET: tl.constexpr, BLOCK: tl.constexpr
):
    """Multiply (V, R, C, B) by the mm of each ray between two planes of its main axis."""
    FLOAT: tl.constexpr = directions.dtype.element_ty
    element = tl.program_id(0).to(OFFSET) * BLOCK + tl.arange(0, BLOCK)
    inside = element < count
    ray = tl.where(inside, element, 0) // B
    column = (ray % C).to(FLOAT) - (C - 1) * 0.5
    row = (ray // C % R).to(FLOAT) - (R - 1) * 0.5
    view = directions + (ray // C // R) * 18
    x, y_, z = direction(view, column, row)
    main = tl.maximum(tl.maximum(tl.abs(x), tl.abs(y_)), tl.abs(z))
    x, y_, z = direction(view + 9, column, row)
    length = tl.sqrt(tl.fma(x, x, tl.fma(y_, y_, z * z)))
    value = tl.load(y + element, mask=inside, other=0.0)
    tl.store(out + element, value * (length / main), mask=inside)
