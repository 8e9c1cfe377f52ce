"""What two priors, that know one end of a gap each, know together."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser

__all__ = ["EndsProduct"]

Rule = Literal["posteriors", "scores", "mean"]


class EndsProduct:
    r"""A prior of a gap given both ends, from priors given one of them and none.

    In a chain a and b don't know of each other but through the gap g between them, and the noise
    of x knows of neither, so that

    .. math:: p(g \mid a, b) \propto \frac{p(g \mid a)\, p(g \mid b)}{p(g)}, \qquad
        p(g \mid x, a, b) \propto \frac{p(g \mid x, a)\, p(g \mid x, b)}{p(g \mid x)}

    The first equation is about clean slices and does not carry over to the densities of noisy
    ones: at a noise level the sum of the scores is wrong. The second holds at every level. With
    Gaussian posteriors of the means D and the covariances :math:`\sigma^2 J`, J the Jacobian of D,
    it is

    .. math:: J^{-1} D = J_a^{-1} D_a + J_b^{-1} D_b - J_0^{-1} D_0, \qquad
        J^{-1} = J_a^{-1} + J_b^{-1} - J_0^{-1}

    which is exact for Gaussian chains. It is dense: one backward pass a voxel.

    Args:
        before: Prior given the slice before the gap, such as a ``OneEnd``.
        behind: Prior given the slice behind it.
        free: Prior of the gap given neither.
        rule: "posteriors" as above; "scores", the sum :math:`D_a + D_b - D_0`, exact at noise 0
            alone; or "mean", :math:`(D_a + D_b) / 2`, the fusion of :cite:t:`feng2024trf`.

    Raises:
        ValueError: The priors aren't of the same slices, or the rule isn't known.
    """

    def __init__(
        self, before: Denoiser, behind: Denoiser, free: Denoiser, *, rule: Rule = "posteriors"
    ) -> None:
        shapes = [prior.image_shape for prior in (before, behind, free)]
        if shapes[0] is None or shapes.count(shapes[0]) < 3:
            raise ValueError(f"EndsProduct: expected priors of the same slices, got {shapes}")
        if rule not in get_args(Rule):
            raise ValueError(f"EndsProduct: expected one of {get_args(Rule)}, got {rule!r}")
        self.image_shape: tuple[int, ...] = shapes[0]
        self.data_range = free.data_range
        self._priors, self._rule = (before, behind, free), rule

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean of the slices of the gap.

        Args:
            x: Shape ``(*batch, n, rows, columns)``.
            sigma: 0-dimensional, or one for each volume.
        """
        if self._rule == "posteriors":
            return self._product(x, sigma)
        before, behind, free = self._priors
        both = before(x, sigma) + behind(x, sigma)
        return both / 2 if self._rule == "mean" else both - free(x, sigma)

    def _product(self, x: Tensor, sigma: Tensor) -> Tensor:
        precision, pull = 0.0, 0.0
        for prior, sign in zip(self._priors, (1, 1, -1), strict=True):
            mean, jacobian = _with_jacobian(prior, x, sigma)
            inverse = torch.linalg.inv(jacobian)
            precision = precision + sign * inverse
            pull = pull + sign * (inverse @ mean.unsqueeze(-1))
        return torch.linalg.solve(precision, pull).reshape(x.shape)


def _with_jacobian(prior: Denoiser, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean ``(*batch, voxels)`` and its Jacobian ``(*batch, voxels, voxels)``."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        mean = prior(leaf, sigma).flatten(-3)
        # volumes of a batch don't see each other: one sum has the rows of all
        rows = [
            torch.autograd.grad(mean[..., i].sum(), leaf, retain_graph=True)[0].flatten(-3)
            for i in range(mean.shape[-1])
        ]
    return mean.detach(), torch.stack(rows, dim=-2)
