from __future__ import annotations

import pytest
import torch

from operators import (
    Blur,
    Composition,
    Downsample,
    FiniteDifferences,
    Identity,
    Mask,
    RealToComplex,
    Stack,
    Sum,
    gaussian_psf,
)
from operators.testing import to_dense


def test_algebra_is_that_of_the_matrices():
    blur, halve = Blur(gaussian_psf(0.7, 3), (4, 6)), Downsample((4, 6), 2)
    a, b = to_dense(blur), to_dense(halve)
    torch.testing.assert_close(to_dense(halve @ blur), b @ a)
    torch.testing.assert_close(to_dense(blur + Identity((4, 6))), a + torch.eye(24))
    torch.testing.assert_close(to_dense(-2.5 * blur), -2.5 * a)
    torch.testing.assert_close(to_dense(Stack([blur, halve])), torch.cat([a, b]))


def test_combinations_refuse_what_does_not_match():
    with pytest.raises(ValueError, match="cannot compose"):
        Composition(Identity((3,)), Identity((4,)))
    with pytest.raises(ValueError, match="cannot compose"):
        Composition(Identity((3,)), RealToComplex((3,)))
    with pytest.raises(ValueError, match="cannot add"):
        Sum(Identity((3,)), Identity((4,)))
    with pytest.raises(ValueError, match="cannot stack"):
        Stack([Identity((3,)), Identity((4,))])


def test_errors_name_class_expected_and_received():
    with pytest.raises(ValueError, match=r"Mask: expected trailing shape \(2, 2\), got \(3, 2\)"):
        Mask(torch.ones(2, 2, dtype=torch.bool))(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"Identity: expected a real .*, got torch.complex64"):
        Identity((2,))(torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"got torch\.int64"):
        Identity((2,))(torch.zeros(2, dtype=torch.int64))


def test_pinv_is_that_of_the_matrix(generator):
    operator = Downsample((4, 6), 2)
    y = torch.randn(operator.out_shape, generator=generator, dtype=torch.float64)
    expected = torch.linalg.pinv(to_dense(operator)) @ y.flatten()
    torch.testing.assert_close(operator.pinv(y).flatten(), expected)


def test_state_dict_holds_the_constants():
    blur = Blur(gaussian_psf(0.7, 3), (4, 6))
    other = Blur(gaussian_psf(1.5, 3), (4, 6))
    other.load_state_dict(blur.state_dict())
    x = torch.arange(24.0).reshape(4, 6)
    assert torch.equal(other(x), blur(x))


def test_operator_without_constants_runs_on_any_device():
    x = torch.empty(3, 4, device="meta")
    assert FiniteDifferences((3, 4))(x).device.type == "meta"
