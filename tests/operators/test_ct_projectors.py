import math
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from operators import (
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    SparseOperator,
)
from operators.ct.intersections import intersection_matrix
from operators.testing import dot_test, to_dense
from tests.operators.ct_phantoms import disc_image, disc_sinogram, mean_error, scans

# the matrix is stored in float32
LENGTH_TOLERANCE = 1e-6
# of the mean chord; the edge of the disc is smeared over a pixel, which is 1/60 of its radius
DISC_TOLERANCE = 0.005


def projector(grid, geometry):
    return (FanBeam2D if isinstance(geometry, FanGeometry) else ParallelBeam2D)(grid, geometry)


def clipped_lengths(points, directions, grid):
    """Length of each line in each pixel by clipping it to the box of the pixel, dense."""
    x, y = grid.coordinates()
    dy, dx = grid.pixel_size
    centres = np.stack(np.broadcast_arrays(x, y[:, None]), -1).reshape(1, -1, 2)
    corner = np.array([dx, dy]) / 2
    with np.errstate(divide="ignore"):
        near, far = (
            (centres + s * corner - points[:, None]) / directions[:, None] for s in (-1, 1)
        )
    enter = np.minimum(near, far).max(-1)
    leave = np.maximum(near, far).min(-1)
    return np.maximum(leave - enter, 0)


def test_hand_calculated_lengths():
    """Two by three pixels 1 mm wide and 2 mm tall, seen from below and from the side."""
    grid = ImageGrid((2, 3), (2.0, 1.0))
    upward = ParallelBeam2D(grid, ParallelGeometry((0.0,), 3, 1.0))
    image = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    torch.testing.assert_close(upward(image), torch.tensor([[10.0, 14.0, 18.0]]))
    # at pi / 2 the detector runs up along y: its first element sees the lower row
    sideways = ParallelBeam2D(grid, ParallelGeometry((math.pi / 2,), 2, 2.0))
    torch.testing.assert_close(sideways(image), torch.tensor([[15.0, 6.0]]))
    # through the centre along (3, 4) / 5: out of the box at x = -+1.5, y = -+2, which are
    # 5 mm apart; it leaves the middle column at x = -+0.5, y = -+2/3
    direction = np.array([[0.6, 0.8]])
    row = intersection_matrix(np.zeros((1, 2)), direction, grid).toarray().reshape(2, 3)
    np.testing.assert_allclose(row, [[0, 5 / 6, 5 / 3], [5 / 3, 5 / 6, 0]], atol=LENGTH_TOLERANCE)


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pixel_size=st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_lengths_are_those_of_clipped_lines(shape, pixel_size, seed):
    grid = ImageGrid(shape, pixel_size)
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, 60)
    points = rng.uniform(-0.6, 0.6, (60, 2)) * grid.diagonal
    directions = np.stack([np.cos(angle), np.sin(angle)], -1)
    actual = intersection_matrix(points, directions, grid).toarray()
    expected = clipped_lengths(points, directions, grid)
    np.testing.assert_allclose(actual, expected, atol=LENGTH_TOLERANCE * grid.diagonal)


@given(
    quarter=st.integers(0, 3),
    size=st.integers(2, 40),
    shift=st.floats(-5, 5),
    ulps=st.integers(-3, 3),
)
@example(quarter=1, size=3, shift=0.5, ulps=0)
@example(quarter=1, size=6, shift=1.0, ulps=-1)
def test_diagonal_rays_stay_in_their_pixels(quarter, size, shift, ulps):
    """Rays through pixel corners, where rounding could jump over a whole pixel."""
    grid = ImageGrid((size, size))
    angle = math.pi / 4 + quarter * math.pi / 2 + ulps * 2.0**-52
    direction = np.array([[math.cos(angle), math.sin(angle)]])
    start = np.array([[-size / 2, (-1) ** (quarter + 1) * size / 2]]) + shift * direction
    row = intersection_matrix(start, direction, grid).toarray().reshape(size, size)
    diagonal = np.diag(row if quarter % 2 else row[::-1])
    np.testing.assert_allclose(diagonal, math.sqrt(2), rtol=LENGTH_TOLERANCE)
    assert row.sum() == pytest.approx(size * math.sqrt(2))


def test_a_ray_along_a_border_is_counted_once():
    grid = ImageGrid((4, 4))
    points = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    upward = np.tile([[0.0, 1.0]], (3, 1))
    lengths = intersection_matrix(points, upward, grid).sum(axis=1)
    np.testing.assert_allclose(np.asarray(lengths).ravel(), 4)


@pytest.mark.parametrize("centre", [(0.0, 0.0), (7.0, -11.0)])
@pytest.mark.parametrize("pixel_size", [(1.0, 1.0), (0.8, 1.25)])
@pytest.mark.parametrize("kind", [0, 1], ids=["parallel", "fan"])
def test_disc_gives_its_chords(kind, pixel_size, centre):
    grid = ImageGrid((180, 160), pixel_size)
    geometry = scans(grid, 11)[kind]
    actual = projector(grid, geometry)(disc_image(grid, 60.0, centre))
    assert mean_error(actual, disc_sinogram(geometry, 60.0, centre)) < DISC_TOLERANCE


def test_offset_detector_sees_the_same_disc():
    grid = ImageGrid((150, 150))
    geometry = ParallelGeometry((0.3, 1.9), 220, 1.0, detector_offset=0.25)
    actual = ParallelBeam2D(grid, geometry)(disc_image(grid, 60.0, (5.0, 3.0)))
    assert mean_error(actual, disc_sinogram(geometry, 60.0, (5.0, 3.0))) < DISC_TOLERANCE


def test_every_parallel_view_holds_the_mass_of_the_image(generator):
    """The sum of a view times the spacing is the integral of the image."""
    grid = ImageGrid((40, 30), (1.0, 1.5))
    rough = torch.rand((8, 6), generator=generator, dtype=torch.float64)
    image = rough.repeat_interleave(5, 0).repeat_interleave(5, 1)
    angles = tuple(np.linspace(0.05, 3.1, 20))
    fine = ParallelGeometry(angles, 2000, grid.diagonal / 2000)
    mass = ParallelBeam2D(grid, fine)(image).sum(-1) * fine.detector_spacing
    expected = (image.sum() * 1.5).expand(20)
    # a sum over the steps of a piecewise linear profile
    torch.testing.assert_close(mass, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("kind", [0, 1], ids=["parallel", "fan"])
def test_a_quarter_turn_of_the_image_is_a_quarter_turn_of_the_views(kind, generator):
    """Counter-clockwise, as torch.rot90 and the angles both count."""
    grid = ImageGrid((12, 12))
    geometry = scans(grid, 1)[kind]
    fields = {"num_detectors": geometry.num_detectors, "detector_spacing": 1.1}
    if kind:
        fields |= {"source_to_axis": 40.0, "source_to_detector": 60.0}
    angles = np.array([0.1, 0.8, 2.5, 4.0])
    first, turned = (
        projector(grid, type(geometry)(tuple(angles + shift), **fields))
        for shift in (0, math.pi / 2)
    )
    image = torch.rand((12, 12), generator=generator, dtype=torch.float64)
    torch.testing.assert_close(turned(image.rot90()), first(image), rtol=1e-5, atol=1e-5)


def test_opposite_parallel_views_are_mirrored(generator):
    grid = ImageGrid((9, 14), (1.0, 0.6))
    a, b = (
        ParallelBeam2D(grid, ParallelGeometry((t,), 20, 0.7, offset))
        for t, offset in ((0.7, 0.2), (0.7 + math.pi, -0.2))
    )
    image = torch.rand((9, 14), generator=generator, dtype=torch.float64)
    torch.testing.assert_close(b(image).flip(-1), a(image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [0, 1], ids=["parallel", "fan"])
def test_float32_adjoint_is_exact_at_working_size(kind, generator):
    grid = ImageGrid((128, 128), (0.9, 0.9))
    operator = projector(grid, scans(grid, 60)[kind])
    assert dot_test(operator, generator=generator, dtype=torch.float32) < 1e-6


@pytest.mark.parametrize("kind", [0, 1], ids=["parallel", "fan"])
def test_batch_is_a_loop(kind, generator):
    grid = ImageGrid((20, 16))
    operator = projector(grid, scans(grid, 9)[kind])
    x = torch.rand((2, 3, 20, 16), generator=generator)
    looped = torch.stack([torch.stack([operator(v) for v in row]) for row in x])
    torch.testing.assert_close(operator(x), looped)
    assert operator(x).shape == (2, 3, *operator.out_shape)


def test_many_rays_are_assembled_in_blocks():
    """More rays than a block holds give the rows that a few at a time give."""
    grid = ImageGrid((5, 4))
    points, directions = (v.reshape(-1, 2) for v in ParallelGeometry.covering(grid, 900).rays())
    assert len(points) > 4096
    whole = intersection_matrix(points, directions, grid)
    part = intersection_matrix(points[4090:4100], directions[4090:4100], grid)
    np.testing.assert_array_equal(whole[4090:4100].toarray(), part.toarray())


def test_bare_matrix_is_the_operator(generator):
    matrix = scipy.sparse.random(6, 8, 0.4, random_state=0)
    operator = SparseOperator(matrix, (2, 4), (3, 2))
    np.testing.assert_allclose(to_dense(operator).numpy(), matrix.toarray())
    assert operator.num_nonzeros == matrix.nnz


def test_no_warning_reaches_the_user(generator):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        operator = SparseOperator(scipy.sparse.eye(4), (4,), (4,))
        operator(torch.ones(4))


@pytest.mark.parametrize(("storage", "step"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
def test_narrow_storage_rounds_and_stays_matched(storage, step, generator):
    grid = ImageGrid((40, 40))
    geometry = ParallelGeometry.covering(grid, 30)
    exact = ParallelBeam2D(grid, geometry)
    operator = ParallelBeam2D(grid, geometry, storage=storage)
    sizes = [sum(b.numel() * b.element_size() for b in a.buffers()) for a in (operator, exact)]
    # 12 bytes an entry instead of 16, and the starts of rows and columns
    assert sizes[0] / sizes[1] < 0.76
    image = torch.rand((40, 40), generator=generator)
    assert operator(image).dtype == torch.float32
    # every entry is off by at most one rounding
    torch.testing.assert_close(operator(image), exact(image), rtol=step, atol=1e-4)
    for dtype, bound in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        assert dot_test(operator, generator=generator, dtype=dtype) < bound


def test_casts_go_block_by_block(monkeypatch, generator):
    """Empty rows at either end and within, and rows longer than a block."""
    monkeypatch.setattr("operators.ct.sparse._CAST_AT_ONCE", 7)
    matrix = scipy.sparse.random(30, 24, 0.2, random_state=0, format="lil")
    for rows in (slice(0, 3), slice(12, 15), slice(28, 30)):
        matrix[rows] = 0
    matrix[20] = 1.5
    operator = SparseOperator(matrix, (24,), (30,), storage=torch.float32)
    single = matrix.toarray().astype(np.float32)
    np.testing.assert_allclose(to_dense(operator).numpy(), single)
    np.testing.assert_allclose(to_dense(operator.H).numpy(), single.T)
    nothing = SparseOperator(0 * scipy.sparse.eye(4), (4,), (4,), storage=torch.float16)
    assert torch.equal(nothing(torch.ones(4)), torch.zeros(4))


def test_unusable_storage():
    matrix = scipy.sparse.csr_matrix([[1.0, -7e4]])
    with pytest.raises(ValueError, match=r"entries beyond the range of torch\.float16"):
        SparseOperator(matrix, (2,), (1,), storage=torch.float16)
    SparseOperator(matrix, (2,), (1,), storage=torch.bfloat16)
    with pytest.raises(ValueError, match=r"must be a floating dtype, got torch\.int8"):
        SparseOperator(matrix, (2,), (1,), storage=torch.int8)


def test_assembly_gives_back_what_it_reserved():
    grid = ImageGrid((160, 160))
    points, directions = (v.reshape(-1, 2) for v in ParallelGeometry.covering(grid, 120).rays())
    tracemalloc.start()
    matrix = intersection_matrix(points, directions, grid)
    held = matrix.data.nbytes + matrix.indices.nbytes
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after < 1.05 * held


def test_unusable_matrices():
    with pytest.raises(ValueError, match=r"expected matrix \(6, 8\), got \(8, 6\)"):
        SparseOperator(scipy.sparse.eye(8, 6), (2, 4), (3, 2))
    with pytest.raises(ValueError, match="expected a real matrix, got complex128"):
        SparseOperator(1j * scipy.sparse.eye(4), (4,), (4,))


def test_wrong_images_and_sinograms():
    grid = ImageGrid((4, 5))
    operator = ParallelBeam2D(grid, ParallelGeometry.covering(grid, 3))
    with pytest.raises(ValueError, match=r"ParallelBeam2D: expected trailing shape \(4, 5\)"):
        operator(torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"expected trailing shape \(3, 7\), got \(7, 3\)"):
        operator.adjoint(torch.zeros(7, 3))
