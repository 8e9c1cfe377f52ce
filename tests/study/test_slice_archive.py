"""Slices that lie ready in an archive."""

import numpy as np
import pytest
import torch

from invdiff.study.slices import SliceSource


def discs(count, side=16):
    """A disc of one grey value in every slice, larger from one to the next."""
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    radii = np.linspace(0.2, 0.9, count)[:, None, None]
    return np.where(np.hypot(rows, columns) < radii, 100 + 100 * radii, 0).astype(np.uint8)


@pytest.fixture
def read(tmp_path):
    def read(arrays, **choices):
        np.savez(tmp_path / "x.npz", **arrays)
        return SliceSource(path=str(tmp_path / "x.npz"), **choices).read()

    return read


def test_bytes_are_kept_as_they_are(read):
    slices = read({"x": discs(4)})
    assert slices.values.dtype == torch.uint8
    assert torch.equal(slices.values[:, 0], torch.from_numpy(discs(4)))
    assert slices.subjects == ("",) * 4
    assert slices.labels is None


def test_blocks_of_pixels_are_averaged_and_rounded(read):
    x = np.random.default_rng(0).integers(0, 256, (70, 8, 8), dtype=np.uint8)
    means = x.reshape(70, 4, 2, 4, 2).mean((2, 4))
    found = read({"x": x}, size=4).values[:, 0].numpy()
    assert np.abs(found - means).max() <= 0.5
    with pytest.raises(ValueError, match="size: 8 is no multiple of 3"):
        read({"x": x}, size=3)


def test_shares_become_bytes(read):
    x = np.random.default_rng(0).random((3, 8, 8))
    images = read({"x": x}).images()[:, 0]
    assert (images - torch.from_numpy(2 * x - 1)).abs().max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("range_of", ["slice", "scan"])
def test_complex_slices_are_scaled_by_the_percentile_of_the_magnitude(read, range_of):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 16, 16)) + 1j * rng.normal(size=(3, 16, 16))
    x *= np.array([1, 5, 20])[:, None, None]
    slices = read({"x": x}, complex=True, range_of=range_of)
    assert slices.values.dtype == torch.float16
    axes = (1, 2) if range_of == "slice" else None
    x /= np.percentile(np.abs(x), 99.7, axis=axes, keepdims=True)
    x /= np.maximum(np.abs(x), 1)
    expected = np.stack([x.real, x.imag], axis=1)
    np.testing.assert_allclose(slices.images().numpy(), expected, atol=1e-3)


def test_the_magnitude_of_complex_slices_is_the_default(read):
    x = discs(3) * np.exp(1j * np.linspace(0, 3, 16))
    assert torch.equal(read({"x": x}).values, 255 * torch.from_numpy(discs(3) > 0)[:, None])


def test_slices_are_thinned_and_those_of_air_left_out(read):
    x = discs(9)
    content = (x > 0.05 * 255).mean(axis=(1, 2))
    assert torch.equal(read({"x": x}, every=4).values[:, 0], torch.from_numpy(x[::4]))
    kept = read({"x": x, "subject": np.arange(9)}, min_content=float(content[3]), every=2)
    assert kept.subjects == ("4", "6", "8")
    assert torch.equal(kept.values[:, 0], torch.from_numpy(x[4::2]))


def test_most_slices_of_a_subject_are_spread(read):
    subjects = np.repeat(["a", "b", "c"], [6, 1, 2])
    slices = read({"x": discs(9), "subject": subjects}, max_slices=2)
    assert slices.subjects == ("a", "a", "b", "c", "c")
    assert torch.equal(slices.values[:, 0], torch.from_numpy(discs(9)[[1, 4, 6, 7, 8]]))


def test_a_pattern_names_the_subject_in_place_of_the_archive(read):
    slices = read({"x": discs(2), "subject": np.arange(2)}, subject_pattern="(x)")
    assert slices.subjects == ("x", "x")


def test_classes_are_those_of_the_archive(read):
    slices = read({"x": discs(3), "label": np.array(["T2", "FLAIR", "T2"])}, labels="array")
    assert slices.classes == ("FLAIR", "T2")
    assert slices.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("arrays", "choices", "message"),
    [
        ({"y": discs(2)}, {}, "no x"),
        ({"x": discs(2).astype(np.int16)}, {}, "got int16"),
        ({"x": discs(2) / 100}, {}, "from 0 to 1, got 0 to 1.9"),
        ({"x": np.full((1, 4, 4), np.nan)}, {}, "nan|finite"),
        ({"x": discs(2)[0]}, {}, "shape"),
        ({"x": discs(2)[:0]}, {}, "shape"),
        ({"x": discs(2)[:, 1:]}, {}, "shape"),
        ({"x": discs(2), "subject": np.arange(3)}, {}, "2 slices, but subject"),
        ({"x": discs(2), "label": np.arange(1)}, {}, "2 slices, but label"),
        ({"x": discs(2)}, {"labels": "array"}, "no class, since it has no array label"),
        ({"x": discs(2)}, {"labels": "folder"}, "no class, since it lies in no folder"),
        ({"x": discs(2)}, {"complex": True}, "needs complex slices, got uint8"),
        ({"x": 0j * discs(2)}, {}, "nothing to scale by"),
        ({"x": discs(2)}, {"min_content": 1.0}, "no slices in it"),
    ],
)
def test_refuses_archives_of_another_form(read, arrays, choices, message):
    with pytest.raises(ValueError, match=message) as refusal:
        read(arrays, **choices)
    assert "\n" not in str(refusal.value)
