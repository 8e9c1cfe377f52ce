"""Several priors that act as one, each where it knows better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser
from invdiff.priors.routing import Router, combined, truncated

__all__ = ["RoutedPrior"]


class RoutedPrior:
    r"""Experts that were trained apart, as the one prior of their mixture.

    .. math:: D(x, \sigma) = \sum_k p(k | x, \sigma)\, D_k(x, \sigma)

    Exact where the router is :cite:p:`mcallister2025`. A router off by delta in total variation
    costs at most :math:`2 \delta \max_k |D_k - c|` for any image c; leaving out experts of weight m
    costs at most :math:`m \max_{j, k} |D_j - D_k|`.

    Args:
        experts: The priors :math:`D_k`, in the same units.
        router: Their probabilities, such as ``MixtureRouter`` or a trained ``RouterNetwork``.
        top: How many experts each image gets, those of the largest weights; None for all. Only the
            experts that some image needs are called, on these images.
        info: What a folder says about it: title, licence, ...

    Attributes:
        data_range: That of all experts.
        image_shape: That of all experts.
        expert_calls: Images that each expert was given so far.

    Raises:
        ValueError: No experts, other data ranges or image shapes than those of the first, or
            ``top`` not from 1 to their number.
    """

    def __init__(
        self,
        experts: Sequence[Denoiser],
        router: Router,
        *,
        top: int | None = None,
        info: dict[str, Any] | None = None,
    ) -> None:
        if not experts:
            raise ValueError("RoutedPrior: expected experts, got none")
        if top is not None and not 1 <= top <= len(experts):
            raise ValueError(f"RoutedPrior: expected top from 1 to {len(experts)}, got {top}")
        self.experts, self.router, self.top = tuple(experts), router, top
        self.info = info or {}
        self.data_range, self.image_shape = experts[0].data_range, experts[0].image_shape
        for k, expert in enumerate(self.experts):
            _check_same("data_range", k, tuple(expert.data_range), tuple(self.data_range))
            _check_same("image_shape", k, expert.image_shape, self.image_shape)
        self.expert_calls = [0] * len(self.experts)

    @property
    def num_calls(self) -> int:
        """Images that the experts were given so far, in all."""
        return sum(self.expert_calls)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x0 | x] for x ``(*batch, *image)``; sigma is 0-dimensional or ``batch``.

        Differentiable in x, the weights included where the router is.

        Raises:
            ValueError: A router of another number of experts.
        """
        log_weights = self.router(x, sigma)
        if log_weights.shape[-1] != len(self.experts):
            raise ValueError(
                f"RoutedPrior: {len(self.experts)} experts, but the router gives "
                f"{log_weights.shape[-1]} weights"
            )
        if self.top is not None:
            return self._partial(x, sigma, truncated(log_weights, self.top))
        for k in range(len(self.experts)):
            self.expert_calls[k] += log_weights[..., 0].numel()
        return combined(torch.stack([expert(x, sigma) for expert in self.experts]), log_weights)

    def _partial(self, x: Tensor, sigma: Tensor, log_weights: Tensor) -> Tensor:
        batch = log_weights.shape[:-1]
        images = x.reshape(-1, *x.shape[len(batch) :])
        levels = sigma.expand(batch).reshape(-1)
        weights = log_weights.exp().reshape(-1, len(self.experts))
        mean = torch.zeros_like(images)
        for k, expert in enumerate(self.experts):
            rows = weights[:, k].nonzero().squeeze(-1)
            if not len(rows):
                continue
            self.expert_calls[k] += len(rows)
            share = expand_right(weights[rows, k], images.ndim - 1).to(images)
            mean = mean.index_add(0, rows, share * expert(images[rows], levels[rows]))
        return mean.reshape(x.shape)


def _check_same(name: str, k: int, found: object, expected: object) -> None:
    if found != expected:
        raise ValueError(f"RoutedPrior: {name} of expert {k} is {found}, of expert 0 {expected}")
