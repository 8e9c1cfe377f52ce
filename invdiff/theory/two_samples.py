"""Whether a trained classifier can tell samples from exact ones."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from invdiff.theory.cloud import Cloud, equal_points

__all__ = ["c2st"]

_LEARNING_RATE, _DECAY = 0.005, 0.001


def c2st(
    x: Cloud,
    y: Cloud,
    *,
    generator: torch.Generator,
    num_folds: int = 5,
    num_hidden: int = 32,
    num_steps: int = 200,
) -> float:
    r"""Return the accuracy of a classifier on samples that it wasn't trained on.

    0.5: it cannot tell them apart; 1: it always can. The classifier two-sample test of
    :cite:t:`lopezpaz2017`: a network with two hidden layers, cross-validated. Equal distributions
    leave a standard error of :math:`1 / \sqrt{8 N}` about 0.5. It is blind to what the network
    doesn't learn from N samples: say the N.

    Args:
        x: Samples of equal weight.
        y: Samples of the same image shape; of the larger cloud the first N are taken.
        generator: Draws the folds and the start of the network.
        num_folds: Parts that are left out in turn, at least 2.
        num_hidden: Width of the layers.
        num_steps: Steps of Adam, each on all that is not left out.

    Raises:
        ValueError: Other weights or dimensions, or fewer samples than folds.
    """
    points_x, points_y = equal_points(x), equal_points(y)
    count = min(len(points_x), len(points_y))
    if points_x.shape[1] != points_y.shape[1] or not 2 <= num_folds <= count:
        raise ValueError(
            f"c2st: expected clouds in one space and 2 to {count} folds, got "
            f"{points_x.shape[1]} and {points_y.shape[1]} dimensions, {num_folds} folds"
        )
    points = torch.cat([points_x[:count], points_y[:count]]).float()
    label = torch.arange(2 * count, device=points.device) // count
    fold = _folds(count, num_folds, generator).to(points.device)
    layers = _start(points.shape[1], num_folds, num_hidden, generator, points.device)
    standard = (points - points.mean(0)) / points.std(0).clamp(min=torch.finfo(points.dtype).tiny)
    _train(layers, standard, label, fold, num_steps)
    with torch.no_grad():
        logits = _logits(layers, standard).gather(0, fold.unsqueeze(0)).squeeze(0)
    return float(((logits > 0) == (label == 1)).double().mean())


def _folds(count: int, num_folds: int, generator: torch.Generator) -> Tensor:
    """Return the fold of each point, as many of either label in each."""
    parts = torch.arange(count) % num_folds
    orders = [torch.randperm(count, generator=generator, device=generator.device) for _ in "xy"]
    return torch.cat([parts[order.cpu()] for order in orders])


def _start(
    num_inputs: int,
    num_folds: int,
    num_hidden: int,
    generator: torch.Generator,
    device: torch.device,
) -> list[tuple[Tensor, Tensor]]:
    """Return weights and offsets of three layers, a network for each fold."""
    sizes = (num_inputs, num_hidden, num_hidden, 1)
    layers = []
    for before, after in pairwise(sizes):
        shape = (num_folds, before, after)
        weight = torch.randn(shape, generator=generator, device=generator.device)
        weight = weight.to(device) * (2 / before) ** 0.5
        offset = torch.zeros(num_folds, 1, after, device=device)
        layers.append((weight.requires_grad_(), offset.requires_grad_()))
    return layers


def _logits(layers: list[tuple[Tensor, Tensor]], points: Tensor) -> Tensor:
    """Return what the network of each fold says to each point, ``(num_folds, N)``."""
    hidden = points.expand(len(layers[0][0]), *points.shape)
    for weight, offset in layers[:-1]:
        hidden = torch.relu(hidden @ weight + offset)
    return (hidden @ layers[-1][0] + layers[-1][1]).squeeze(-1)


def _train(
    layers: list[tuple[Tensor, Tensor]], points: Tensor, label: Tensor, fold: Tensor, steps: int
) -> None:
    parameters = [parameter for layer in layers for parameter in layer]
    optimizer = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=_DECAY)
    own = torch.arange(len(layers[0][0]), device=points.device).unsqueeze(1)
    # each network sees all points but those of its own fold
    seen = (fold != own).float()
    target = label.float().expand_as(seen)
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.enable_grad():
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                _logits(layers, points), target, weight=seen, reduction="sum"
            )
            (loss / seen.sum(1).mean()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
