"""The data step of volumes: conjugate gradients over all slices together."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import ratio
from invdiff.volumes.coupling import Terms
from invdiff.volumes.differences import add_z_normal
from invdiff.volumes.memory import IN_CORE, Memory, groups
from invdiff.volumes.slice_likelihood import weighted_normal
from invdiff.volumes.split import Split

__all__ = ["data_step"]


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
    memory: Memory = IN_CORE,
) -> Tensor:
    r"""Return the compromise of the data, the denoised volume and the coupling.

    .. math:: \arg\min_x \tfrac12 \|t - A x\|_W^2 + \tfrac w2 \|x - D\|^2 + \tfrac a2 \|x\|^2 +
        \tfrac b2 \|D_z x\|^2 - \langle c, x \rangle

    by conjugate gradients whose scalars are sums over the whole volume :cite:p:`hestenes1952`.
    Four vectors are allocated, and changed in place.

    Args:
        likelihood: Of the slices that are held here.
        denoised: D, shape ``(samples, count, rows, columns)``.
        weight: w.
        terms: a, b and c.
        split: Slices that are held here.
        num_steps: Conjugate gradient steps; all are made.
        start: First iterate; D by default.
        free: 1 where x is sought, 0 where it stays as it starts; broadcasts against x. None: all.
        memory: Where the vectors live.
    """
    weight = _beside(weight, denoised)
    diagonal = weight if terms.diagonal is None else weight + _beside(terms.diagonal, denoised)
    bound = None if terms.differences is None else _beside(terms.differences, denoised)

    def matrix(v: Tensor, out: Tensor | None = None) -> Tensor:
        product = weighted_normal(likelihood, v, out).addcmul_(v, diagonal)
        return product if bound is None else add_z_normal(product, v, bound, split)

    def moving(v: Tensor) -> Tensor:
        return v if free is None else v.mul_(free)

    x = memory.copy(denoised if start is None else start)
    q = matrix(x)
    r = torch.sub(likelihood.weighted_adjoint, q, out=memory.empty_like(x))
    r.addcmul_(denoised, weight)
    if terms.pull is not None:
        r.add_(terms.pull)
    r = moving(r)
    p, rr = memory.copy(r), _inner(r, r, split)
    for _ in range(num_steps):
        q = moving(matrix(p, q))
        step = ratio(rr, _inner(p, q, split))
        x.addcmul_(p, step)
        r.addcmul_(q, step, value=-1)
        last, rr = rr, _inner(r, r, split)
        torch.addcmul(r, p, ratio(rr, last), out=p)
    return x


def _beside(v: Tensor, x: Tensor) -> Tensor:
    """Return a real factor in the precision and the place of x."""
    return v.to(x.device, x.dtype.to_real())


def _inner(u: Tensor, v: Tensor, split: Split) -> Tensor:
    """Return Re <u, v> over slices, rows and columns, which are kept with length 1.

    Slice by slice first, so that neither a temporary is as large as the volume nor the sum
    depends on how many slices are taken at a time; then in double, so that its rounding doesn't
    depend on who holds which slices.
    """
    sums = u.real.new_empty(u.shape[:-2])
    for first, count in groups(u):
        a, b = u.narrow(-3, first, count), v.narrow(-3, first, count)
        product = (a.conj() * b).real if a.is_complex() else a * b
        sums.narrow(-1, first, count).copy_(product.sum((-2, -1)))
    total = split.all_sum(sums.double().sum(-1)[..., None, None, None])
    return total.to(sums)
