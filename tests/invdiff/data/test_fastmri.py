import h5py
import numpy as np
import pytest

from invdiff.data import crop_readout, read_fastmri

HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>8</x><y>6</y><z>1</z></matrixSize>
<fieldOfView_mm><x>16</x><y>9</y><z>4.5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>4</x><y>6</y><z>1</z></matrixSize>
<fieldOfView_mm><x>8</x><y>9</y><z>4.5</z></fieldOfView_mm></reconSpace>
<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""


def kspace_values(shape=(2, 3, 8, 6)):
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.fixture
def fastmri_file(tmp_path):
    def write(**datasets):
        with h5py.File(tmp_path / "file.h5", "w") as file:
            for key, value in datasets.items():
                file[key] = value
        return tmp_path / "file.h5"

    return write


def test_multi_coil_with_everything(fastmri_file):
    values = kspace_values()
    mask = np.array([1, 0, 1, 1, 0, 1], np.float32)
    reference = np.random.default_rng(1).random((2, 4, 4), np.float32)
    path = fastmri_file(
        kspace=values, mask=mask, ismrmrd_header=HEADER, reconstruction_rss=reference
    )
    kspace = read_fastmri(path)
    np.testing.assert_array_equal(kspace.data, values * mask.astype(np.complex64))
    np.testing.assert_array_equal(kspace.mask, np.tile(mask.astype(bool), (8, 1)))
    np.testing.assert_array_equal(kspace.reference, reference)
    assert kspace.spacing == (4.5, 2.0, 1.5)
    assert (kspace.header, kspace.source) == (HEADER, path)
    assert crop_readout(kspace, 4).data.shape == (2, 3, 4, 6)


def test_single_coil(fastmri_file):
    values = kspace_values((2, 8, 6))
    path = fastmri_file(kspace=values, reconstruction_esc=np.ones((2, 4, 4)))
    kspace = read_fastmri(path)
    np.testing.assert_array_equal(kspace.data, values[:, None])
    assert kspace.mask.all()
    assert kspace.reference.dtype == np.float32
    assert kspace.spacing is None


def test_zero_padding_was_not_sampled_even_if_the_mask_says_so(fastmri_file):
    values = kspace_values()
    values[..., [0, 5]] = 0
    kspace = read_fastmri(fastmri_file(kspace=values, mask=np.ones(6, bool)))
    np.testing.assert_array_equal(kspace.mask[0], [False, True, True, True, True, False])


def test_padded_columns_make_smaller_pixels(fastmri_file):
    values = np.pad(kspace_values(), [(0, 0), (0, 0), (0, 0), (1, 1)])
    kspace = read_fastmri(fastmri_file(kspace=values, ismrmrd_header=HEADER))
    assert kspace.spacing == (4.5, 2.0, 9 / 8)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"other": np.ones(3)}, "no data set named kspace"),
        ({"kspace": np.ones((2, 3, 4))}, "kspace: expected complex values"),
        ({"kspace": np.ones((3, 4), complex)}, "kspace: expected complex values"),
        ({"kspace": kspace_values(), "mask": np.ones(5)}, "mask: expected 6 columns"),
        ({"kspace": kspace_values(), "mask": np.full(6, 0.5)}, "mask: expected 0 and 1"),
        ({"kspace": kspace_values(), "mask": np.zeros(6)}, "no k-space location"),
        ({"kspace": kspace_values() * np.nan}, r"nan.* at \(slice 0, coil 0, row 0, col 0\)"),
        (
            {"kspace": kspace_values(), "reconstruction_rss": np.ones((3, 4, 4))},
            "expected 2 slices",
        ),
        ({"kspace": kspace_values(), "ismrmrd_header": "<a"}, "damaged ISMRMRD header"),
        ({"kspace": kspace_values(), "ismrmrd_header": "<a/>"}, "has no encoding"),
        (
            {"kspace": kspace_values(), "ismrmrd_header": HEADER.replace("16", "-16")},
            "fieldOfView_mm: expected positive sizes",
        ),
        (
            {"kspace": kspace_values(), "ismrmrd_header": HEADER.replace("<x>16</x>", "")},
            "fieldOfView_mm: expected a number",
        ),
    ],
)
def test_unusable_files(fastmri_file, datasets, message):
    path = fastmri_file(**datasets)
    with pytest.raises(ValueError, match=rf"file\.h5.*{message}"):
        read_fastmri(path)


def test_truncated_and_missing(fastmri_file, tmp_path):
    path = fastmri_file(kspace=kspace_values())
    whole = path.read_bytes()
    for length in (0, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"file\.h5: not a readable HDF5"):
            read_fastmri(path)
    with pytest.raises(ValueError, match="no such file"):
        read_fastmri(tmp_path / "absent.h5")
