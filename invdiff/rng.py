"""Random streams that depend on their labels only, not on order, batch size or workers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Population",
    "Streams",
    "derive_generator",
    "draw_seeds",
    "population",
    "problem_streams",
]

_SEED_LIMIT = 2**63 - 1


def derive_generator(
    seed: int, *labels: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return one independent stream per (seed, labels), such as ``(0, "noise")``.

    Args:
        seed: Any integer.
        labels: Words or integers that name the stream.
        device: Where the generator draws.
    """
    digest = hashlib.blake2b(repr((seed, *labels)).encode(), digest_size=8).digest()
    # manual_seed takes 64 bits, but only non-negative ones agree between devices
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") % _SEED_LIMIT)


def draw_seeds(generator: torch.Generator, count: int) -> list[int]:
    """Draw integers that seed further streams; the first ones don't depend on the count."""
    device = generator.device
    return [
        int(torch.randint(_SEED_LIMIT, (), generator=generator, device=device))
        for _ in range(count)
    ]


@dataclass(frozen=True)
class Streams:
    """One generator per sample of each problem.

    Args:
        generators: ``num_samples * prod(batch_shape)`` generators, the problems running fastest.
        batch_shape: Shape of the samples: ``(num_samples, *problems)``.
    """

    generators: tuple[torch.Generator, ...]
    batch_shape: tuple[int, ...]

    def normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw standard normals ``(*batch_shape, *shape)`` in the dtype and on the device of like.

        Complex dtypes get independent standard normals in the real and the imaginary part.
        """
        parts = (*shape, 2) if like.is_complex() else tuple(shape)
        real = like.dtype.to_real()
        draws = [
            torch.randn(parts, generator=g, device=g.device, dtype=real) for g in self.generators
        ]
        stacked = torch.stack(draws).to(like.device).reshape(*self.batch_shape, *parts)
        return torch.view_as_complex(stacked) if like.is_complex() else stacked

    def uniform_integers(self, high: int, device: torch.device) -> Tensor:
        """Draw one integer in [0, high) per stream, shape ``batch_shape``."""
        draws = [torch.randint(high, (), generator=g, device=g.device) for g in self.generators]
        return torch.stack(draws).to(device).reshape(self.batch_shape)


def problem_streams(
    generator: torch.Generator | Sequence[torch.Generator],
    num_samples: int,
    problem_shape: Sequence[int],
) -> Streams:
    """Give each sample of each problem its own stream.

    A problem solved in a batch gets the stream it would get alone: from its own generator if
    there is one per problem; problem 0 also from a common one. Sample k doesn't depend on how
    many samples are drawn.

    Args:
        generator: One for all problems, or one per problem.
        num_samples: Samples per problem, at least 1.
        problem_shape: Batch shape of the problems, ``()`` for one.

    Raises:
        ValueError: No samples asked for, or another number of generators than problems.
    """
    count = torch.Size(problem_shape).numel()
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
    if isinstance(generator, torch.Generator):
        devices, seeds = [generator.device] * count, draw_seeds(generator, count)
    else:
        if len(generator) != count:
            raise ValueError(f"expected one generator or {count}, got {len(generator)}")
        devices = [g.device for g in generator]
        seeds = [draw_seeds(g, 1)[0] for g in generator]
    streams = tuple(
        derive_generator(seed, k, device=device)
        for k in range(num_samples)
        for seed, device in zip(seeds, devices, strict=True)
    )
    return Streams(streams, (num_samples, *problem_shape))


@dataclass(frozen=True)
class Population:
    """One generator per problem: all particles of a problem draw from it together.

    Particles that are resampled have no identity, so a stream for each would buy nothing and
    cost a call for every particle and step.

    Args:
        generators: One per problem.
        problem_shape: Batch shape of the problems, ``()`` for one.
    """

    generators: tuple[torch.Generator, ...]
    problem_shape: tuple[int, ...]

    def normal(self, num_particles: int, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw standard normals ``(num_particles, *problems, *shape)``, as ``like`` in type."""
        streams = Streams(self.generators, self.problem_shape)
        draws = streams.normal((num_particles, *shape), like)
        return draws.movedim(len(self.problem_shape), 0)

    def uniform(self, num_particles: int, device: torch.device | str) -> Tensor:
        """Draw uniforms on [0, 1), shape ``(num_particles, *problems)``, float64."""
        draws = [
            torch.rand(num_particles, generator=g, device=g.device, dtype=torch.float64)
            for g in self.generators
        ]
        stacked = torch.stack(draws, dim=1).to(device)
        return stacked.reshape(num_particles, *self.problem_shape)


def population(
    generator: torch.Generator | Sequence[torch.Generator], problem_shape: Sequence[int]
) -> Population:
    """Give each problem its own stream; a problem in a batch gets the one it would get alone.

    Raises:
        ValueError: Another number of generators than problems.
    """
    streams = problem_streams(generator, 1, problem_shape)
    return Population(streams.generators, tuple(problem_shape))
