import h5py
import ismrmrd
import numpy as np
import pytest

from invdiff.data import read_ismrmrd

SPACE = """<matrixSize><x>{0}</x><y>{1}</y><z>{2}</z></matrixSize>
<fieldOfView_mm><x>{3}</x><y>{4}</y><z>{5}</z></fieldOfView_mm>"""


def header(
    trajectory="cartesian", encoded=(16, 6, 1, 32, 9, 4), recon=(8, 6, 1, 16, 9, 4), centre=3
):
    limits = f"""<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>5</maximum>
<center>{centre}</center></kspace_encoding_step_1></encodingLimits>"""
    return f"""<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz>
</experimentalConditions><encoding><encodedSpace>{SPACE.format(*encoded)}</encodedSpace>
<reconSpace>{SPACE.format(*recon)}</reconSpace>{limits if centre is not None else ""}
<trajectory>{trajectory}</trajectory></encoding></ismrmrdHeader>"""


def line(samples, step, slice_index=0, flags=(), head=None, **counters):
    acquisition = ismrmrd.Acquisition.from_array(samples.astype(np.complex64), **(head or {}))
    acquisition.idx.kspace_encode_step_1, acquisition.idx.slice = step, slice_index
    for counter, value in counters.items():
        setattr(acquisition.idx, counter, value)
    for flag in flags:
        acquisition.setFlag(flag)
    return acquisition


@pytest.fixture
def mrd_file(tmp_path):
    def write(lines, xml=None, group="dataset"):
        path = tmp_path / "file.mrd"
        with ismrmrd.Dataset(path, group, mode="w") as dataset:
            dataset.write_xml_header((xml or header()).encode())
            for acquisition in lines:
                dataset.append_acquisition(acquisition)
        return path

    return write


def values(slices=2, coils=3, readout=16, phase=6):
    rng = np.random.default_rng(0)
    shape = (slices, coils, readout, phase)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def lines_of(data, steps=None, **head):
    """All lines of all slices, in a shuffled order."""
    steps = range(data.shape[3]) if steps is None else steps
    head = {"center_sample": data.shape[2] // 2, **head}
    lines = [line(data[s, :, :, k], k, s, head=head) for s in range(len(data)) for k in steps]
    return [lines[i] for i in np.random.default_rng(1).permutation(len(lines))]


def image_rows(data):
    shifted = np.fft.ifftshift(data, axes=2)
    return np.fft.fftshift(np.fft.ifft(shifted, axis=2, norm="ortho"), axes=2)


def test_lines_are_sorted_and_oversampling_is_removed(mrd_file):
    data = values()
    path = mrd_file(lines_of(data))
    kspace = read_ismrmrd(path)
    assert kspace.data.shape == (2, 3, 8, 6)
    np.testing.assert_allclose(image_rows(kspace.data), image_rows(data)[:, :, 4:12], atol=1e-6)
    assert kspace.spacing == (4.0, 2.0, 1.5)
    assert kspace.mask.all()
    assert kspace.affine is None
    assert kspace.source == path
    assert "cartesian" in kspace.header


def test_without_oversampling_the_samples_are_kept(mrd_file):
    data = values()
    xml = header(encoded=(16, 6, 1, 16, 9, 4), recon=(8, 6, 1, 16, 9, 4))
    kspace = read_ismrmrd(mrd_file(lines_of(data), xml, group="scan-1"))
    np.testing.assert_array_equal(kspace.data, data)
    assert kspace.spacing == (4.0, 1.0, 1.5)


def test_missing_lines_were_not_sampled(mrd_file):
    kspace = read_ismrmrd(mrd_file(lines_of(values(), steps=[0, 2, 3])))
    np.testing.assert_array_equal(kspace.mask[0], [True, False, True, True, False, False])
    assert not kspace.data[..., [1, 4, 5]].any()


def test_phase_centre_of_the_header_places_the_lines(mrd_file):
    # a partial Fourier scan: steps 0 to 3, of which step 1 is frequency 0
    kspace = read_ismrmrd(mrd_file(lines_of(values(), steps=range(4)), header(centre=1)))
    np.testing.assert_array_equal(kspace.mask[0], [False, False, True, True, True, True])


def test_noise_calibration_and_navigators_are_passed_over(mrd_file):
    data = values()
    expected = read_ismrmrd(mrd_file(lines_of(data)))
    noise = np.full((5, 99), 1e6)
    extra = [
        line(noise, 0, 0, [flag], repetition=7)
        for flag in (
            ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
            ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
            ismrmrd.ACQ_IS_NAVIGATION_DATA,
            ismrmrd.ACQ_IS_PHASECORR_DATA,
        )
    ]
    kspace = read_ismrmrd(mrd_file(extra + lines_of(data)))
    np.testing.assert_array_equal(kspace.data, expected.data)


def test_averages_are_averaged(mrd_file):
    data = values(slices=1)
    head = {"center_sample": 8}
    lines = [
        line(data[0, :, :, k] * (1 + 2 * a), k, head=head, average=a)
        for k in range(6)
        for a in range(2)
    ]
    kspace = read_ismrmrd(mrd_file(lines, header(encoded=(16, 6, 1, 16, 9, 4))))
    np.testing.assert_allclose(kspace.data, 2 * data, rtol=1e-6)


def test_partial_echo_keeps_the_whole_field(mrd_file):
    data = values()
    partial = [
        line(data[s, :, 5:, k], k, s, head={"center_sample": 3}) for s in range(2) for k in range(6)
    ]
    kspace = read_ismrmrd(mrd_file(partial))
    np.testing.assert_array_equal(kspace.data[:, :, 5:], data[:, :, 5:])
    np.testing.assert_array_equal(kspace.mask[:, 0], np.arange(16) >= 5)


def test_discarded_samples_are_dropped(mrd_file):
    data = values()
    padded = np.pad(data, [(0, 0), (0, 0), (2, 3), (0, 0)], constant_values=9e5)
    head = {"discard_pre": 2, "discard_post": 3, "center_sample": 10}
    expected = read_ismrmrd(mrd_file(lines_of(data)))
    kspace = read_ismrmrd(mrd_file(lines_of(padded, **head)))
    np.testing.assert_array_equal(kspace.data, expected.data)


def geometry(k, through=(0, 0, 1), gap=5.0):
    """Readout to the front of the patient (LPS -y), phase encoding to the left (x)."""
    return {
        "read_dir": (0, -1, 0),
        "phase_dir": (1, 0, 0),
        "slice_dir": through,
        "position": (10, 20, 30 + gap * k),
    }


def placed_lines(data, heights):
    return [
        line(data[s, :, :, k], k, s, head={"center_sample": 8, **geometry(height)})
        for s, height in enumerate(heights)
        for k in range(6)
    ]


def test_directions_place_the_image(mrd_file, world):
    data = values(slices=3)
    # interleaved: slice 1 of the file lies on top
    kspace = read_ismrmrd(mrd_file(placed_lines(data, [0, 2, 1])))
    order = [0, 2, 1]
    np.testing.assert_allclose(
        image_rows(kspace.data), image_rows(data)[order][:, :, 4:12], atol=1e-6
    )
    image = kspace.image(np.zeros((3, 8, 6)))
    # the position is the centre of the field, pixel n // 2; LPS (10, 20, 35) is RAS (-10, -20, 35)
    np.testing.assert_allclose(world(image, 1, 4, 3), (-10, -20, 35), atol=1e-5)
    # one row on: 2 mm along the readout, to the front
    np.testing.assert_allclose(world(image, 1, 5, 3), (-10, -18, 35), atol=1e-5)
    # one column on: 1.5 mm along phase encoding, to the left
    np.testing.assert_allclose(world(image, 1, 4, 4), (-11.5, -20, 35), atol=1e-5)
    assert kspace.spacing == pytest.approx((5.0, 2.0, 1.5))


def test_uneven_slices(mrd_file):
    with pytest.raises(ValueError, match=r"not evenly spaced: \[5\.0, 10\.0\] mm"):
        read_ismrmrd(mrd_file(placed_lines(values(slices=3), [0, 1, 3])))


def test_slices_that_are_not_parallel(mrd_file):
    lines = placed_lines(values(), [0, 1])
    for acquisition in lines[6:]:
        acquisition.slice_dir[:] = (0, 0, -1)
    with pytest.raises(ValueError, match="not parallel"):
        read_ismrmrd(mrd_file(lines))


@pytest.mark.parametrize("trajectory", ["radial", "spiral", "epi", "other"])
def test_other_trajectories(mrd_file, trajectory):
    with pytest.raises(ValueError, match=f"expected a cartesian trajectory, got '{trajectory}'"):
        read_ismrmrd(mrd_file(lines_of(values()), header(trajectory)))


def test_three_dimensional_encoding(mrd_file):
    with pytest.raises(ValueError, match="3D encoding"):
        read_ismrmrd(mrd_file(lines_of(values()), header(encoded=(16, 6, 4, 32, 9, 40))))


@pytest.mark.parametrize("counter", ["contrast", "phase", "repetition", "set"])
def test_several_images_in_one_file(mrd_file, counter):
    lines = lines_of(values())
    setattr(lines[0].idx, counter, 1)
    with pytest.raises(ValueError, match=rf"expected one {counter}, got 2: \[0, 1\]"):
        read_ismrmrd(mrd_file(lines))


def test_lines_that_do_not_fit(mrd_file):
    data = values()
    lines = lines_of(data)
    with pytest.raises(ValueError, match="occurs twice"):
        read_ismrmrd(mrd_file([*lines, lines[0]]))
    with pytest.raises(ValueError, match="kspace_encode_step_1 9 lies outside"):
        read_ismrmrd(mrd_file([*lines, line(data[0, :, :, 0], 9)]))
    with pytest.raises(ValueError, match=r"number of coils varies: \[2, 3\]"):
        read_ismrmrd(mrd_file([*lines, line(data[0, :2, :, 0], 0, average=1)]))
    with pytest.raises(ValueError, match="17 samples with centre 0 does not fit"):
        read_ismrmrd(mrd_file([*lines, line(np.ones((3, 17)), 0, average=1)]))
    with pytest.raises(ValueError, match="reversed readouts"):
        read_ismrmrd(mrd_file([*lines[1:], line(data[0, :, :, 0], 0, 0, [ismrmrd.ACQ_IS_REVERSE])]))
    with pytest.raises(ValueError, match="no imaging readouts"):
        read_ismrmrd(mrd_file([line(data[0, :, :, 0], 0, 0, [ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]))
    with pytest.raises(ValueError, match="slices are sampled differently"):
        read_ismrmrd(
            mrd_file([a for a in lines if (a.idx.slice, a.idx.kspace_encode_step_1) != (1, 2)])
        )


def test_not_finite(mrd_file):
    data = values()
    data[1, 2, 5, 4] = np.nan
    with pytest.raises(ValueError, match=r"slice 1, coil 2, row 5, col 4"):
        read_ismrmrd(mrd_file(lines_of(data)))


def test_damaged_truncated_and_missing(mrd_file, tmp_path):
    path = mrd_file(lines_of(values()))
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"file\.mrd: not a readable ISMRMRD"):
            read_ismrmrd(path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="no group with xml and data"):
        read_ismrmrd(path)
    with pytest.raises(ValueError, match="no such file"):
        read_ismrmrd(tmp_path / "absent.mrd")
