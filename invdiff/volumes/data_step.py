"""The data step of volumes: conjugate gradients over all slices together."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import inner, ratio
from invdiff.volumes.coupling import Terms
from invdiff.volumes.differences import z_normal
from invdiff.volumes.split import Split

__all__ = ["data_step"]

_DIMS = 3


def data_step(
    likelihood: Likelihood,
    denoised: Tensor,
    weight: Tensor,
    terms: Terms,
    split: Split,
    *,
    num_steps: int,
    start: Tensor | None = None,
    free: Tensor | None = None,
) -> Tensor:
    r"""Return the compromise of the data, the denoised volume and the coupling.

    .. math:: \arg\min_x \tfrac12 \|t - A x\|_W^2 + \tfrac w2 \|x - D\|^2 + \tfrac a2 \|x\|^2 +
        \tfrac b2 \|D_z x\|^2 - \langle c, x \rangle

    by conjugate gradients whose scalars are sums over the whole volume :cite:p:`hestenes1952`.

    Args:
        likelihood: Of the slices that are held here.
        denoised: D, shape ``(samples, count, rows, columns)``.
        weight: w.
        terms: a, b and c.
        split: Slices that are held here.
        num_steps: Conjugate gradient steps; all are made.
        start: First iterate; D by default.
        free: 1 where x is sought, 0 where it stays as it starts; broadcasts against x. None: all.
    """

    def moving(v: Tensor) -> Tensor:
        return v if free is None else free * v

    diagonal = weight if terms.diagonal is None else weight + terms.diagonal

    def matrix(x: Tensor) -> Tensor:
        product = likelihood.weighted_normal(x) + diagonal * x
        if terms.differences is not None:
            product = product + terms.differences * z_normal(x, split)
        return product

    b = likelihood.weighted_adjoint + weight * denoised
    if terms.pull is not None:
        b = b + terms.pull

    def product_of(u: Tensor, v: Tensor) -> Tensor:
        return split.all_sum(inner(u, v, _DIMS))

    x = denoised if start is None else start
    r = moving(b - matrix(x))
    p, rr = r, product_of(r, r)
    for _ in range(num_steps):
        q = moving(matrix(p))
        step = ratio(rr, product_of(p, q))
        x, r = x + step * p, r - step * q
        last, rr = rr, product_of(r, r)
        p = torch.add(r, ratio(rr, last) * p)
    return x
