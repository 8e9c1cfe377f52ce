from __future__ import annotations

import math

import pytest
import torch

from operators import (
    CartesianMRI,
    NonCartesianMRI,
    ToeplitzNormal,
    birdcage_maps,
    radial_trajectory,
    radial_trajectory_3d,
    spiral_trajectory,
)
from operators.mri import gridding, toeplitz
from operators.testing import dot_test
from tests.operators.exact_transform import relative_error, transform_matrix


def _maps(shape, coils, generator):
    return torch.randn(coils, *shape, generator=generator, dtype=torch.complex128)


def _image(shape, generator):
    return torch.randn(shape, generator=generator, dtype=torch.complex128)


@pytest.mark.parametrize(
    ("trajectory", "shape"),
    [
        (radial_trajectory(7, 20), (10, 9)),
        (spiral_trajectory(2, 50, 3), (8, 11)),
        (radial_trajectory_3d(11, 12), (5, 6, 7)),
    ],
    ids=["radial", "spiral", "radial-3d"],
)
@pytest.mark.parametrize("backend", ["gridding", "finufft"])
def test_every_coil_matches_the_exact_sum(trajectory, shape, backend, generator):
    maps, x = _maps(shape, 3, generator), _image((2, *shape), generator)
    operator = NonCartesianMRI(trajectory, shape, maps, tolerance=1e-7, backend=backend)
    matrix = transform_matrix(trajectory, shape)
    expected = (maps * x.unsqueeze(1)).flatten(2) @ matrix.T
    assert relative_error(operator(x), expected) < 2e-7  # finufft may exceed its tolerance
    y = torch.randn(2, *operator.out_shape, generator=generator, dtype=torch.complex128)
    back = ((y @ matrix.conj()).unflatten(-1, shape) * maps.conj()).sum(1)
    assert relative_error(operator.adjoint(y), back) < 2e-7


def test_without_maps_there_is_one_uniform_coil(generator):
    x, trajectory = _image((6, 5), generator), radial_trajectory(4, 10)
    operator = NonCartesianMRI(trajectory, (6, 5), tolerance=1e-8)
    assert operator.out_shape == (1, 40)
    expected = transform_matrix(trajectory, (6, 5)) @ x.flatten()
    assert relative_error(operator(x)[0], expected) < 1e-8


def test_agrees_with_cartesian_mri_on_its_grid(generator):
    shape, maps = (6, 7), birdcage_maps((6, 7), 3).to(torch.complex128)
    mask = torch.rand(shape, generator=generator) < 0.6
    places = mask.nonzero().double()
    points = (places - torch.tensor([3, 3])) / torch.tensor(shape)
    x = _image(shape, generator)
    expected = CartesianMRI(mask, maps)(x)
    assert (
        relative_error(NonCartesianMRI(points, shape, maps, tolerance=1e-12)(x), expected) < 1e-12
    )


def test_coils_in_groups_give_the_same_as_all_at_once(generator, monkeypatch):
    shape = (6, 5)
    maps, x = _maps(shape, 6, generator), _image((3, *shape), generator)
    operator = NonCartesianMRI(radial_trajectory(5, 8), shape, maps, toeplitz=True)
    y = operator(x)
    expected = [operator.adjoint(y), operator.normal(x)]
    for module in (gridding, toeplitz):
        monkeypatch.setattr(module, "CACHE_ENTRIES", 300)
    torch.testing.assert_close(operator(x), y)
    torch.testing.assert_close([operator.adjoint(y), operator.normal(x)], expected)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-11])
@pytest.mark.parametrize("shape", [(12, 9), (5, 6, 7)], ids=str)
def test_toeplitz_agrees_with_there_and_back(shape, tolerance, generator):
    ndim = len(shape)
    points = torch.rand(400, ndim, generator=generator, dtype=torch.float64) - 0.5
    maps, x = _maps(shape, 2, generator), _image((2, *shape), generator)
    operator = NonCartesianMRI(points, shape, maps, tolerance=tolerance, toeplitz=True)
    # two transforms there and one for the kernel, each within the tolerance
    error = relative_error(operator.normal(x), operator.adjoint(operator(x)))
    assert error < 3 * tolerance


def test_weighted_toeplitz_is_the_weighted_normal_operator(generator):
    shape, trajectory = (8, 7), radial_trajectory(6, 14)
    weights = torch.randn(84, generator=generator, dtype=torch.float64)
    maps, x = _maps(shape, 3, generator), _image(shape, generator)
    operator = NonCartesianMRI(trajectory, shape, maps, tolerance=1e-9)
    normal = ToeplitzNormal(trajectory, shape, maps, weights, tolerance=1e-9)
    assert relative_error(normal(x), operator.adjoint(weights * operator(x))) < 1e-8


def test_toeplitz_is_self_adjoint_at_a_loose_tolerance(generator):
    points = torch.rand(50, 2, generator=generator, dtype=torch.float64) - 0.5
    normal = ToeplitzNormal(points, (6, 7), tolerance=0.05)
    assert dot_test(normal, generator=generator) < 1e-10


@pytest.mark.parametrize("make", [NonCartesianMRI, ToeplitzNormal])
@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.ones(2, 4, 5), "expected complex maps"),
        (torch.ones(4, 5, dtype=torch.complex64), r"expected complex maps \(coils, 4, 5\)"),
        (torch.ones(2, 4, 4, dtype=torch.complex64), "expected complex maps"),
        (torch.ones(0, 4, 5, dtype=torch.complex64), "empty or not finite"),
        (torch.full((1, 4, 5), math.nan, dtype=torch.complex64), "empty or not finite"),
    ],
)
def test_bad_maps_are_refused(make, maps, message):
    with pytest.raises(ValueError, match=f"{make.__name__}: .*{message}"):
        make(torch.zeros(3, 2), (4, 5), maps)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(4), "expected 3 real weights"),
        (torch.ones(3, dtype=torch.complex64), "expected 3 real weights"),
        (torch.tensor([1, math.inf, 1]), "not finite"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        ToeplitzNormal(torch.zeros(3, 2), (4, 5), weights=weights)
