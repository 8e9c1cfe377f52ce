"""The training of a router itself, kept on the disk, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from invdiff.priors import RouterNetwork
from invdiff.rng import derive_generator
from invdiff.study.prior_training.live import LiveReport
from invdiff.study.router_training.options import RouterOptions
from invdiff.study.scripted import Arrays, Metrics
from invdiff.study.stored_weights import restore_weights, stored_weights
from invdiff.training import (
    RouterScore,
    TrainingCheckpoint,
    mirrored,
    router_scores,
    train_router,
)

__all__ = ["NUM_DRAWS", "fitted_router", "restored_router", "router_metrics"]

# draws of the noise of each held-out slice, for the scores of the router
NUM_DRAWS = 20


def fitted_router(
    options: RouterOptions,
    clean: Sequence[Tensor],
    *,
    seed: int,
    device: str,
    folder: Path,
    title: str,
) -> Arrays:
    """Train a router, all experts alike often, and return its weights and the loss of each step.

    Args:
        options: All choices.
        clean: Images ``(slices, size, size)`` in [-1, 1] of each expert.
        seed: Of all random numbers.
        device: Where to compute.
        folder: Of the checkpoint, inside that of the page that shows the loss.
        title: Of that page.
    """
    network = options.untrained(len(clean), clean[0].shape[-1], seed).to(device)
    generator = derive_generator(seed, "router", device=device)
    live = LiveReport(folder.parent, title, options.checkpoint_every)
    images = [values.to(device) for values in clean]
    about = {"options": options.model_dump_json(), "seed": str(seed), "slices": _described(clean)}
    trained = train_router(
        network,
        images,
        options.training(),
        options.levels(),
        batch_size=options.batch_size,
        generator=generator,
        shares=[1.0] * len(clean),
        change=mirrored,
        checkpoint=TrainingCheckpoint(
            folder / "router.safetensors", about, every=options.checkpoint_every,
            generators=(generator,),
        ),
        callback=live,
    )  # fmt: skip
    return {"loss": live.losses(), **stored_weights(trained)}


def restored_router(
    options: RouterOptions, trained: Arrays, num_experts: int, size: int, *, device: str
) -> RouterNetwork:
    """Return the network that ``fitted_router`` trained; its parameters want no gradient."""
    network = options.untrained(num_experts, size, 0)
    restore_weights(network, trained)
    return network.requires_grad_(False).to(device)


def router_metrics(
    router: RouterNetwork, heldout: Sequence[Tensor], sigmas: Sequence[float], seed: int
) -> Metrics:
    """Return accuracy, cross entropy and calibration error, a number for each noise level.

    Args:
        router: Trained.
        heldout: Images ``(slices, size, size)`` in [-1, 1] of each expert, under ``NUM_DRAWS``
            draws of the noise.
        sigmas: Noise levels.
        seed: Of the noise.
    """
    device = next(router.parameters()).device
    images = [values.repeat(NUM_DRAWS, 1, 1) for values in heldout]
    labels = torch.arange(len(images)).repeat_interleave(torch.tensor(list(map(len, images))))
    generator = derive_generator(seed, "scores", device=device)
    clean = torch.cat(images).to(device)
    scores = router_scores(router, clean, labels.to(device), sigmas, generator=generator)
    names = [name for name in RouterScore._fields if name != "sigma"]
    return {name: [getattr(score, name) for score in scores] for name in names}


def _described(clean: Sequence[Tensor]) -> str:
    return ", ".join(str(tuple(values.shape)) for values in clean)
