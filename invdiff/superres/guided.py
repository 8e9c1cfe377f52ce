"""Unconditional priors as conditional denoisers: the data enter through guidance."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.samplers.base import denoised, start_image
from invdiff.samplers.guided import Vjp
from invdiff.samplers.moment_matching import covariance_pull
from invdiff.samplers.pigdm import isotropic_pull
from operators import LinearOperator, NoiseModel
from operators.resample import Resample

__all__ = ["GuidedDenoiser", "Guiding"]

Guiding = Literal["proximal", "pigdm", "moment_matching"]


class GuidedDenoiser:
    r"""E[x0 | x0 + sigma n = x, y] of an unconditional prior, by a Gaussian about its mean D.

    .. math:: D(x, \sigma, y) = D + \sigma^2 J^T A^T (A R A^T + W^{-1})^{-1} (y - A D)

    J is the Jacobian of D, and R the covariance of x0 given x that the method assumes:

    * ``"proximal"``: :math:`R = r^2 I` with :math:`r^2 = \sigma^2 v / (\sigma^2 + v)`, for
      :math:`\sigma^2 J`, too: the compromise of D and the data :cite:p:`zhu2023`, without a
      gradient through the network. Exact for a Gaussian prior of covariance v I; for noise that
      tends to 0 it is :math:`D + A^+ (y - A D)` :cite:p:`wang2023`.
    * ``"pigdm"`` :cite:p:`song2023`: the same R and the true J, so that the probability-flow ODE
      is that of ``PiGDM``. Exact where ``"proximal"`` is. Elsewhere it goes too far where
      :math:`\sigma^2 J > r^2`, as for coarse structures at :math:`\sigma^2 > v`: networks need
      a large v.
    * ``"moment_matching"`` :cite:p:`boys2024`: :math:`R = \sigma^2 J`, exact for every Gaussian
      prior once the conjugate gradients have converged. Where J isn't positive, as ``"pigdm"``.

    Differentiable in x: where x asks for it, the graph of the gradient is recorded, too.

    Args:
        denoiser: D, the prior, in the units of the operator's image.
        operator: A.
        noise: Of the measurements; W comes from its Gaussian surrogate.
        method: See above.
        prior_std: Square root of v, in half data ranges.
        num_cg: Conjugate gradient steps: a backward pass each for ``"moment_matching"``, and
            products with A only, where there is no closed form, for the others.
        clip: Whether D is clamped to the data range; no gradient passes where it is.
        chunk_size: Images whose graph is in memory at once; None: all.

    Attributes:
        data_range: Of the prior.
        calls_per_image: What one evaluation costs in network calls: 1 forward, and 2 for each
            backward pass.
        num_calls: Network calls so far, ``calls_per_image`` for every image.

    Raises:
        ValueError: An unknown method, a number out of its range, or a prior of other images.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: LinearOperator,
        noise: NoiseModel,
        method: Guiding = "proximal",
        *,
        prior_std: float = 1.0,
        num_cg: int = 8,
        clip: bool = False,
        chunk_size: int | None = None,
    ) -> None:
        _check(denoiser, operator, method)
        if not prior_std > 0 or num_cg < 1 or (chunk_size is not None and chunk_size < 1):
            raise ValueError(
                "GuidedDenoiser: expected prior_std > 0, num_cg >= 1 and chunk_size >= 1 or None, "
                f"got {prior_std}, {num_cg} and {chunk_size}"
            )
        self.denoiser, self.operator, self.noise, self.method = denoiser, operator, noise, method
        self.prior_std, self.num_cg = prior_std * half_range(denoiser), num_cg
        self.clip, self.chunk_size = clip, chunk_size
        self.data_range, self.num_calls = denoiser.data_range, 0
        coarse = isinstance(operator, Resample)
        self._enlarge = Resample(operator.out_shape, operator.in_shape) if coarse else None

    @property
    def calls_per_image(self) -> int:
        """Network calls that one evaluation costs for each image."""
        backward = {"proximal": 0, "pigdm": 1, "moment_matching": self.num_cg + 1}
        return 1 + 2 * backward[self.method]

    def __call__(self, x: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        """Return the mean for x ``(*batch, *image)``, sigma 0-dimensional or ``batch``.

        Raises:
            ValueError: Images or measurements that don't fit the operator, or a prior that
                autograd can't differentiate.
        """
        image, data = self.operator.in_shape, self.operator.out_shape
        batch = torch.broadcast_shapes(  # type: ignore[no-untyped-call]
            _leading(x, image, "images"), _leading(y, data, "measurements")
        )
        xs, ys = x.expand(*batch, *image).reshape(-1, *image), y.expand(*batch, *data)
        levels = sigma.to(x.device, x.dtype.to_real()).expand(batch).reshape(-1)
        size = self.chunk_size or max(len(xs), 1)
        parts = zip(
            *(torch.split(v, size) for v in (xs, levels, ys.reshape(-1, *data))), strict=True
        )
        guide = self._proximal if self.method == "proximal" else self._guided
        means = [guide(x, sigma, Likelihood(self.operator, self.noise, y)) for x, sigma, y in parts]
        self.num_calls += self.calls_per_image * len(xs)
        return torch.cat(means).reshape(*batch, *image)

    def center(self, y: Tensor) -> Tensor:
        """Return a rough image: bicubic enlargement, or regularised least squares.

        The latter is what data and a Gaussian of half the data range about its middle give.
        """
        if self._enlarge is not None:
            # beside the data, wherever the operator has gone meanwhile
            enlarged: Tensor = self._enlarge.to(y.device)(y)
            return enlarged
        return start_image(Likelihood(self.operator, self.noise, y), self.denoiser, 1)[0]

    def _proximal(self, x: Tensor, sigma: Tensor, likelihood: Likelihood) -> Tensor:
        mean, v = denoised(self.denoiser, x, sigma, clip=self.clip), self.prior_std**2
        variance = sigma**2 * v / (sigma**2 + v)
        return likelihood.proximal(mean, variance, num_steps=self.num_cg, tolerance=0)

    def _guided(self, x: Tensor, sigma: Tensor, likelihood: Likelihood) -> Tensor:
        mean, vjp = self._differentiated(x, sigma)
        variance = (sigma**2).reshape(-1, *(1,) * len(likelihood.image_shape))
        if self.method == "pigdm":
            pull = isotropic_pull(mean, sigma, likelihood, self.prior_std, self.num_cg)
        else:
            pull = covariance_pull(
                mean, sigma, likelihood, vjp, prior_std=self.prior_std, num_cg=self.num_cg
            )
        return mean + variance * vjp(pull.vector)

    def _differentiated(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Vjp]:
        """Return D and the product with J^T, with a graph of both only where x asks for it."""
        recorded = torch.is_grad_enabled() and x.requires_grad
        # fused attention has no second derivative
        attention = sdpa_kernel(SDPBackend.MATH) if recorded else nullcontext()
        with torch.enable_grad(), attention:
            point = x if recorded else x.detach().requires_grad_()
            mean = denoised(self.denoiser, point, sigma, clip=self.clip)
        if not mean.requires_grad:
            raise ValueError(
                "GuidedDenoiser: autograd cannot differentiate the denoiser "
                f"{type(self.denoiser).__name__}"
            )

        def vjp(u: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(
                mean, point, u, retain_graph=True, create_graph=recorded
            )
            return product

        return mean if recorded else mean.detach(), vjp


def _check(denoiser: Denoiser, operator: LinearOperator, method: str) -> None:
    if method not in get_args(Guiding):
        raise ValueError(
            f"GuidedDenoiser: expected method {', '.join(get_args(Guiding))}, got {method!r}"
        )
    if denoiser.image_shape not in (None, operator.in_shape):
        raise ValueError(
            f"GuidedDenoiser: the prior has images of {denoiser.image_shape}, the operator takes "
            f"{operator.in_shape}"
        )


def _leading(v: Tensor, trailing: tuple[int, ...], name: str) -> torch.Size:
    if v.ndim < len(trailing) or v.shape[v.ndim - len(trailing) :] != trailing:
        raise ValueError(f"GuidedDenoiser: expected {name} of {trailing}, got {tuple(v.shape)}")
    return v.shape[: v.ndim - len(trailing)]
