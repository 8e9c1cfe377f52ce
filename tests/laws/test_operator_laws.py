from __future__ import annotations

import inspect

import pytest
import torch

import operators
from operators import LinearOperator, SVDOperator
from operators.testing import (
    LAWS,
    SVD_LAWS,
    check_operator,
    dot_test,
    random_input,
    to_dense,
)
from tests.laws.operator_instances import instances

INSTANCES = instances()
CASES = [
    pytest.param(operator, law, id=f"{name}-{law.__name__}")
    for name, operator in INSTANCES.items()
    for law in (*LAWS, *(SVD_LAWS if isinstance(operator, SVDOperator) else ()))
]
EVERY = pytest.mark.parametrize("operator", INSTANCES.values(), ids=INSTANCES.keys())
DECOMPOSED = {name: a for name, a in INSTANCES.items() if isinstance(a, SVDOperator)}
MATRIX_TOLERANCE = 1e-12  # rounding of sums over at most a hundred terms of order one


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize(("operator", "law"), CASES)
def test_operator_obeys_law(operator, law, dtype, generator):
    law(operator, generator, dtype)


@EVERY
def test_adjoint_obeys_the_laws_itself(operator, generator):
    for law in LAWS:
        if law.__name__ != "double_adjoint":  # A.H is a new view of A every time
            law(operator.H, generator, torch.float64)


@EVERY
@pytest.mark.parametrize("seed", range(1, 5))
def test_adjoint_is_exact_for_several_seeds(operator, seed):
    generator = torch.Generator().manual_seed(seed)
    assert dot_test(operator, generator=generator) < 1e-10
    assert dot_test(operator, generator=generator, dtype=torch.float32) < 1e-6


@EVERY
def test_dense_matrices_agree(operator):
    if operator.in_complex and not operator.out_complex:
        with pytest.raises(ValueError, match="has no matrix"):
            to_dense(operator)
        operator = operator.H
    dense = to_dense(operator)
    if operator.in_complex == operator.out_complex:
        torch.testing.assert_close(to_dense(operator.H), dense.mH, rtol=0, atol=MATRIX_TOLERANCE)
    gram = dense.mH @ dense
    expected = gram if operator.in_complex else gram.real
    x = torch.eye(dense.shape[1], dtype=expected.dtype, device=dense.device)
    actual = operator.normal(x.reshape(-1, *operator.in_shape)).reshape(x.shape)
    torch.testing.assert_close(actual.mT, expected, rtol=0, atol=MATRIX_TOLERANCE)


@pytest.mark.parametrize("operator", DECOMPOSED.values(), ids=DECOMPOSED.keys())
def test_singular_values_are_those_of_the_matrix(operator):
    expected = torch.linalg.svdvals(to_dense(operator))
    actual = operator.singular_values.double().flatten().sort(descending=True).values
    torch.testing.assert_close(actual, expected[: len(actual)], rtol=0, atol=MATRIX_TOLERANCE)


@EVERY
def test_dtype_conversion_keeps_complex_constants(operator, generator):
    name = next(k for k, v in INSTANCES.items() if v is operator)
    converted = instances()[name].to(torch.float32).to(torch.float64)
    check = instances()[name].to(torch.float32)
    x = random_input(operator, generator, torch.float32)
    torch.testing.assert_close(check(x), operator(x))
    wide = x.to(torch.complex128 if operator.in_complex else torch.float64)
    torch.testing.assert_close(converted(wide), operator(wide), rtol=1e-5, atol=1e-5)


def test_every_operator_is_in_the_list():
    public = {
        name
        for name in operators.__all__
        if inspect.isclass(cls := getattr(operators, name))
        and issubclass(cls, LinearOperator)
        and not inspect.isabstract(cls)
    }
    assert public - {type(operator).__name__ for operator in INSTANCES.values()} == set()


def test_operators_with_constants_refuse_another_device():
    for operator in INSTANCES.values():
        if next(operator.buffers(), None) is None:
            continue
        dtype = torch.complex64 if operator.in_complex else torch.float32
        with pytest.raises(ValueError, match="got a tensor on meta"):
            operator(torch.empty(operator.in_shape, dtype=dtype, device="meta"))


class _Wrong(LinearOperator):
    """A moving sum whose adjoint forgets one border entry."""

    def __init__(self) -> None:
        super().__init__((40,), (40,))

    def _forward(self, x):
        return x + x.roll(1, -1)

    def _adjoint(self, y):
        x = y + y.roll(-1, -1)
        return torch.cat([x[..., :-1], y[..., -1:]], dim=-1)


def test_checker_finds_a_wrong_border(generator):
    with pytest.raises(AssertionError, match="_Wrong breaks the law of adjointness"):
        check_operator(_Wrong(), generator=generator)


def test_checker_accepts_a_correct_operator(generator):
    check_operator(INSTANCES["blur-odd"], generator=generator)
    check_operator(INSTANCES["mri-points"], generator=generator, dtype=torch.float32)
