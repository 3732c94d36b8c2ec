import io
import struct
import zipfile

import numpy as np
import pytest
from hostile import SPECIAL, is_line

from ddpm_ref.archive import ARRAY_BYTES, Archive
from ddpm_ref.data import ImageFiles, read_array
from ddpm_ref.errors import DataError, FileError


def zipped(path, name, content, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)
    return path


def array(shape, kind="|u1", content=b""):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + content


@pytest.mark.parametrize("content", [
    array("(1000000000000, 8, 8, 1)"), array(f"({2**64}, 8, 8, 1)"), array("(-4, -8, 8, 1)"), b"hello", b"",
    array("(1, 8, 8, 1)", content=bytes(63)), array("(1, 8, 8, 1)", content=bytes(65)), array("(1,)", "|O", bytes(8)),
    array("(1, 8, 8, 1)", "<f4", bytes(256)),
])  # fmt: skip
def test_a_hostile_array_is_refused_in_one_line(tmp_path, content):
    path = zipped(tmp_path / "d.npz", "train_images.npy", content)
    with pytest.raises(DataError, match=r"d\.npz") as caught:
        read_array(path, (8, 8, 1))
    assert is_line(str(caught.value))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_equals_the_one_that_numpy_saved(tmp_path, order, save):
    images = np.asarray(np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8), order=order)
    save(tmp_path / "d.npz", images=images, labels=np.arange(5))
    found = read_array(tmp_path / "d.npz", (4, 6, 3))
    np.testing.assert_array_equal(found, images)
    assert found.flags.c_contiguous


def test_an_array_that_inflates_beyond_the_limit_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("ddpm_ref.archive.ARRAY_BYTES", 1000)
    path = zipped(
        tmp_path / "d.npz", "images.npy", array("(20000, 1, 1, 1)", content=bytes(20_000)), zipfile.ZIP_DEFLATED
    )
    with pytest.raises(DataError, match=r"limit|expected uint8"):
        read_array(path, (1, 1, 1))
    assert ARRAY_BYTES == 1 << 30


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_method_with_unbounded_memory_is_refused(tmp_path, method):
    path = zipped(tmp_path / "d.zip", "a.png", b"picture", method)
    with pytest.raises(DataError, match="method"):
        ImageFiles(path, (8, 8, 1), "exact")[0]


@pytest.mark.parametrize("size", [2**31, 2**32 - 2])
def test_a_directory_that_claims_to_be_large_is_refused(tmp_path, size):
    file = io.BytesIO()
    zipped(file, "a.png", b"picture")
    content = bytearray(file.getvalue())
    struct.pack_into("<I", content, content.rindex(b"PK\5\6") + 12, size)
    (tmp_path / "d.zip").write_bytes(content)
    with pytest.raises(FileError, match="directory"):
        Archive(tmp_path / "d.zip")


@pytest.mark.parametrize("name", [name for name in SPECIAL if name not in ("folder", "nothing", "circle of links")])
def test_only_regular_files_are_read(tmp_path, name):
    (tmp_path / "d").mkdir()
    SPECIAL[name](tmp_path / "d" / "a.png")
    with pytest.raises(DataError, match=r"a\.png") as caught:
        ImageFiles(tmp_path / "d", (8, 8, 1), "exact")[0]
    assert is_line(str(caught.value))
