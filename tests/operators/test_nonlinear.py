from __future__ import annotations

import pytest
import torch

from operators import CartesianMRI, PhaseRetrieval, RandomProjection, RealToComplex
from operators.testing import to_dense


def _fourier():
    return CartesianMRI(torch.ones(4, 5, dtype=torch.bool))


def test_measures_intensity_or_amplitude(generator):
    linear = _fourier()
    x = torch.randn(4, 5, generator=generator, dtype=torch.complex128)
    y = PhaseRetrieval(linear)(x)
    assert not y.is_complex()
    torch.testing.assert_close(y, linear(x).abs() ** 2)
    torch.testing.assert_close(PhaseRetrieval(linear, "amplitude")(x), linear(x).abs())


@pytest.mark.parametrize("measured", ["intensity", "amplitude"])
def test_global_phase_is_lost(measured, generator):
    """Same data, and no derivative along the phase."""
    operator = PhaseRetrieval(_fourier(), measured)
    x = torch.randn(4, 5, generator=generator, dtype=torch.complex128)
    turned = x * torch.polar(torch.ones(()).double(), torch.full((), 0.7).double())
    torch.testing.assert_close(operator(turned), operator(x))
    derivative = operator.jvp(x, 1j * x)
    torch.testing.assert_close(derivative, torch.zeros_like(derivative), rtol=0, atol=1e-13)


def test_intensity_is_homogeneous(generator):
    """Euler's theorem: J(x) x = 2 F(x) of degree two, F(x) of degree one."""
    x = torch.randn(4, 5, generator=generator, dtype=torch.complex128)
    for measured, degree in (("intensity", 2), ("amplitude", 1)):
        operator = PhaseRetrieval(_fourier(), measured)
        torch.testing.assert_close(operator.jvp(x, x), degree * operator(x))


def test_amplitude_at_zero_has_the_zero_subgradient():
    operator = PhaseRetrieval(_fourier() @ RealToComplex((4, 5)), "amplitude")
    x, w = torch.zeros(4, 5, dtype=torch.float64), torch.ones(operator.out_shape).double()
    assert torch.equal(operator.vjp(x, w), x)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(operator(x).sum(), x)
    assert torch.equal(gradient, torch.zeros_like(x))


def test_derivatives_broadcast_over_batches(generator):
    operator = PhaseRetrieval(RandomProjection((3,), 7, generator=generator))
    x = torch.randn(3, generator=generator, dtype=torch.float64)
    v = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(operator.jvp(x, v)[1, 2], operator.jvp(x, v[1, 2]))
    w = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(operator.vjp(x, w)[1], operator.vjp(x, w[1]))


@pytest.mark.parametrize("measured", ["intensity", "amplitude"])
def test_gauss_newton_recovers_an_image_up_to_its_sign(measured, generator):
    operator = PhaseRetrieval(RandomProjection((8,), 40, generator=generator), measured)
    truth = torch.randn(8, generator=generator, dtype=torch.float64)
    x = truth + 0.2 * torch.randn(8, generator=generator, dtype=torch.float64)
    y = operator(-truth)
    for _ in range(8):
        jacobian = to_dense(operator.linearised(x))
        x = x + torch.linalg.lstsq(jacobian, (y - operator(x)).unsqueeze(-1)).solution.squeeze(-1)
    # quadratic convergence; float32 entries of the matrix are exact here
    torch.testing.assert_close(x, truth, rtol=0, atol=1e-10)


def test_moves_with_its_linear_operator():
    operator = PhaseRetrieval(_fourier()).to(torch.float32)
    assert operator(torch.ones(4, 5, dtype=torch.complex64)).dtype == torch.float32


def test_refuses_another_kind_of_measurement():
    with pytest.raises(ValueError, match="PhaseRetrieval: measured is 'phase'"):
        PhaseRetrieval(_fourier(), "phase")
