import struct
from pathlib import Path

import numpy as np
import pytest
from hostile import SPECIAL, is_line

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.array_file import read_array, write_array


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8", "<f2", "|u1", "|i1", "<i8", ">i2", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_type_byte_order_and_layout_are_read(tmp_path, kind, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype=kind, order=order)
    np.save(tmp_path / "x.npy", array)
    found = read_array(tmp_path / "x.npy", np.float32)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, array.astype(np.float32))


def header(text):
    content = text.encode("latin1")
    content += b" " * (63 - (10 + len(content)) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(content)) + content


def described(shape, kind="<f4", order=False):
    return header(f"{{'descr': {kind!r}, 'fortran_order': {order}, 'shape': {shape}, }}")


DAMAGED = {
    "2^64 numbers": described((2**64, 1)),
    "a million million numbers": described((10**12, 1)),
    "a negative side": described((-1, -4)) + bytes(16),
    "a side that is no number": described("('a',)"),
    "shorter than its shape": described((4,)) + bytes(15),
    "longer than its shape": described((4,)) + bytes(17),
    "objects": described((1,), "|O") + bytes(8),
    "texts": described((1,), "|S8") + bytes(8),
    "complex numbers": described((1,), "<c8") + bytes(8),
    "dates": described((1,), "<M8[s]") + bytes(8),
    "a header of brackets": header("(" * 5000),
    "a header that is code": header("__import__('os').getpid()"),
    "no header": b"\x93NUMPY\1\0\xff\xff",
    "an unknown version": b"\x93NUMPY\7\0" + bytes(100),
    "a zip": b"PK\3\4" + bytes(40),
    "empty": b"",
    "text": b"hello",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_or_hostile_array_is_refused_in_one_line(tmp_path, name):
    (tmp_path / "x.npy").write_bytes(DAMAGED[name])
    with pytest.raises(DdpmRtError, match="array of numbers") as caught:
        read_array(tmp_path / "x.npy", np.float32)
    assert is_line(str(caught.value))


@pytest.mark.parametrize("name", SPECIAL)
def test_only_regular_files_are_read(tmp_path, name):
    SPECIAL[name](tmp_path / "x.npy")
    with pytest.raises(DdpmRtError, match=r"x\.npy"):
        read_array(tmp_path / "x.npy", np.float32)


def test_a_pickle_is_never_run(tmp_path):
    class Dropper:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "x.npy", np.array([Dropper()], object), allow_pickle=True)
    with pytest.raises(DdpmRtError):
        read_array(tmp_path / "x.npy", np.float32)
    assert not (tmp_path / "ran").exists()


def test_an_array_written_in_parts_equals_that_of_numpy_save(tmp_path):
    array = np.random.default_rng(0).standard_normal((5, 1, 2, 3)).astype(np.float32)

    def fill(append):
        append(array[:2])
        append(np.asfortranarray(array[2:]))

    write_array(tmp_path / "parts.npy", array.shape, fill)
    np.save(tmp_path / "whole.npy", array)
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_parts_that_do_not_fill_the_shape_leave_no_file(tmp_path):
    with pytest.raises(DdpmRtError, match="was not written"):
        write_array(tmp_path / "x.npy", (3, 2), lambda append: append(np.zeros((2, 2), np.float32)))
    assert list(tmp_path.iterdir()) == []
