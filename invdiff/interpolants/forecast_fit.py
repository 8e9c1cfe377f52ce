"""Learning the drift of a forecast from a time series."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from invdiff.interpolants.couplings import Coupling, Draw, PairedCoupling
from invdiff.interpolants.fit import train_on_pairs
from invdiff.interpolants.interpolant import TwoSided, beside
from invdiff.interpolants.losses import regression_loss, uniform_times
from invdiff.interpolants.networks import told
from invdiff.interpolants.point_source import point_source_scale
from invdiff.interpolants.process import Field
from invdiff.training import Training, TrainingStep

__all__ = ["forecast_loss", "series_coupling", "train_forecast"]


def series_coupling(series: Tensor, lag: int = 1) -> PairedCoupling:
    """Cut a time series into pairs of present and next; the present is also the condition.

    Args:
        series: ``(time, *shape)``, equally spaced.
        lag: Steps from the present to the next image.

    Raises:
        ValueError: No pair.
    """
    if not 1 <= lag < len(series):
        raise ValueError(
            f"series_coupling: expected a lag of 1 to {len(series) - 1} for {len(series)} images, "
            f"got {lag}"
        )
    return PairedCoupling(series[:-lag], series[lag:], series[:-lag])


def forecast_loss(field: Field, interpolant: TwoSided, draw: Draw, t: Tensor, z: Tensor) -> Tensor:
    r"""Return the loss of each pair whose minimum is the drift of the SDE, ``(batch,)``.

    .. math:: L = E\bigl[\tfrac12 |b|^2 - (\alpha' x_0 + \beta' x_1 + \sigma' \sqrt t\, z) \cdot
        b\bigr]

    The target is finite at all times, so there is no need of pairs of z and -z.

    Args:
        field: ``(x, t) -> (batch, *shape)``; it has been told x0.
        interpolant: Such as ``foellmer``.
        draw: The pairs.
        t: ``(batch,)``.
        z: Standard normal, of the shape of x1.

    Raises:
        ValueError: An interpolant with another gamma; pairs, noise or a field of another shape.
    """
    root = beside(-point_source_scale(interpolant) * t.sqrt(), z)
    target = interpolant.path_velocity(t, draw.x0, draw.x1) + root * z
    value = field(interpolant.point(t, draw.x0, draw.x1, z), t.to(z))
    return regression_loss(value, target)


def train_forecast(
    network: nn.Module,
    interpolant: TwoSided,
    coupling: Coupling,
    training: Training,
    *,
    batch_size: int,
    generator: torch.Generator,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place to be a ``Drift`` and return the average of its weights.

    Args:
        network: ``(x, t, condition) -> (batch, *shape)``, see ``FieldMLP``.
        interpolant: Such as ``foellmer``.
        coupling: Present and next, with the present as the condition, see ``series_coupling``.
        training: The optimisation.
        batch_size: Pairs of each step.
        generator: On the device of the network; the only source of randomness.
        callback: Called after each step.

    Raises:
        ValueError: A loss that diverged, a batch below 1, or an interpolant with another gamma.
    """

    def loss(current: nn.Module, draw: Draw, t: Tensor, z: Tensor) -> Tensor:
        losses = forecast_loss(told(current, draw.condition), interpolant, draw, t, z)
        return losses / draw.x1[0].numel()

    return train_on_pairs(
        network,
        loss,
        coupling,
        training,
        batch_size=batch_size,
        generator=generator,
        # the target is finite at both ends
        times=partial(uniform_times, margin=0.0),
        callback=callback,
    )
