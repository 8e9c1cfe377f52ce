"""Missing slices from a prior of single slices, which knows nothing of their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.volumes.coupling import QuadraticZ
from invdiff.volumes.pinned import KnownSlices
from invdiff.volumes.red_diff import RedDiff3D
from invdiff.volumes.sampler import VolumeSampler
from invdiff.volumes.slice_prior import SlicePrior
from operators import GaussianNoise, Mask

__all__ = ["fill_gaps", "gap_sampler", "linear_between"]

# known slices are pinned: the noise of their data weighs nothing
_NOISE = 0.01


def linear_between(known: KnownSlices) -> Tensor:
    r"""Interpolate slices linearly between the known ones; beyond the last, the nearest one.

    .. math:: x_k = \frac{(j - k)\, v_i + (k - i)\, v_j}{j - i}, \qquad i \le k \le j

    This is what minimises :math:`\|D_z x\|^2` with the known slices at their values, and the mean
    of a Gaussian chain given both ends as its correlation goes to 1.

    Returns:
        Shape ``(*batch, num_slices, rows, columns)``; known slices at their values.

    Raises:
        ValueError: No slice is known, or values that aren't floating-point numbers.
    """
    places = known.mask.nonzero().flatten()
    if len(places) == 0:
        raise ValueError("linear_between: expected a known slice, got none")
    values = known.values
    if not (values.is_floating_point() or values.is_complex()):
        raise ValueError(f"linear_between: expected floating-point slices, got {values.dtype}")
    z = torch.arange(len(known.mask), device=places.device)
    after = torch.searchsorted(places, z).clamp(max=len(places) - 1)
    before = (torch.searchsorted(places, z, right=True) - 1).clamp(min=0)
    low, high = places[before], places[after]
    share = (z - low) / (high - low).clamp(min=1)
    # beyond the last known slices both are the same one, whatever its share
    share = share.to(values)[:, None, None]
    low, high = low.to(values.device), high.to(values.device)
    return torch.lerp(values.index_select(-3, low), values.index_select(-3, high), share)


def gap_sampler(num_steps: int = 8, strength: float = 3.0) -> RedDiff3D:
    """Return RED-diff at low noise with slices that are close to their neighbours.

    Args:
        num_steps: Network calls for each unknown slice.
        strength: Of ``QuadraticZ``; as it grows, the gap goes to linear interpolation.
    """
    return RedDiff3D(
        num_steps=num_steps, sigma_max=0.1, sigma_min=0.02, coupling=QuadraticZ(strength)
    )


def fill_gaps(
    prior: SlicePrior,
    known: KnownSlices,
    *,
    generator: torch.Generator,
    sampler: VolumeSampler | None = None,
) -> Tensor:
    """Fill missing slices: from linear interpolation on, by a prior that is pulled to neighbours.

    A prior of single slices does not know which slice comes next, so nothing here is a
    conditional law of the gap; the known slices act through the start and the coupling alone.

    Args:
        prior: Of slices, in the units of the volume.
        known: Slices and their values, of one volume ``(num_slices, rows, columns)``.
        generator: Its seed names all random numbers.
        sampler: By default ``gap_sampler()``.

    Returns:
        The volume, known slices at their values.

    Raises:
        ValueError: No slice is known, or the prior is one of another volume.
    """
    start = linear_between(known)
    operator = Mask(known.mask[:, None, None].expand(start.shape).contiguous()).to(start.device)
    low, high = prior.data_range
    likelihood = Likelihood(operator, GaussianNoise(_NOISE * (high - low)), operator(start))
    chosen = gap_sampler() if sampler is None else sampler
    samples = chosen.sample(
        likelihood, prior, 1, generator=generator, known=known, start=start.unsqueeze(0)
    )
    return samples.values[0]
