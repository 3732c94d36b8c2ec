"""Arrays of bytes in an `.npz`, whole and damaged."""

import io
import struct
import zipfile

import numpy as np
import pytest

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts import array_archive
from ddpm_rt.artifacts.array_archive import read_byte_array

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_comes_back_by_name_or_by_the_usual_names(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, images=IMAGES, test_images=IMAGES[::-1], labels=np.arange(5))
    np.testing.assert_array_equal(read_byte_array(path), IMAGES)
    np.testing.assert_array_equal(read_byte_array(path, "test_images"), IMAGES[::-1])
    save(path, np.asfortranarray(IMAGES))
    np.testing.assert_array_equal(read_byte_array(path), IMAGES)


def test_what_is_not_there_is_named(tmp_path):
    np.savez(tmp_path / "x.npz", pictures=IMAGES, images=IMAGES.astype(np.float32))
    with pytest.raises(DdpmRtError, match="no array train, but pictures, images"):
        read_byte_array(tmp_path / "x.npz", "train")
    with pytest.raises(DdpmRtError, match="images is of type <f4, not uint8"):
        read_byte_array(tmp_path / "x.npz")


def test_pieces_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(array_archive, "PIECE", 7)
    np.savez_compressed(tmp_path / "x.npz", images=IMAGES)
    np.testing.assert_array_equal(read_byte_array(tmp_path / "x.npz"), IMAGES)


def member(shape, content=b"", method=zipfile.ZIP_STORED):
    """The bytes of an `.npz` whose array says `shape`."""
    header, archive = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(archive, "w", method) as file:
        file.writestr("images.npy", header.getvalue() + content)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no whole zip"),
        (b"PK" * 40, "no whole zip"),
        (member((10**9, 10**9)), "not that of its shape"),
        (member((4,), b"123"), "not that of its shape"),
        (member((3,), b"123", zipfile.ZIP_BZIP2), "neither stored nor deflated"),
        (member((3,), b"123")[:-30], "no whole zip"),
    ],
)
def test_a_damaged_archive_is_one_line(tmp_path, content, reason):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(DdpmRtError, match=reason):
        read_byte_array(path)


def test_a_list_of_members_beyond_the_limit_is_not_parsed(tmp_path):
    content = bytearray(member((3,), b"123"))
    end = content.rfind(b"PK\5\6")
    content[end + 12 : end + 16] = struct.pack("<I", array_archive.DIRECTORY_BYTES + 1)
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DdpmRtError, match="too many members"):
        read_byte_array(tmp_path / "x.npz")


def test_an_array_beyond_the_limit_is_not_allocated(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", images=IMAGES)
    monkeypatch.setattr(array_archive, "ARRAY_BYTES", 100)
    with pytest.raises(DdpmRtError, match="larger than the limit"):
        read_byte_array(tmp_path / "x.npz")
