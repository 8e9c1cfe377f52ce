"""The perpendicular prior: closed form, geometry, its noise, its share of a split volume."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.volumes import PerpendicularPrior, Whole
from invdiff.volumes.coupling import DataStep
from invdiff.volumes.noise import SliceNoise
from invdiff.volumes.perpendicular_planes import Plane, plane_size, resampling
from invdiff.volumes.split import Split

_SLICES, _ROWS, _COLUMNS = 4, 3, 2
_RANGE = (-1e3, 1e3)


@dataclass
class _Recorder:
    """Keeps what it is asked to denoise, and answers with a multiple of it."""

    factor: float = 1.0
    data_range: tuple[float, float] = _RANGE
    image_shape: tuple[int, ...] | None = None
    seen: list[Tensor] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def of(self, size: tuple[int, int]) -> _Recorder:
        self.sizes.append(size)
        return self

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.seen.append(x)
        return self.factor * x


@dataclass(frozen=True)
class _Part:
    """Some slices of a volume; what all parts would add up is collected."""

    first: int
    count: int
    total: int
    volume: Tensor
    added: list[Tensor] = field(default_factory=list)

    def all_sum(self, v: Tensor) -> Tensor:
        self.added.append(v)
        return v

    def after(self, x: Tensor) -> None:
        return None

    def before(self, x: Tensor) -> None:
        return None

    def gather(self, x: Tensor) -> Tensor:
        return self.volume


def _step(
    estimate: Tensor, *, sigma: float = 0.0, number: int = 0, seed: int = 3,
    split: Split | None = None, denoised: Tensor | None = None,
) -> DataStep:  # fmt: skip
    split = Whole(estimate.shape[1]) if split is None else split
    level, weight = torch.tensor(sigma, dtype=torch.float64), torch.tensor(2.0).double()
    noise = SliceNoise(seed, estimate.shape[0], split)
    denoised = torch.zeros_like(estimate) if denoised is None else denoised
    return DataStep(number, estimate, denoised, level, weight, noise, split, _RANGE)


def _target(prior: PerpendicularPrior, step: DataStep) -> Tensor:
    terms = prior.terms((), step)
    assert terms.pull is not None
    assert terms.diagonal is not None
    assert terms.differences is None
    return terms.pull / terms.diagonal


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _isotropic(recorder: _Recorder, **options: object) -> PerpendicularPrior:
    return PerpendicularPrior(recorder.of, (1.0, 1.0, 1.0), multiple=1, **options)  # type: ignore[arg-type]


def _gaussian(size: tuple[int, int]) -> GaussianPrior:
    n = size[0] * size[1]
    root = torch.randn((n, n), generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    return GaussianPrior(torch.full(size, 0.5, dtype=torch.float64), root @ root.mT / n)


def test_pull_of_gaussian_planes_is_the_closed_form() -> None:
    """Every coronal and sagittal plane u becomes m + C (C + s^2)^-1 (u + s n - m)."""
    u, sigma = _random(1, _SLICES, _ROWS, _COLUMNS), 0.7
    recorder = _Recorder(factor=0.0)
    _isotropic(recorder).terms((), _step(u, sigma=sigma))
    noisy_coronal, noisy_sagittal = recorder.seen

    def mean(noisy: Tensor) -> Tensor:
        prior = _gaussian((_SLICES, noisy.shape[-1]))
        n = _SLICES * noisy.shape[-1]
        covariance = prior.covariance()
        gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(n).double())
        return ((noisy.reshape(-1, n) - 0.5) @ gain.mT + 0.5).reshape(noisy.shape)

    expected = torch.zeros_like(u)
    for row in range(_ROWS):
        expected[0, :, row, :] += mean(noisy_coronal[row : row + 1])[0] / 2
    for column in range(_COLUMNS):
        expected[0, :, :, column] += mean(noisy_sagittal[column : column + 1])[0] / 2
    prior = PerpendicularPrior(_gaussian, (1.0, 1.0, 1.0), strength=3.0, multiple=1, clip=False)
    terms = prior.terms((), _step(u, sigma=sigma))
    torch.testing.assert_close(terms.diagonal, torch.tensor(6.0).double())
    torch.testing.assert_close(terms.pull, 6.0 * expected)


def test_planes_hold_the_voxels_that_their_names_say() -> None:
    """Coronal planes are (slice, column) at a row, sagittal ones (slice, row) at a column."""
    u = torch.zeros(1, _SLICES, _ROWS, _COLUMNS, dtype=torch.float64)
    u[0, 3, 2, 1] = 1.0
    recorder = _Recorder()
    target = _target(_isotropic(recorder), _step(u))
    coronal, sagittal = recorder.seen
    assert coronal.nonzero().tolist() == [[2, 3, 1]]
    assert sagittal.nonzero().tolist() == [[1, 3, 2]]
    assert recorder.sizes == [(_SLICES, _COLUMNS), (_SLICES, _ROWS)]
    torch.testing.assert_close(target, u)


@pytest.mark.parametrize("across", [1, 2])
def test_cutting_along_the_constant_axis_gives_equal_planes(across: int) -> None:
    line = _random(1, _SLICES, _ROWS, _COLUMNS).narrow(across + 1, 0, 1)
    planes = Plane("", across).cut(line.expand(1, _SLICES, _ROWS, _COLUMNS))
    torch.testing.assert_close(planes, planes[:, :1].expand_as(planes))


@pytest.mark.parametrize("across", [1, 2])
def test_joining_undoes_cutting(across: int) -> None:
    u = _random(2, _SLICES, _ROWS, _COLUMNS)
    plane = Plane("", across)
    torch.testing.assert_close(plane.joined(plane.cut(u)), u)


def test_both_directions_are_averaged_and_the_estimate_stays_where_they_agree() -> None:
    """A denoiser that doubles its input doubles the volume, on anisotropic voxels too."""
    u = torch.ones(1, _SLICES, _ROWS, _COLUMNS, dtype=torch.float64)
    prior = PerpendicularPrior(_Recorder(2.0).of, (2.0, 1.0, 0.5), multiple=1)
    torch.testing.assert_close(_target(prior, _step(u)), 2 * u)


def test_a_denoiser_that_changes_nothing_keeps_every_detail_of_thick_slices() -> None:
    """Interpolation is not part of the pull: only the correction is resampled back."""
    u = _random(1, _SLICES, _ROWS, _COLUMNS)
    for spacing in ((3.3, 1.0, 1.0), (0.4, 1.0, 1.0)):
        prior = PerpendicularPrior(_Recorder().of, spacing, multiple=1)
        torch.testing.assert_close(_target(prior, _step(u)), u)


def test_planes_alternate_by_the_number_of_the_step() -> None:
    u, recorder = _random(1, _SLICES, _ROWS, _COLUMNS), _Recorder()
    prior = _isotropic(recorder, planes="alternate")
    for number in range(3):
        prior.terms((), _step(u, number=number))
    assert [len(seen) for seen in recorder.seen] == [_ROWS, _COLUMNS, _ROWS]


def test_descents_with_noise_can_have_their_denoised_slices_corrected() -> None:
    u, d = _random(1, _SLICES, _ROWS, _COLUMNS), torch.ones(1, _SLICES, _ROWS, _COLUMNS).double()
    prior = _isotropic(_Recorder(3.0), of="denoised")
    torch.testing.assert_close(_target(prior, _step(u, denoised=d)), 3 * d)


def test_noise_has_the_level_of_the_step_on_square_pixels() -> None:
    recorder = _Recorder()
    prior = PerpendicularPrior(recorder.of, (3.0, 1.0, 1.0), multiple=1)
    prior.terms((), _step(torch.zeros(1, 16, 40, 40).double(), sigma=0.5))
    noise = torch.cat(recorder.seen)
    assert noise.shape == (80, 48, 40)
    # 153600 draws: the relative error of their standard deviation is 0.0018
    assert float(noise.std()) == pytest.approx(0.5, rel=0.01)


def test_noise_depends_on_seed_step_sample_and_plane_alone() -> None:
    u = torch.zeros(2, _SLICES, _ROWS, _COLUMNS, dtype=torch.float64)

    def drawn(samples: int, **options: int) -> Tensor:
        recorder = _Recorder()
        _isotropic(recorder).terms((), _step(u[:samples], sigma=1.0, **options))
        coronal = [seen.flatten(1) for seen in recorder.seen if seen.shape[-1] == _COLUMNS]
        return torch.cat(coronal)

    alone, both = drawn(1), drawn(2)
    assert both.unique(dim=0).shape[0] == 2 * _ROWS
    torch.testing.assert_close(drawn(1), alone, rtol=0, atol=0)
    assert all((row == both).all(1).any() for row in alone)
    for options in ({"number": 1}, {"seed": 4}):
        assert not (drawn(1, **options) == alone).any()


def test_parts_of_a_split_volume_denoise_each_plane_once_and_add_up() -> None:
    u = _random(1, 5, 4, 3)
    whole = _target(_isotropic(_Recorder(0.5)), _step(u, sigma=0.3))
    added, seen = [], 0
    for first, count in ((0, 2), (2, 3)):
        part, recorder = _Part(first, count, 5, u), _Recorder(0.5)
        own = u.narrow(1, first, count)
        _isotropic(recorder).terms((), _step(own, sigma=0.3, split=part))
        added += part.added
        seen += sum(len(x) for x in recorder.seen)
    assert seen == 4 + 3
    torch.testing.assert_close(u + added[0] + added[1], whole, rtol=0, atol=1e-12)


def test_a_part_is_pulled_to_its_own_slices() -> None:
    u = _random(1, 5, 4, 3)
    part = _Part(2, 3, 5, u)
    target = _target(_isotropic(_Recorder(0.5)), _step(u[:, 2:], split=part))
    torch.testing.assert_close(target, (u + part.added[0])[:, 2:])


def test_calls_are_counted_in_slices() -> None:
    """32 slices of 2 mm become 64 rows: 128 planes of half a slice each, in both directions."""
    shape = (32, 128, 128)
    both = PerpendicularPrior(_gaussian, (2.0, 1.0, 1.0))
    half = PerpendicularPrior(_gaussian, (2.0, 1.0, 1.0), planes="alternate")
    assert both.calls_per_step(shape) == 128.0
    assert half.calls_per_step(shape) == 64.0


def test_pixels_are_made_square_in_sizes_that_fit_the_network() -> None:
    assert plane_size((32, 128), (3.27, 1.785), 1.0, 32) == (64, 128)
    assert plane_size((5, 100), (1.0, 2.0), 1.0, 32) == (32, 100)
    assert plane_size((180, 128), (0.67, 1.9), 1.0, 1) == (63, 128)
    assert plane_size((128, 100), (1.5, 1.5), 2.0, 32) == (256, 192)


def test_finer_pixels_show_the_network_axial_planes_too() -> None:
    """Axial, coronal, axial, sagittal in turns; what it corrects comes back to every voxel."""
    u, recorder = torch.ones(1, _SLICES, _ROWS, _COLUMNS, dtype=torch.float64), _Recorder(2.0)
    prior = _isotropic(recorder, planes="all", zoom=2.0)
    for number in range(4):
        torch.testing.assert_close(_target(prior, _step(u, number=number)), 2 * u)
    axial, coronal, sagittal = (6, 4), (8, 4), (8, 6)
    assert recorder.sizes == [axial, coronal, axial, sagittal]
    assert [len(seen) for seen in recorder.seen] == [_SLICES, _ROWS, _SLICES, _COLUMNS]


@pytest.mark.parametrize("sizes", [(5, 12), (12, 5), (4, 8), (8, 4), (6, 6)])
def test_resampling_keeps_constants(sizes: tuple[int, int]) -> None:
    rows = resampling(*sizes).sum(1)
    torch.testing.assert_close(rows, torch.ones_like(rows))


@pytest.mark.parametrize("sizes", [(5, 10), (5, 12), (12, 4), (10, 5)])
def test_resampling_keeps_linear_ramps(sizes: tuple[int, int]) -> None:
    """But for the outer pixels, beyond whose middles the interpolation is constant."""
    num_in, num_out = sizes
    ratio = num_in / num_out
    there = resampling(*sizes) @ torch.arange(num_in, dtype=torch.float64)
    middles = (torch.arange(num_out, dtype=torch.float64) + 0.5) * ratio - 0.5
    inside = (middles >= 0) & (middles <= num_in - 1)
    assert inside.sum() >= num_out - 4
    torch.testing.assert_close(there[inside], middles[inside])


def test_strange_numbers_are_refused() -> None:
    ones = (1.0, 1.0, 1.0)
    for options in (
        {"strength": -1.0},
        {"multiple": 0},
        {"zoom": 0.0},
        {"planes": "oblique"},
        {"of": "noise"},
    ):
        with pytest.raises(ValueError, match="PerpendicularPrior: expected"):
            PerpendicularPrior(_gaussian, ones, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="three positive spacings"):
        PerpendicularPrior(_gaussian, (1.0, 0.0, 1.0))
