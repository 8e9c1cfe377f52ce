r"""The noise of PFGM++: a multivariate Student t, whose dimension D leads to diffusion.

With :math:`x = y + \sigma z \sqrt{D / \chi^2_D}` the density of x given y is that of
:cite:t:`xu2023` at the radius :math:`r = \sigma \sqrt D`,

.. math:: p(x \mid y) \propto \bigl(r^2 + |x - y|^2\bigr)^{-(N + D) / 2}
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["check_dof", "student_divergence", "student_log_density", "student_precision",
           "student_scale"]  # fmt: skip

_MANY = 200.0


def check_dof(dof: float) -> None:
    """Raise ``ValueError`` unless D is a number of at least 1, or infinity."""
    if not dof >= 1:
        raise ValueError(f"dof: expected at least 1, got {dof}")


def student_scale(count: int, dof: float, *, generator: torch.Generator) -> Tensor:
    r"""Draw :math:`\sqrt{D / \chi^2_D}`, what makes normal numbers a Student t; float64.

    Args:
        count: One for each vector, shape ``(count,)``; on the device of the generator.
        dof: D; for infinity these are ones, and nothing is drawn.
        generator: Source of the draws.

    Raises:
        ValueError: D below 1.
    """
    check_dof(dof)
    device = generator.device
    if math.isinf(dof):
        return torch.ones(count, dtype=torch.float64, device=device)
    shape = torch.full((count,), dof / 2, dtype=torch.float64, device=device)
    # torch.distributions takes no generator
    gamma = torch._standard_gamma(shape, generator=generator)
    return (dof / 2 / gamma).sqrt()


def student_log_density(square: Tensor, sigma: Tensor, num: int, dof: float) -> Tensor:
    """Return log p(x | y), in the shape of ``square``.

    Args:
        square: Squared distance of x and y.
        sigma: Noise level, which broadcasts against it.
        num: N, numbers in x.
        dof: D; infinity for a Gaussian.
    """
    if math.isinf(dof):
        return -square / (2 * sigma**2) - num / 2 * (2 * math.pi * sigma**2).log()
    size = math.lgamma((num + dof) / 2) - math.lgamma(dof / 2) - num / 2 * math.log(math.pi * dof)
    return size - num * sigma.log() - (num + dof) / 2 * (square / (dof * sigma**2)).log1p()


def student_precision(square: Tensor, sigma: Tensor, num: int, dof: float) -> Tensor:
    r"""Return what :math:`y - x` is multiplied by in the score of p(x | y).

    .. math:: \nabla_x \log p(x \mid y) = \frac{N + D}{r^2 + |x - y|^2} (y - x)

    For finite D this depends on y, so that the score of the noisy density is no longer
    :math:`(E[y \mid x] - x) / \sigma^2`.

    Args:
        square: Squared distance of x and y.
        sigma: Noise level, which broadcasts against it.
        num: N, numbers in x.
        dof: D; infinity gives :math:`\sigma^{-2}`.
    """
    if math.isinf(dof):
        return torch.ones_like(square) / sigma**2
    return (num + dof) / (dof * sigma**2 + square)


def student_divergence(num: int, dof: float) -> float:
    r"""Return the Kullback-Leibler divergence of the noise from the Gaussian of the same sigma.

    .. math:: KL = \ln \frac{\Gamma(\frac{N + D}2)}{\Gamma(\frac D2)} - \frac N2 \ln \frac D2
        - \frac{N + D}2 \Bigl(\psi\bigl(\tfrac{N + D}2\bigr) - \psi\bigl(\tfrac D2\bigr)\Bigr)
        + \frac N2 \frac D{D - 2} \approx \frac{N (N + 6)}{4 D^2}

    the last for D well above N.

    Args:
        num: N, numbers in an image.
        dof: D; up to 2 the divergence is infinite.

    Raises:
        ValueError: D below 1.
    """
    check_dof(dof)
    if dof <= 2 or math.isinf(dof):
        return 0.0 if math.isinf(dof) else math.inf
    half, whole = dof / 2, (num + dof) / 2
    if dof > _MANY:
        # the logarithms of the gamma functions have no digits left of their difference
        tails = [_stirling(z) for z in (half, whole)]
        sizes = num / (dof - 2) - num / (2 * dof) - math.log1p(num / dof) / 2
        return sizes + tails[1][0] - tails[0][0] - whole * (tails[1][1] - tails[0][1])
    ends = torch.tensor([half, whole], dtype=torch.float64).digamma()
    logs = math.lgamma(whole) - math.lgamma(half) - num / 2 * math.log(half)
    return logs - whole * float(ends[1] - ends[0]) + num / 2 * dof / (dof - 2)


def _stirling(z: float) -> tuple[float, float]:
    """Return what Stirling's formula lacks of ln(gamma) and, but for -1 / (2 z), of digamma."""
    return (
        1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5),
        -1 / (12 * z**2) + 1 / (120 * z**4) - 1 / (252 * z**6),
    )
