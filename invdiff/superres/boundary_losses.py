"""Many boundaries on many pairs, a bounded number of images at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from invdiff.superres.boundary import drawn_boundary
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Metric, Pairs

__all__ = [
    "Draw",
    "Judge",
    "check_pairs",
    "judge_by",
    "judged",
    "losses_of",
    "mean_loss",
    "random_draw",
]

# (image, measurement, truth) -> one number for each image; all (batch, ...)
Judge = Callable[[Tensor, Tensor, Tensor], Tensor]
# (boundaries, pairs) -> their x_T, (boundaries, pairs or 1, *image)
Draw = Callable[[slice, slice], Tensor]
# pixels of all images that are solved for together: the state of the ODE takes 4 or 64 MiB
_PIXELS_ON_CPU, _PIXELS_ON_GPU = 2**20, 2**24


def judge_by(metric: Metric) -> Judge:
    """Return a judge that leaves the measurement alone."""
    return lambda image, y, truth: metric(image, truth)


def random_draw(seed: int, label: str, *, like: Tensor, device: torch.device) -> Draw:
    """Return what draws boundary k of all pairs from the stream ``(seed, label, k)``.

    Args:
        seed: See ``derive_generator``.
        label: Tells apart what must not share its x_T.
        like: Gives shape, dtype and device of x_T.
        device: Where they are drawn.
    """

    def draw(rows: slice, _: slice) -> Tensor:
        draws = [
            drawn_boundary(seed, label, k, shape=like.shape, like=like, device=device)
            for k in range(rows.start, rows.stop)
        ]
        return torch.stack(draws).unsqueeze(1)

    return draw


def check_pairs(name: str, pairs: Pairs) -> None:
    """Refuse no pairs, and another number of measurements than of truths.

    Raises:
        ValueError: As said; ``name`` says of which.
    """
    counts = len(pairs.measurements), len(pairs.truths)
    if counts[0] != counts[1] or counts[0] == 0:
        raise ValueError(
            f"{name}: expected at least one pair, and a truth for each measurement; got "
            f"{counts[0]} measurements and {counts[1]} truths"
        )


def judged(
    ode: SuperResolutionOde,
    draw: Draw,
    num_boundaries: int,
    pairs: Pairs,
    judges: Sequence[Judge],
    chunk_size: int | None,
) -> Iterator[Tensor]:
    """Yield the numbers of all judges for the next boundaries on all pairs.

    Args:
        ode: h.
        draw: Makes the x_T when they are needed: they are never all in memory.
        num_boundaries: How many there are.
        pairs: Where they are judged.
        judges: Who judges each image.
        chunk_size: Images that are solved for together; None: as many as fit about 2^20 pixels
            on a CPU, 2^24 on a GPU.

    Yields:
        ``(judges, some boundaries, pairs)``, float64 on the CPU.

    Raises:
        ValueError: A chunk size below 1, or a judge that doesn't give a number for each image.
    """
    size = _images_at_once(pairs.truths) if chunk_size is None else chunk_size
    if size < 1:
        raise ValueError(f"chunk_size: expected at least 1, got {size}")
    num_pairs = len(pairs.truths)
    together = max(1, size // num_pairs)
    columns = [slice(j, min(j + size, num_pairs)) for j in range(0, num_pairs, size)]
    for i in range(0, num_boundaries, together):
        rows = slice(i, min(i + together, num_boundaries))
        blocks = [_judged_block(ode, draw(rows, part), pairs, part, judges) for part in columns]
        yield torch.cat(blocks, dim=-1)


def losses_of(
    ode: SuperResolutionOde,
    boundaries: Tensor,
    pairs: Pairs,
    metric: Metric,
) -> Tensor:
    """Return the loss of every boundary on every pair, ``(boundaries, pairs)``, float64, CPU.

    Args:
        ode: h.
        boundaries: x_T, ``(boundaries, *image)``.
        pairs: Where they are judged.
        metric: How.
    """
    judges = [judge_by(metric)]
    blocks = judged(
        ode, lambda rows, _: boundaries[rows, None], len(boundaries), pairs, judges, None
    )
    return torch.cat([block[0] for block in blocks])


def mean_loss(ode: SuperResolutionOde, boundary: Tensor, pairs: Pairs, metric: Metric) -> float:
    """Return the mean loss of one boundary ``(*image)`` on pairs.

    Raises:
        ValueError: It is not finite.
    """
    loss = float(losses_of(ode, boundary.unsqueeze(0), pairs, metric).mean())
    if not math.isfinite(loss):
        raise ValueError(f"boundary: its mean loss is {loss}; are images and x_T finite?")
    return loss


@torch.no_grad()
def _judged_block(
    ode: SuperResolutionOde, x: Tensor, pairs: Pairs, part: slice, judges: Sequence[Judge]
) -> Tensor:
    measurements, truths = pairs.measurements[part], pairs.truths[part]
    batch = len(x), len(truths)
    y = measurements.expand(len(x), *measurements.shape).flatten(0, 1)
    truth = truths.expand(len(x), *truths.shape).flatten(0, 1)
    images = ode(x.expand(*batch, *x.shape[2:]).flatten(0, 1), y)
    values = [judge(images, y, truth) for judge in judges]
    for value in values:
        # a mean over the batch would broadcast, and make all candidates equal
        if value.shape != images.shape[:1]:
            raise ValueError(
                f"metric: expected one loss for each of {len(images)} images, got shape "
                f"{tuple(value.shape)}"
            )
    return torch.stack([v.to("cpu", torch.float64).reshape(batch) for v in values])


def _images_at_once(images: Tensor) -> int:
    pixels = _PIXELS_ON_CPU if images.device.type == "cpu" else _PIXELS_ON_GPU
    return max(1, pixels // max(1, images[0].numel()))
