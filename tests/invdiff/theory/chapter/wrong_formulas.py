"""Wrong versions of formulas, and their places in the package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch

Formula = Callable[..., Any]
Wrong = Callable[[Formula], Formula]


@dataclass(frozen=True)
class Break:
    """A formula of the package, by module and name, and a wrong version of it.

    Args:
        module: Below ``invdiff``.
        name: Of a function, or ``Class.method``.
        wrong: Makes the wrong version of the right one.
    """

    module: str
    name: str
    wrong: Wrong


@dataclass(frozen=True)
class Row:
    """Formulas that are broken together, and the facts that then fail.

    Args:
        name: Of the row.
        breaks: The formulas.
        fail: Keys of all facts that rest on them, between white space.
        whole: Whether all other facts are checked, too, and not only the quick ones.
    """

    name: str
    breaks: tuple[Break, ...]
    fail: str
    whole: bool = False

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self.fail.split())


@contextmanager
def broken(breaks: tuple[Break, ...]) -> Iterator[None]:
    """Replace formulas in their classes, or in each module that holds them."""
    with pytest.MonkeyPatch.context() as patch:
        for one in breaks:
            holder: Any = importlib.import_module(f"invdiff.{one.module}")
            *owner, name = one.name.split(".")
            holder = getattr(holder, owner[0]) if owner else holder
            formula = getattr(holder, name)
            for place in [holder] if owner else _modules_with(formula, name):
                patch.setattr(place, name, one.wrong(formula))
        yield


def _modules_with(formula: Formula, name: str) -> list[Any]:
    # vars, not getattr: some modules of other packages import on access
    modules = [module for module in list(sys.modules.values()) if module is not None]
    return [module for module in modules if vars(module).get(name) is formula]


def scaled(factor: float) -> Wrong:
    """Multiply what a formula returns."""
    return lambda formula: lambda *args, **kwargs: factor * formula(*args, **kwargs)


def part_scaled(number: int, factor: float) -> Wrong:
    """Multiply one of the values that a formula returns."""

    def wrong(formula: Formula) -> Formula:
        def call(*args: Any, **kwargs: Any) -> Any:
            values = list(formula(*args, **kwargs))
            values[number] = factor * values[number]
            return tuple(values)

        return call

    return wrong


def field_scaled(name: str, factor: float) -> Wrong:
    """Multiply one field of the named tuple that a formula returns."""

    def wrong(formula: Formula) -> Formula:
        def call(*args: Any, **kwargs: Any) -> Any:
            value = formula(*args, **kwargs)
            return value._replace(**{name: factor * getattr(value, name)})

        return call

    return wrong


def always(**settings: Any) -> Wrong:
    """Overrule what a formula is asked for."""
    return lambda formula: lambda *args, **kwargs: formula(*args, **kwargs | settings)


def argument_scaled(number: int, factor: float) -> Wrong:
    """Multiply one of the arguments of a formula."""

    def wrong(formula: Formula) -> Formula:
        def call(*args: Any, **kwargs: Any) -> Any:
            given = list(args)
            given[number] = factor * given[number]
            return formula(*given, **kwargs)

        return call

    return wrong


def forgotten(field: str) -> Wrong:
    """Leave one field of the first argument, a named tuple, as it was."""

    def wrong(formula: Formula) -> Formula:
        def call(state: Any, *args: Any) -> Any:
            changed, *rest = formula(state, *args)
            return changed._replace(**{field: getattr(state, field)}), *rest

        return call

    return wrong


def overshooting(step: Formula) -> Formula:
    """Make each step of a solver a little too long."""
    return lambda denoiser, x, *sigmas: 1.05 * step(denoiser, x, *sigmas) - 0.05 * x


def less_noise(integrate: Formula) -> Formula:
    """Add only a part of the noise."""
    return lambda *args, noise, **kwargs: integrate(*args, noise=lambda: 0.9 * noise(), **kwargs)


def multinomial(ancestors: Formula) -> Formula:
    """Draw ancestors independently, whatever the scheme."""
    return lambda log_weights, source, scheme="", num=None: ancestors(
        log_weights, source, "multinomial", num
    )


def diagonal_kept(mmd2: Formula) -> Formula:
    """Count each point as its own neighbour."""

    # with equal weights, the mean of the kernel with its diagonal is mean + (1 - mean) / n
    def wrong(x: Any, y: Any, *, bandwidth: float) -> float:
        within = [
            1 - torch.exp(-(torch.pdist(cloud) ** 2) / 2 / bandwidth**2).mean() for cloud in (x, y)
        ]
        return float(mmd2(x, y, bandwidth=bandwidth)) + float(sum(within)) / len(x)

    return wrong


def outer_ranks(quantiles: Formula) -> Formula:
    """Let the extremes stand for 0 and 1, as numpy does."""
    return lambda samples, probabilities: torch.quantile(
        samples, torch.tensor(probabilities, dtype=samples.dtype), dim=0
    )


def narrow_above(apply: Formula) -> Formula:
    """Take a tenth off the upper half of an interval."""

    def wrong(self: Any, samples: Any, region: Any = None) -> Any:
        lower, upper = apply(self, samples, region)
        return lower, upper - 0.1 * (upper - lower)

    return wrong


def not_centred(noise: Formula) -> Formula:
    """Let the matrix of noise be heavier than its pairs."""
    return lambda like, streams: noise(like, streams)._replace(
        adjacency=1.1 * noise(like, streams).adjacency
    )


def too_long(step: Formula) -> Formula:
    """Make each step of a solver that is a method a little too long."""
    return lambda self, denoise, x, *sigmas: 1.05 * step(self, denoise, x, *sigmas) - 0.05 * x


def not_extrapolated(extrapolated: Formula) -> Formula:
    """Hold the denoised graph over the step."""
    return lambda now, past: now.mean


def worst_first(best: Formula) -> Formula:
    """Choose the candidates of highest misfit."""
    return lambda candidates, misfits, count: best(candidates, -misfits, count)


def last_node_apart(formula: Formula) -> Formula:
    """Treat the last node in another way than the others."""

    def wrong(*args: Any) -> Any:
        value = formula(*args).clone()
        value[..., -1, :] *= 1.5
        return value

    return wrong


def triangles_forgotten(counts: Formula) -> Formula:
    """Count no triangles."""

    def wrong(graph: Any) -> Any:
        found = counts(graph).copy()
        found[:, 3] = 0
        return found

    return wrong


def heun_as_euler(integrate: Formula) -> Formula:
    """Solve by Euler's method where Heun's is meant."""

    def wrong(*args: Any, method: str = "heun", **kwargs: Any) -> Any:
        return integrate(*args, method="euler" if method == "heun" else method, **kwargs)

    return wrong


def other_exponent(grid: Formula) -> Formula:
    """Space noise levels by another root."""
    return lambda *args, **kwargs: grid(*args[:3], *(0.8 * rho for rho in args[3:] or (7.0,)))


def drawn_to_the_middle(ranks: Formula) -> Formula:
    """Halve how far ranks among 19 samples are from the middle."""
    return lambda *args, **kwargs: (ranks(*args, **kwargs) + 9) // 2
