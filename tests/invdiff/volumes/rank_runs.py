"""What the ranks of the tests do, and how they are started: with gloo, a file and no port."""

from __future__ import annotations

import dataclasses
import inspect
import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

import invdiff.volumes
from invdiff.likelihood import Likelihood
from invdiff.priors import ComplexPrior, Denoiser, GaussianPrior, SubspacePrior
from invdiff.rng import derive_generator
from invdiff.volumes import (
    Independent,
    QuadraticZ,
    RankSplit,
    SlicePrior,
    Split,
    Together,
    TotalVariationZ,
    VolumeSampler,
    Whole,
    local_likelihood,
    local_prior,
)
from operators import Blur, GaussianNoise, PoissonNoise, SingleCoilMRI, SliceStack

SLICES, SHAPE = 7, (6, 5)
COUPLINGS = {
    "independent": Independent(),
    "quadratic": QuadraticZ(0.5),
    "total-variation": TotalVariationZ(0.3),
    "together": Together((TotalVariationZ(0.2), QuadraticZ(0.3))),
}
KINDS = ["float32", "float64", "complex64", "counts"]
Results = dict[str, torch.Tensor]


def every_method() -> dict[str, VolumeSampler]:
    """Every method there is, in few steps, with every coupling if it takes one."""
    found = {}
    for name in invdiff.volumes.__all__:
        method = getattr(invdiff.volumes, name)
        if not (isinstance(method, type) and issubclass(method, VolumeSampler)):
            continue
        if inspect.isabstract(method):
            continue
        names = {field.name for field in dataclasses.fields(method) if field.init}
        few = {k: v for k, v in {"num_steps": 4, "num_cg": 3}.items() if k in names}
        if "coupling" not in names:
            found[name] = method(**few)
            continue
        for label, coupling in COUPLINGS.items():
            found[f"{name} {label}"] = method(coupling=coupling, **few)
    return found


METHODS = every_method()


def problem(kind: str) -> tuple[Likelihood, Denoiser]:
    """A volume of blurred slices, of incomplete k-space, or of photon counts."""
    generator = derive_generator(0, kind)
    normal = {"generator": generator, "dtype": torch.float64}
    basis = torch.linalg.qr(torch.randn(30, 4, **normal)).Q
    variances = torch.tensor([4.0, 2.0, 1.0, 0.5]).double()
    latent = GaussianPrior(torch.zeros(4).double(), variances.diag())
    plane = SubspacePrior(torch.full(SHAPE, 5.0).double(), basis, latent)
    x = plane.sample(SLICES, generator=generator).clamp(min=0.1)
    if kind == "complex64":
        operator = SingleCoilMRI(torch.rand(SHAPE, generator=generator) < 0.6)
        plane, x = ComplexPrior(plane, 0.3), torch.complex(x, 0.3 * torch.randn(x.shape, **normal))
    else:
        operator = Blur(torch.rand(3, 3, generator=generator).double() / 5, SHAPE)
    stack = SliceStack(operator, SLICES)
    noise = PoissonNoise(20.0) if kind == "counts" else GaussianNoise(0.5)
    dtype = torch.float32 if kind == "counts" else getattr(torch, kind)
    y = noise.sample(stack(x), generator=generator).to(dtype)
    return Likelihood(stack, noise, y), SlicePrior(plane, SLICES)


def reconstructions(split: Split) -> Results:
    """Two samples of every method with every coupling, the whole volumes; nothing but on rank 0."""
    found: Results = {}
    for kind in KINDS:
        whole, prior = problem(kind)
        likelihood, local = local_likelihood(whole, split), local_prior(prior, split)
        for name, sampler in METHODS.items():
            generator = derive_generator(1)
            result = sampler.sample(likelihood, local, 2, generator=generator, split=split)
            volume = split.collect(result.values)
            if volume is not None:
                found[f"{kind} {name}"] = volume
    return found


def numbered_slices(total: int = SLICES) -> torch.Tensor:
    """Volumes of which every voxel says where it is."""
    x = torch.arange(2.0 * total * 6).reshape(2, total, 2, 3)
    return torch.complex(x, -x)


def exchanges(split: Split) -> Results:
    """What a rank gets from the others; every result is stated again without them by the tests."""
    x = numbered_slices()[:, split.first : split.first + split.count]
    partial = torch.tensor([0.1, 1e8]) * (split.first + 1)
    found = {
        "place": torch.tensor([split.first, split.count]),
        "sum": split.all_sum(partial),
        "complex sum": split.all_sum(torch.complex(partial, -partial)),
        "sum of many": split.all_sum(torch.complex(partial, -partial).expand(5000, 2)),
        "gather": split.gather(x),
        "real gather": split.gather(x.real),
    }
    optional = {
        "after": split.after(x),
        # the imaginary part is a view with strides
        "after imag": split.after(x.imag),
        "before conj": split.before(x.conj()),
        "collect": split.collect(x),
    }
    return found | {name: v for name, v in optional.items() if v is not None}


def two_and_three(folder: Path) -> None:
    """Save what the groups of the first two and of all three ranks find."""
    rank = dist.get_rank()
    pair = dist.new_group([0, 1])
    for size, group in [(2, pair), (3, None)]:
        if rank < size:
            split = RankSplit(SLICES, group)
            found = exchanges(split) | reconstructions(split)
            save_file({k: v.contiguous() for k, v in found.items()}, folder / f"{size}-{rank}")


def one_fails(folder: Path) -> None:
    """Raise on rank 1 in the middle of a run, and note what the other rank sees."""
    split = RankSplit(SLICES)
    whole, prior = problem("float32")

    def fail_at_two(progress: object) -> None:
        if split.rank == 1 and progress.step == 2:
            raise ArithmeticError("rank 1 has run out of numbers")

    likelihood, local = local_likelihood(whole, split), local_prior(prior, split)
    METHODS["RedDiff3D quadratic"].sample(
        likelihood, local, generator=derive_generator(0), split=split, callback=fail_at_two
    )


def one_is_stuck(folder: Path) -> None:
    """Let rank 1 never take part, without failing, until rank 0 has given up."""
    split = RankSplit(SLICES)
    if split.rank == 0:
        split.all_sum(torch.zeros(1))
    while not (folder / "error-0").exists():
        pass


def more_ranks_than_slices(folder: Path) -> None:
    """Ask for a split that leaves a rank without slices."""
    RankSplit(1)


def run_ranks(
    worker: Callable[[Path], None], num_ranks: int, folder: Path, *, timeout: float = 30
) -> list[str | None]:
    """Run a worker on each rank; return what each raised, with its notes.

    Fails if a rank is still at work long after its group's timeout.
    """
    # a server that has imported torch already makes ranks in no time
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch.distributed", "invdiff.volumes"])
    ranks = [
        context.Process(target=_as_rank, args=(worker, rank, num_ranks, folder, timeout))
        for rank in range(num_ranks)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout + 30)
    hanging = [process for process in ranks if process.is_alive()]
    for process in hanging:
        process.kill()
    assert not hanging, "a rank waits for ever"
    assert all(process.exitcode == 0 for process in ranks)
    reports = [folder / f"error-{rank}" for rank in range(num_ranks)]
    return [report.read_text() if report.exists() else None for report in reports]


def _as_rank(
    worker: Callable[[Path], None], rank: int, num_ranks: int, folder: Path, timeout: float
) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), num_ranks)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=num_ranks, timeout=timedelta(seconds=timeout)
    )
    try:
        worker(folder)
    except Exception as error:
        notes = getattr(error, "__notes__", [])
        text = "\n".join([f"{type(error).__name__}: {error}", *notes])
        (folder / f"unfinished-{rank}").write_text(text)
        # in one piece, for others wait for it
        (folder / f"unfinished-{rank}").rename(folder / f"error-{rank}")
    finally:
        dist.destroy_process_group()


def load_results(folder: Path, size: int) -> list[Results]:
    """Return what each rank of the group of that size has saved."""
    return [load_file(folder / f"{size}-{rank}") for rank in range(size)]


def alone() -> Results:
    """Return the reconstructions of one process without a group."""
    return reconstructions(Whole(SLICES))
