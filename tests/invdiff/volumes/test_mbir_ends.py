import pytest
import torch

from invdiff.volumes import Whole
from invdiff.volumes.mbir_ends import SliceDifferences
from tests.invdiff.volumes.threaded_parts import run_in_parts

SLICES = 5


@pytest.fixture
def x(generator):
    return torch.randn(2, SLICES, 3, 4, generator=generator, dtype=torch.float64)


def as_matrix(ends):
    """The map on volumes of one pixel a slice."""
    columns = torch.eye(SLICES, dtype=torch.float64).reshape(SLICES, SLICES, 1, 1)
    return SliceDifferences(Whole(SLICES), ends).forward(columns).reshape(SLICES, SLICES).T


def test_periodic_ends_make_a_ring():
    shift = torch.roll(torch.eye(SLICES, dtype=torch.float64), 1, dims=1)
    assert torch.equal(as_matrix("periodic"), shift - torch.eye(SLICES))


def test_only_periodic_ends_tie_the_first_to_the_last_slice():
    for ends, tied in (("neumann", 0.0), ("periodic", -1.0)):
        matrix = as_matrix(ends)
        assert (matrix.T @ matrix)[0, -1] == tied


@pytest.mark.parametrize("ends", ["neumann", "periodic"])
def test_adjoint_matches_dot_test(x, generator, ends):
    differences = SliceDifferences(Whole(SLICES), ends)
    d = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    left, right = (differences.forward(x) * d).sum(), (x * differences.adjoint(d)).sum()
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize("ends", ["neumann", "periodic"])
@pytest.mark.parametrize("counts", [(2, 3), (1, 3, 1)])
def test_split_does_not_matter(x, ends, counts):
    def own(part):
        part_of_x = x[:, part.first : part.first + part.count]
        differences = SliceDifferences(part, ends)
        return differences.forward(part_of_x), differences.normal(part_of_x)

    whole = SliceDifferences(Whole(SLICES), ends)
    forward, normal = zip(*run_in_parts(counts, own), strict=True)
    assert torch.equal(torch.cat(forward, dim=1), whole.forward(x))
    assert torch.equal(torch.cat(normal, dim=1), whole.normal(x))
