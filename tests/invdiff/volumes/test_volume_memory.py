import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.volumes import (
    Execution,
    QuadraticZ,
    RedDiff3D,
    SlicePrior,
    Storage,
    Together,
    TotalVariationZ,
    Whole,
)
from invdiff.volumes.coupling import Terms
from invdiff.volumes.data_step import data_step
from invdiff.volumes.device_memory import _live_bytes
from invdiff.volumes.differences import (
    add_z_normal,
    z_difference_adjoint,
    z_differences,
    z_normal,
)
from invdiff.volumes.memory import IN_CORE, Memory, groups
from invdiff.volumes.slice_likelihood import placed_likelihood
from operators import (
    Blur,
    CartesianMRI,
    GaussianNoise,
    Mask,
    PoissonNoise,
    SliceStack,
    birdcage_maps,
    gaussian_psf,
)

SLICES, SIZE = 9, 16
MB = 2**20
ROOT = Path(__file__).parents[3]
COUPLING = Together((TotalVariationZ(), QuadraticZ()))
# sums of float32 in another order
TOLERANCE = 1e-6


class Shrinking:
    """The posterior mean of a standard normal prior about 1 / 2; it knows what passed."""

    data_range = (0.0, 1.0)

    def __init__(self, size=SIZE):
        self.image_shape = (size, size)
        self.sizes = []

    def __call__(self, x, sigma):
        self.sizes.append(x.shape[-3])
        return 0.5 + (x - 0.5) / (1 + sigma.to(x)[..., None, None] ** 2)


@dataclass(frozen=True)
class Piece:
    """Some slices, the others at hand."""

    whole: torch.Tensor
    first: int
    count: int

    @property
    def total(self):
        return self.whole.shape[-3]

    def all_sum(self, v):
        return v

    def after(self, x):
        end = self.first + self.count
        return None if end == self.total else self.whole.narrow(-3, end, 1)

    def before(self, x):
        return None if self.first == 0 else self.whole.narrow(-3, self.first - 1, 1)


def blurred(generator, slices=SLICES, size=SIZE, noise=None):
    y = torch.rand(slices, size, size, generator=generator)
    stack = SliceStack(Blur(gaussian_psf(1.0, 3), (size, size)), slices)
    return Likelihood(stack, GaussianNoise(0.1) if noise is None else noise, y)


def counted(generator):
    y = torch.poisson(20 * torch.rand(SLICES, SIZE**2, generator=generator), generator=generator)
    return Likelihood(SliceStack(Mask(torch.ones(SIZE, SIZE) > 0), SLICES), PoissonNoise(1.0), y)


def coils(generator):
    mask = torch.rand(SIZE, SIZE, generator=generator) < 0.5
    stack = SliceStack(CartesianMRI(mask, birdcage_maps((SIZE, SIZE), 3)), SLICES)
    x = torch.randn(stack.in_shape, dtype=torch.complex64, generator=generator)
    noise = GaussianNoise(0.2)
    return Likelihood(stack, noise, noise.sample(stack(x), generator=generator))


LIKELIHOODS = {"blur": blurred, "counts": counted, "coils": coils}


def memory(tmp_path, kind="disk", limit=None):
    return Memory(Storage(kind, tmp_path if kind == "disk" else None), limit=limit)


def sampled(likelihood, prior, execution=None, num_samples=2, callback=None):
    return (
        RedDiff3D(num_steps=5, coupling=COUPLING)
        .sample(
            likelihood,
            prior,
            num_samples,
            generator=torch.Generator().manual_seed(3),
            execution=execution,
            callback=callback,
        )
        .values
    )


def relative(x, expected):
    return float((x - expected).norm() / expected.norm())


@pytest.mark.parametrize("kind", ["device", "host", "disk"])
@pytest.mark.parametrize("limit", [None, 4 * MB])
def test_where_volumes_live_changes_nothing_but_rounding(kind, limit, tmp_path, generator):
    likelihood, misfits = blurred(generator), []
    expected = sampled(
        likelihood, SlicePrior(Shrinking(), SLICES), callback=lambda p: misfits.append(p.misfit)
    )
    execution = Execution(limit, kind, tmp_path if kind == "disk" else None)
    again, runs = [], []
    for _ in range(2):
        again = []
        runs.append(
            sampled(
                likelihood,
                SlicePrior(Shrinking(), SLICES),
                execution,
                callback=lambda p: again.append(p.misfit),  # noqa: B023
            )
        )
    if limit is None:
        # a limit chooses the chunks by measuring the process, which other work on it moves
        assert torch.equal(*runs)
    assert max(relative(run, expected) for run in runs) < TOLERANCE
    torch.testing.assert_close(torch.stack(again), torch.stack(misfits), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_in_chunks_is_the_likelihood(name, tmp_path, generator):
    whole = LIKELIHOODS[name](generator)
    part = placed_likelihood(whole, memory(tmp_path), 2)
    # an odd number of slices in chunks of two
    part.chunk_size = 2
    x = torch.rand(2, SLICES, SIZE, SIZE, generator=generator) + 0.1
    x = torch.complex(x, x.flip(-1)) if whole.operator.in_complex else x
    torch.testing.assert_close(part.weighted_adjoint, whole.weighted_adjoint)
    for method in ("weighted_normal", "residual", "score", "residual_over_noise", "log_prob"):
        torch.testing.assert_close(getattr(part, method)(x), getattr(whole, method)(x))
    out = torch.empty_like(x)
    assert part.weighted_normal(x, out=out) is out
    torch.testing.assert_close(out, whole.weighted_normal(x))


def test_a_three_dimensional_operator_goes_through_in_one_go(tmp_path, generator):
    stack = blurred(generator)
    # seen as one operator of volumes
    solid = Likelihood(1.0 * stack.operator, stack.noise, stack.y)
    placed = placed_likelihood(solid, memory(tmp_path), 1)
    x = torch.rand(2, SLICES, SIZE, SIZE, generator=generator)
    for method in ("weighted_normal", "residual", "score", "residual_over_noise", "log_prob"):
        torch.testing.assert_close(getattr(placed, method)(x), getattr(solid, method)(x))
    torch.testing.assert_close(placed.weighted_adjoint, solid.weighted_adjoint)
    prior = SlicePrior(Shrinking(), SLICES)
    execution = Execution(storage="disk", folder=tmp_path)
    expected = sampled(stack, prior)
    assert relative(sampled(solid, prior, execution), expected) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("per_slice", [False, True])
def test_the_data_step_solves_its_normal_equations(dtype, per_slice, tmp_path, generator):
    mask = torch.rand(3, 3, generator=generator) < 0.6
    stack = SliceStack(Mask(mask, complex_valued=dtype.is_complex), 4)
    y = torch.randn(stack.out_shape, dtype=dtype, generator=generator)
    likelihood = Likelihood(stack, GaussianNoise(0.5), y)
    denoised = torch.randn(2, 4, 3, 3, dtype=dtype, generator=generator)
    weight = torch.rand(2, 4, 1, 1, generator=generator).double() + 0.5
    weight = weight if per_slice else weight[0, 0, 0, 0]
    pull = torch.randn(denoised.shape, dtype=dtype, generator=generator)
    terms = Terms(torch.tensor(0.3), torch.tensor(0.7), pull)
    for place in (IN_CORE, memory(tmp_path)):
        own = placed_likelihood(likelihood, place, 2)
        kept = denoised.clone(), pull.clone()
        x = data_step(own, denoised, weight, terms, Whole(4), num_steps=40, memory=place)
        slope = own.weighted_normal(x) - own.weighted_adjoint + weight * (x - denoised)
        slope = slope + 0.3 * x + 0.7 * z_normal(x, Whole(4)) - pull
        assert slope.abs().max() < 1e-7
        assert torch.equal(denoised, kept[0])
        assert torch.equal(pull, kept[1])


def test_differences_of_pieces_are_pieces_of_differences(generator):
    x = torch.randn(2, 7, 3, 4, dtype=torch.float64, generator=generator)
    d = z_differences(x, Whole(7))
    weight = torch.rand(2, 7, 1, 1, dtype=torch.float64, generator=generator)
    normal = z_difference_adjoint(d, Whole(7))
    torch.testing.assert_close(d[:, :-1], x[:, 1:] - x[:, :-1])
    assert (d[:, -1] == 0).all()
    torch.testing.assert_close((normal * x).sum(), (d**2).sum())
    for first, count in ((0, 1), (0, 3), (2, 4), (6, 1), (0, 7)):
        own = x[:, first : first + count]
        piece = Piece(x, first, count)
        out = torch.full_like(own, 5.0)
        torch.testing.assert_close(z_differences(own, piece, out=out), d[:, first : first + count])
        adjoint = z_difference_adjoint(
            d[:, first : first + count], Piece(d, first, count), out=torch.full_like(own, 5.0)
        )
        torch.testing.assert_close(adjoint, normal[:, first : first + count])
        w = weight[:, first : first + count]
        added = add_z_normal(torch.ones_like(own), own, w, piece)
        torch.testing.assert_close(added, 1 + w * normal[:, first : first + count])


def test_groups_cover_a_large_volume_once():
    x = torch.empty(3, 50, 1000, 1000, device="meta")
    runs = list(groups(x))
    assert len(runs) > 1
    assert [z for first, count in runs for z in range(first, first + count)] == list(range(50))


def test_a_large_volume_gets_the_same_differences_in_groups(monkeypatch, generator):
    x = torch.randn(1, 7, 8, 8, dtype=torch.float64, generator=generator)
    expected = z_normal(x, Whole(7))
    monkeypatch.setattr("invdiff.volumes.memory._GROUP", 2 * 64)
    assert len(list(groups(x))) == 4
    torch.testing.assert_close(z_normal(x, Whole(7)), expected)


@pytest.mark.parametrize("levels", [(), (2,), (2, SLICES)])
@pytest.mark.parametrize("chunk", [1, 4, SLICES, 100])
def test_a_prior_in_chunks_is_the_prior(levels, chunk, generator):
    x = torch.randn(2, SLICES, SIZE, SIZE, generator=generator)
    sigma = torch.rand(levels, generator=generator)
    if len(levels) == 2:
        sigma[:, ::3] = 0  # known slices stay
    inner = Shrinking()
    chunked = SlicePrior(inner, SLICES, chunk_size=chunk)(x, sigma)
    assert max(inner.sizes) == min(chunk, SLICES)
    expected = SlicePrior(Shrinking(), SLICES)(x, sigma)
    torch.testing.assert_close(chunked, expected)
    if len(levels) == 2:
        assert torch.equal(chunked[:, ::3], x[:, ::3])
        assert not torch.equal(chunked[:, 1], x[:, 1])


def test_a_smaller_limit_makes_smaller_chunks(generator):
    x = torch.randn(1, 400, 64, 64, generator=generator)
    largest = []
    for limit in (2 * MB, 16 * MB, 400 * MB):
        inner = Shrinking(64)
        SlicePrior(inner, 400, memory_limit=limit)(x, torch.tensor(0.5))
        largest.append(max(inner.sizes))
    # a slice of 16 KB takes three times that at least
    assert 1 < largest[0] < largest[1] <= 16 * 1024 / 48
    assert largest[2] == 400


@pytest.mark.parametrize("kind", ["device", "host"])
def test_a_chosen_chunk_size_is_kept(kind, generator):
    inner = Shrinking()
    runs = [
        sampled(
            blurred(generator.manual_seed(0)),
            SlicePrior(inner, SLICES),
            Execution(limit, kind, chunk_size=4),
        )
        for limit in (None, 2**30)
    ]
    assert set(inner.sizes) == {4, 1}
    assert torch.equal(*runs)
    with pytest.raises(ValueError, match="chunk_size: expected slices > 0"):
        Execution(chunk_size=0)


def test_a_limit_below_one_slice_is_refused(tmp_path, generator):
    likelihood, prior = blurred(generator), SlicePrior(Shrinking(), SLICES)
    with pytest.raises(ValueError, match="one slice takes"):
        sampled(likelihood, prior, Execution(1000, "disk", tmp_path))
    with pytest.raises(ValueError, match=r"exceed the .* keep volumes in storage 'host'"):
        sampled(likelihood, prior, Execution(1000))
    with pytest.raises(ValueError, match="memory_limit: expected bytes > 0"):
        Execution(0)
    with pytest.raises(ValueError, match="expected one of"):
        Execution(storage="tape")
    with pytest.raises(ValueError, match="chunk_size > 0"):
        SlicePrior(Shrinking(), SLICES, chunk_size=0)


@pytest.mark.parametrize("execution", [None, Execution(storage="host")])
def test_a_step_leaves_the_state_before_it_alone(execution, generator):
    kept = []

    class Kept:
        def load(self):
            return None

        def save(self, step, state):
            kept.append((state, state.x.clone(), [t.clone() for t in state.coupling]))

    RedDiff3D(num_steps=4, coupling=COUPLING).sample(
        blurred(generator),
        SlicePrior(Shrinking(), SLICES),
        generator=generator,
        checkpoints=Kept(),
        execution=execution,
    )
    for state, x, coupling in kept:
        assert torch.equal(state.x, x)
        assert all(torch.equal(t, v) for t, v in zip(state.coupling, coupling, strict=True))


def two_of_three():
    """Two of 32 MB live at any time, of three in all."""
    first = torch.ones(32 * MB // 4)
    second = first + 1
    del first
    return (second * 2).sum()


def test_the_live_tensors_of_a_known_computation_are_counted():
    assert _live_bytes(two_of_three) == pytest.approx(64 * MB, rel=0.1)


def test_the_peak_of_a_known_computation_is_measured():
    # in a process of its own: a heap with large gaps hands them out and keeps them resident
    code = (
        "import torch\nfrom invdiff.volumes.device_memory import peak_bytes\n"
        f"MB = {MB}\n{inspect.getsource(two_of_three)}\n"
        "print(peak_bytes(two_of_three, torch.device('cpu')))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert int(child.stdout) == pytest.approx(64 * MB, rel=0.1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own count")
def test_a_run_on_disk_keeps_its_limit(tmp_path):
    script = Path(__file__).with_name("memory_run.py")
    given = "--storage disk plain --limit-mb 96 --size 128 --slices 160 --channels 8 --steps 2"
    child = subprocess.run(
        [sys.executable, str(script), *given.split(), "--folder", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    limited, plain = (json.loads(line) for line in child.stdout.splitlines())
    assert limited["peak_mb"] < 96
    assert plain["peak_mb"] > 3 * 96
    assert limited["sum"] == pytest.approx(plain["sum"], rel=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["host", "disk"])
def test_a_run_keeps_its_limit_on_a_gpu(kind, tmp_path, generator):
    cuda, size, slices = torch.device("cuda"), 256, 128
    likelihood = blurred(generator, slices, size)
    stack = SliceStack(likelihood.operator.operator.to(cuda), slices)
    likelihood = Likelihood(stack, likelihood.noise, likelihood.y)
    folder, volume = tmp_path if kind == "disk" else None, slices * size * size * 4
    limit, before = volume // 2, torch.cuda.memory_allocated()
    execution = Execution(limit, kind, folder, cuda)
    torch.cuda.reset_peak_memory_stats()
    limited = sampled(likelihood, SlicePrior(Shrinking(size), slices), execution, 1)
    assert torch.cuda.max_memory_allocated() - before < limit
    assert limited.device.type == "cpu"
    beside = Likelihood(stack, likelihood.noise, likelihood.y.to(cuda))
    plain = sampled(beside, SlicePrior(Shrinking(size), slices), None, 1)
    assert relative(limited, plain.cpu()) < 1e-5
