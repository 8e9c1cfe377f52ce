from __future__ import annotations

import inspect

import pytest
import torch

import operators
from operators import NonlinearOperator
from operators.nonlinear_testing import NONLINEAR_LAWS, check_nonlinear_operator
from tests.laws.nonlinear_instances import nonlinear_instances

INSTANCES = nonlinear_instances()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("law", NONLINEAR_LAWS)
@pytest.mark.parametrize("operator", INSTANCES.values(), ids=INSTANCES.keys())
def test_operator_obeys_law(operator, law, dtype, generator):
    law(operator, generator, dtype)


def test_every_operator_is_in_the_list():
    public = {
        name
        for name in operators.__all__
        if inspect.isclass(cls := getattr(operators, name))
        and issubclass(cls, NonlinearOperator)
        and not inspect.isabstract(cls)
    }
    assert public - {type(operator).__name__ for operator in INSTANCES.values()} == set()


class _Wrong(NonlinearOperator):
    """Squares, with one factor that is forgotten in one direction or in both."""

    def __init__(self, jvp_factor: float, vjp_factor: float) -> None:
        super().__init__((5,), (5,))
        self.factors = jvp_factor, vjp_factor

    def _forward(self, x):
        return x**2

    def _jvp(self, x, v):
        return self.factors[0] * x * v

    def _vjp(self, x, w):
        return self.factors[1] * x * w


@pytest.mark.parametrize(
    ("factors", "law"), [((1, 1), "finite_differences"), ((2, 1), "transposition")]
)
def test_checker_finds_a_wrong_derivative(factors, law, generator):
    with pytest.raises(AssertionError, match=f"_Wrong breaks the law of {law}"):
        check_nonlinear_operator(_Wrong(*factors), generator=generator)


def test_checker_accepts_a_correct_operator(generator):
    check_nonlinear_operator(_Wrong(2, 2), generator=generator)
