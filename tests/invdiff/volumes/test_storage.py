import errno
import gc
import os

import pytest
import torch

from invdiff.volumes import Storage


def anonymous_and_mapped():
    names = {"RssAnon": 0, "RssFile": 0, "RssShmem": 0}
    with open("/proc/self/status") as status:
        for line in status:
            name, _, value = line.partition(":")
            if name in names:
                names[name] = int(value.split()[0]) * 1024
    return names["RssAnon"], names["RssFile"] + names["RssShmem"]


@pytest.mark.parametrize("kind", ["device", "host", "disk"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_tensors_hold_what_is_written(kind, dtype, tmp_path, generator):
    storage = Storage(kind, tmp_path if kind == "disk" else None)
    first, second = storage.empty((2, 3, 4), dtype), storage.empty((2, 3, 4), dtype)
    values = torch.randn(2, 3, 4, dtype=dtype, generator=generator)
    first.copy_(values)
    second.zero_()
    assert first.dtype == dtype
    torch.testing.assert_close(first, values, rtol=0, atol=0)


def test_a_volume_on_disk_takes_mapped_memory_only(tmp_path):
    size = 2**26
    anonymous, mapped = anonymous_and_mapped()
    volume = Storage("disk", tmp_path).empty((size // 4,), torch.float32)
    volume.fill_(1.0)
    grown = [b - a for a, b in zip((anonymous, mapped), anonymous_and_mapped(), strict=True)]
    assert grown[0] < size / 8
    assert grown[1] > size / 2
    del volume
    gc.collect()
    # the last tensor frees it
    assert anonymous_and_mapped()[1] - mapped < size / 8


def test_no_file_is_left_even_while_the_volume_lives(tmp_path):
    volume = Storage("disk", tmp_path / "new").empty((5, 5), torch.float32)
    volume.fill_(3.0)
    assert list((tmp_path / "new").iterdir()) == []
    assert volume.sum() == 75


def test_views_keep_a_volume_alive(tmp_path):
    view = Storage("disk", tmp_path).empty((4, 8), torch.float32).fill_(2.0)[1]
    gc.collect()
    assert view.sum() == 16


def test_an_empty_volume_is_one(tmp_path):
    assert Storage("disk", tmp_path).empty((0, 3), torch.float32).shape == (0, 3)


def test_a_device_is_respected():
    storage = Storage("device", device=torch.device("meta"))
    assert storage.empty((2,), torch.float32).device.type == "meta"


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected one of"):
        Storage("tape")
    with pytest.raises(ValueError, match="a folder is for kind 'disk'"):
        Storage("host", tmp_path)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="blocks cannot be claimed")
def test_a_disk_without_room_is_an_error_at_once(tmp_path, monkeypatch):
    def full(descriptor, first, size):
        assert (first, size) == (0, 48)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Storage("disk", tmp_path).empty((3, 4), torch.float32)
    assert list(tmp_path.iterdir()) == []
