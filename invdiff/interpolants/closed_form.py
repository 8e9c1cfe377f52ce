"""Processes whose components are Gaussian: every field is a mean in closed form."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.components import Components, Terms
from invdiff.interpolants.interpolant import Coefficients, Interpolant

__all__ = ["ClosedFormProcess"]

# numbers of all components in one piece of the samples: more are slower, as caches don't hold them
_PIECE = 2**20


class _Sum(NamedTuple):
    """Weights p, q, r of a sum p x0 + q x1 + r z at a time, the last as r gamma; None for 0."""

    ends: tuple[Tensor, Tensor] | None
    noise: Tensor


_SumAt = Callable[[Coefficients], _Sum]


class ClosedFormProcess:
    r"""A mixture of jointly Gaussian pairs of ends.

    .. math:: E[L \mid x_t = x] = \sum_k r_k \bigl(E_k[L] +
        \mathrm{Cov}_k(L, x_t)\, C_k^{-1} (x - m_k)\bigr)

    for each field, the mean of a sum L of the ends and the noise, with responsibilities r.

    Args:
        interpolant: Any kind.
        shape: Of x.
        components: Of the ends.
    """

    def __init__(
        self, interpolant: Interpolant, shape: Sequence[int], components: Components
    ) -> None:
        self.interpolant, self.shape, self._components = interpolant, tuple(shape), components

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b for x ``(*batch, *shape)``, t 0-dimensional or ``batch``.

        Raises:
            ValueError: The law of x_t is singular; the other fields raise it too.
        """
        return self._means(x, t, _velocity)[0]

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        return self._means(x, t, _score)[0]

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b and s at little more than the cost of one."""
        b, s = self._means(x, t, _velocity, _score)
        return b, s

    def path_velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return v, the mean of alpha' x0 + beta' x1."""
        return self._means(x, t, _path_velocity)[0]

    def noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return eta, the mean of the latent noise."""
        return self._means(x, t, _noise)[0]

    def target_mean(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the mean of x1 given x_t = x."""
        return self._means(x, t, _target)[0]

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Return log rho(x, t), shape ``batch``."""
        return self._components.whitened(self._flat(x, t), self._at(t))[1].logsumexp(-1)

    def _at(self, t: Tensor) -> Coefficients:
        return self.interpolant.at(t.to(self._components.mean1))

    def _flat(self, x: Tensor, t: Tensor) -> Tensor:
        """Return x as ``(*batch, n)`` in the dtype of the components."""
        if x.shape[x.ndim - len(self.shape) :] != self.shape:
            raise ValueError(
                f"{type(self).__name__}: expected x (*batch, *{self.shape}), got {tuple(x.shape)}"
            )
        batch = x.shape[: x.ndim - len(self.shape)]
        if t.ndim and t.shape != batch:
            raise ValueError(
                f"{type(self).__name__}: expected t of shape () or {tuple(batch)}, got "
                f"{tuple(t.shape)}"
            )
        mean = self._components.mean1
        return x.reshape(*batch, mean.shape[-1]).to(mean)

    def _means(self, x: Tensor, t: Tensor, *sums: _SumAt) -> list[Tensor]:
        """Return the mean of each sum given x_t = x, of shape, dtype and device of x."""
        pieces = [
            self._means_of_piece(part, self._at(times), sums)
            for part, times in self._pieces(self._flat(x, t), t)
        ]
        every = (torch.cat(parts) for parts in zip(*pieces, strict=True))
        return [parts.reshape(x.shape).to(x) for parts in every]

    def _pieces(self, flat: Tensor, t: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        batch, mean = flat.shape[:-1], self._components.mean1
        size = max(1, _PIECE // mean.numel())
        if mean.ndim > 2 or batch.numel() <= size:  # means of their own for each member
            return [(flat, t)]
        rows = torch.split(flat.reshape(-1, flat.shape[-1]), size)
        if not t.ndim:
            return zip(rows, itertools.repeat(t))
        return zip(rows, torch.split(t.expand(batch).reshape(-1), size), strict=True)

    def _means_of_piece(
        self, flat: Tensor, c: Coefficients, sums: Sequence[_SumAt]
    ) -> list[Tensor]:
        whitened, log_prob = self._components.whitened(flat, c)
        r = log_prob.softmax(-1).unsqueeze(-1)
        parts = (r * self._parts(whitened, c, of(c)) for of in sums)
        return [self._components.mixed(part).reshape(-1, flat.shape[-1]) for part in parts]

    def _parts(self, whitened: Tensor, c: Coefficients, weights: _Sum) -> Tensor:
        """Return the mean of a sum in each component, ``(*batch, K, n)``."""
        noise = weights.noise
        if weights.ends is None:
            return noise.reshape(*noise.shape, 1, 1) * whitened
        p, q = weights.ends
        covariance = Terms(p * c.alpha, q * c.beta, noise, p * c.beta, q * c.alpha)
        return self._components.mean(p, q) + self._components.apply(covariance, whitened)


def _velocity(c: Coefficients) -> _Sum:
    return _Sum((c.alpha_dot, c.beta_dot), c.gamma_product)


def _path_velocity(c: Coefficients) -> _Sum:
    return _Sum((c.alpha_dot, c.beta_dot), torch.zeros_like(c.gamma))


def _score(c: Coefficients) -> _Sum:
    return _Sum(None, -torch.ones_like(c.gamma))  # of -z / gamma


def _noise(c: Coefficients) -> _Sum:
    return _Sum(None, c.gamma)


def _target(c: Coefficients) -> _Sum:
    zero = torch.zeros_like(c.beta)
    return _Sum((zero, torch.ones_like(zero)), zero)
