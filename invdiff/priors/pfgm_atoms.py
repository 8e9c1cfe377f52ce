"""The exact denoiser of finitely many images under the noise of PFGM++."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors.pfgm import check_dof, student_log_density, student_precision

__all__ = ["StudentAtoms"]


class StudentAtoms:
    r"""Images :math:`y_i` of given probabilities, seen through Student t noise.

    .. math:: E[y \mid x] = \sum_i r_i\, y_i, \qquad
        r_i \propto w_i\, (\sigma^2 D + |x - y_i|^2)^{-(N + D) / 2}

    The field of :cite:t:`xu2023` of the data set itself; for D = infinity the softmax of
    :math:`-|x - y_i|^2 / (2 \sigma^2)`, a ``Denoiser`` of Gaussian noise. Each call holds
    ``batch * K * N`` numbers.

    Args:
        atoms: y, ``(K, *image_shape)``.
        dof: D, at least 1; infinity for Gaussian noise.
        weights: w, ``(K,)``, positive; normalised to sum 1; equal ones by default.

    Attributes:
        data_range: The lowest and the highest number of the atoms.
        image_shape: Shape of an atom.

    Raises:
        ValueError: D below 1, or weights of another shape or not positive.
    """

    def __init__(self, atoms: Tensor, dof: float, weights: Tensor | None = None) -> None:
        check_dof(dof)
        weights = atoms.new_ones(len(atoms)) if weights is None else weights
        if weights.shape != (len(atoms),) or not (weights > 0).all():
            raise ValueError(
                f"StudentAtoms: {len(atoms)} atoms need as many positive weights, got {weights}"
            )
        self.atoms, self.dof, self.weights = atoms, dof, weights / weights.sum()
        self.image_shape: tuple[int, ...] = tuple(atoms.shape[1:])
        self.data_range = (float(atoms.min()), float(atoms.max()))

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[y | x] for x ``(*batch, *image)``, sigma 0-dimensional or ``batch``."""
        offset, log_joint = self._joint(x, sigma)
        # about x, so that an atom alone is met to rounding
        mean = (log_joint.softmax(-1).unsqueeze(-1) * offset).sum(-2)
        return x + mean.reshape(x.shape).to(x.dtype)

    def log_prob(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the log density of the noisy x, shape ``batch``."""
        return self._joint(x, torch.as_tensor(sigma))[1].logsumexp(-1)

    def score(self, x: Tensor, sigma: Tensor) -> Tensor:
        r"""Return the gradient of ``log_prob`` in x, in its shape.

        .. math:: \nabla \log p(x) = \sum_i r_i \frac{N + D}{\sigma^2 D + |x - y_i|^2} (y_i - x)
        """
        offset, log_joint = self._joint(x, sigma)
        square = (offset**2).sum(-1)
        precision = student_precision(square, self._level(sigma), offset.shape[-1], self.dof)
        share = log_joint.softmax(-1) * precision
        return (share.unsqueeze(-1) * offset).sum(-2).reshape(x.shape).to(x.dtype)

    def _joint(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return y_i - x, ``(*batch, K, N)``, and log w_i p(x | y_i), ``(*batch, K)``."""
        flat = x.reshape(*x.shape[: x.ndim - len(self.image_shape)], 1, -1).to(self.atoms)
        offset = self.atoms.flatten(1) - flat
        density = student_log_density(
            (offset**2).sum(-1), self._level(sigma), offset.shape[-1], self.dof
        )
        return offset, self.weights.log() + density

    def _level(self, sigma: Tensor) -> Tensor:
        return sigma.to(self.atoms).unsqueeze(-1)
