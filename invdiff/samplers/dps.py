"""Diffusion posterior sampling: the likelihood at the denoised image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right, inner, ratio
from invdiff.samplers.descent import kept_noise
from invdiff.samplers.guided import Guidance, GuidedSampler, Pull, Scale, Vjp

__all__ = ["DPS"]


@dataclass(frozen=True)
class DPS(GuidedSampler):
    r"""Diffusion posterior sampling :cite:p:`chung2023`: guide by the misfit of the denoised image.

    With the residual :math:`r = W^{1/2} (t - A D(x_i, \sigma_i))` and J the Jacobian of D, after
    each ancestral step to :math:`\sigma_{i+1}` the image is moved by

    .. math:: -\zeta\, b \sqrt{1 + \sigma_i^2 / b^2} \sqrt{1 + \sigma_{i+1}^2 / b^2}\;
        \nabla_{x_i} \frac{\|r\|}{\|W^{1/2} A\|}

    b is half the data range; this is the published step in the scaling of x0 + sigma n, for each
    sample by its own norm. Dividing by the norm of :math:`W^{1/2} A` makes zeta mean the same for
    all operators. A residual of zero moves nothing. With ``guidance_kind="annealed"`` the mean is
    shifted by :math:`\sigma^2` times the score of

    .. math:: \log \tilde p(y | x_i) = -\frac{\|r\|^2}{2\, (1 + \sigma_i^2 \|W^{1/2} A\|^2)}

    instead, in which :math:`\sigma_i^2` stands for the covariance of x0 given x.

    Targets the posterior without the covariance of x0 given x. The norm's step has a fixed
    length and does not know the noise of the data: in the end it oscillates about them with
    residuals of half that length, too wide or too narrow. Annealed guidance is too weak at high
    noise, where :math:`\sigma_i^2` exceeds the covariance.

    Args:
        num_steps: Network calls; the norm's zeta is coupled to it.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        eta: Share of fresh noise, from 0 (deterministic) to 1 (ancestral).
        order: 2 continues the denoised image linearly in log sigma, without more network calls.
        clip: Whether D is clamped to the data range; no gradient passes where it is.
        chunk_size: Samples whose graph is in memory at once; None: all.
        guidance_kind: ``"norm"`` as published, or ``"annealed"``.
        zeta: Step size of the norm's guidance; unused by the annealed one.

    Raises:
        ValueError: A number out of its range.
    """

    guidance_kind: Literal["norm", "annealed"] = "norm"
    zeta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.guidance_kind not in ("norm", "annealed") or not self.zeta > 0:
            raise ValueError(
                "DPS: expected guidance_kind norm or annealed and zeta > 0, got "
                f"{self.guidance_kind!r} and {self.zeta}"
            )

    def _pull(
        self, mean: Tensor, sigma: Tensor, likelihood: Likelihood, scale: Scale, vjp: Vjp
    ) -> Pull:
        r = likelihood.precision.sqrt() * likelihood.residual(mean)
        num_dims = len(likelihood.operator.out_shape)
        squared = inner(r, r, num_dims).double().reshape(mean.shape[: r.ndim - num_dims])
        if self.guidance_kind == "norm":
            divisor = (squared * scale.squared_norm).sqrt()
            log_twist = -(squared / scale.squared_norm).sqrt()
        else:
            divisor = 1 + sigma.double() ** 2 * scale.squared_norm.expand_as(squared)
            log_twist = -squared / divisor / 2
        divisor = expand_right(divisor, len(likelihood.image_shape)).to(mean.real)
        return Pull(ratio(likelihood.quadratic_score(mean), divisor), log_twist)

    def _corrected(
        self, guidance: Guidance, sigma: Tensor, sigma_next: Tensor, scale: Scale
    ) -> Tensor:
        if self.guidance_kind == "annealed":
            return super()._corrected(guidance, sigma, sigma_next, scale)
        # what moves the mean by u moves the next image by (1 - kept) u
        kept, _ = kept_noise(sigma, sigma_next, self.eta)
        b = scale.half
        length = self.zeta * torch.sqrt((b**2 + sigma**2) * (b**2 + sigma_next**2)) / b
        return guidance.denoised + (length / (1 - kept)).to(guidance.score) * guidance.score
