import numpy as np
import pytest

from invdiff.data import read_array


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("i2", "f4"), ("f8", "f4"), ("u1", "f4"), ("c16", "c8"), ("c8", "c8"), ("?", "?")],
)
def test_dtypes(tmp_path, dtype, expected):
    values = np.ones((2, 3), dtype)
    np.save(tmp_path / "a.npy", values)
    array = read_array(tmp_path / "a.npy")
    assert array.values.dtype == np.dtype(expected)
    np.testing.assert_array_equal(array.values, values)
    assert (array.source, array.key) == (tmp_path / "a.npy", None)


def test_archive_with_one_array_needs_no_key(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    array = read_array(tmp_path / "a.npz")
    np.testing.assert_array_equal(array.values, [0, 1, 2])
    assert array.key == "x"


def test_archive_with_several_arrays_needs_a_key(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(3), y=np.ones(2))
    np.testing.assert_array_equal(read_array(tmp_path / "a.npz", key="y").values, [1, 1])
    for key in (None, "z"):
        with pytest.raises(ValueError, match=rf"a\.npz.*key {key!r} is not one of x, y"):
            read_array(tmp_path / "a.npz", key=key)


def test_npy_has_no_key(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(2))
    with pytest.raises(ValueError, match="has no keys, got key 'x'"):
        read_array(tmp_path / "a.npy", key="x")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_truncated_anywhere(tmp_path, name):
    save = np.save if name == "a.npy" else np.savez
    save(tmp_path / name, np.random.default_rng(0).random((9, 9)))
    whole = (tmp_path / name).read_bytes()
    for length in [*range(0, len(whole), 31), len(whole) - 1]:
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{name}: not a readable array"):
            read_array(tmp_path / name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([{}], dtype=object), "not a readable array.*allow_pickle"),
        (np.array(["text"]), "expected numbers, got dtype <U4"),
        (np.zeros((0, 3)), "the array is empty"),
        (np.array([[0, 1], [np.inf, 2]]), r"inf at \(axis 0: 1, axis 1: 0\); 1 of 4"),
        (np.array([1, complex(0, np.nan)]), "nanj"),
        (np.array([1e39]), "in float32: expected finite"),
    ],
)
def test_unusable_values(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(ValueError, match=rf"a\.npy.*{message}"):
        read_array(tmp_path / "a.npy")


def test_missing(tmp_path):
    with pytest.raises(ValueError, match=r"a\.npy: no such file"):
        read_array(tmp_path / "a.npy")
