"""A folder of samples: which files are kept, redrawn or refused."""

import os
import struct
import zlib

import numpy as np
import pytest
from command import failed, run
from PIL import Image, PngImagePlugin

from ddpm_rt.images.write import read_text

FIRST = ("--count", 3)


def sample(gaussian, out, *more):
    return run("sample", "--engine", gaussian, "--steps", 3, "--out", out, *more)


@pytest.fixture
def drawn(gaussian, tmp_path):
    """A folder of three samples."""
    assert sample(gaussian, tmp_path / "out", *FIRST).exit_code == 0
    return tmp_path / "out"


def pixels_at(content):
    return content.index(b"IDAT") + 4


DAMAGE = {
    "empty": lambda whole: b"",
    "a part of the signature": lambda whole: whole[:5],
    "cut before the text": lambda whole: whole[:40],
    "cut in the pixels": lambda whole: whole[: pixels_at(whole) + 6],
    "cut before the end": lambda whole: whole[:-12],
    "cut in the end": lambda whole: whole[:-3],
    "changed pixels": lambda whole: _changed(whole, pixels_at(whole) + 4),
    "a changed checksum": lambda whole: _changed(whole, whole.index(b"IEND") - 6),
    "a changed size": lambda whole: _changed(whole, 18),  # its checksum tells
    "zeros": lambda whole: whole[: pixels_at(whole)] + bytes(len(whole) - pixels_at(whole)),
}


def _changed(content, place):
    return content[:place] + bytes(byte ^ 255 for byte in content[place : place + 2]) + content[place + 2 :]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_picture_is_drawn_again_and_counted(gaussian, drawn, damage):
    before = {path.name: path.read_bytes() for path in drawn.iterdir()}
    for path in drawn.iterdir():
        os.utime(path, ns=(0, 0))
    (drawn / "000001.png").write_bytes(DAMAGE[damage](before["000001.png"]))
    result = sample(gaussian, drawn, *FIRST)
    assert result.exit_code == 0, result.output
    assert "1 images of seed 0" in result.stdout
    assert "(2 were there already, 1 were damaged and were drawn again)" in result.stdout
    assert {path.name: path.read_bytes() for path in drawn.iterdir()} == before
    assert [path.name for path in sorted(drawn.iterdir()) if path.stat().st_mtime_ns == 0] == [
        "000000.png",
        "000002.png",
    ]
    assert "(3 were there already)" in sample(gaussian, drawn, *FIRST).stdout


def test_a_damaged_picture_of_another_seed_is_not_replaced(gaussian, drawn):
    path = drawn / "000001.png"
    cut = path.read_bytes()[:-12]
    path.write_bytes(cut)
    failed(sample(gaussian, drawn, *FIRST, "--seed", 1), "000000.png is another image (seed 0, not 1)")
    (drawn / "000000.png").unlink()
    failed(sample(gaussian, drawn, *FIRST, "--seed", 1), "000001.png is another image (seed 0, not 1)")
    assert path.read_bytes() == cut


def test_a_foreign_picture_or_one_of_another_size_stays_unchanged(gaussian, drawn):
    path = drawn / "000001.png"
    text = PngImagePlugin.PngInfo()
    for key, value in read_text(path).items():
        text.add_text(key, value)
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(path, pnginfo=text)
    failed(sample(gaussian, drawn, *FIRST), "another image (size 12 x 8, not 6 x 4)")
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(path)
    failed(sample(gaussian, drawn, *FIRST), "another image (seed unknown, not 0)")
    path.write_text("mine")
    failed(sample(gaussian, drawn, *FIRST), "000001.png")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("size", [(5, 4), (50_000, 50_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_of_a_size_that_nobody_opens_is_another_image_and_not_drawn_over(gaussian, drawn, size):
    path = drawn / "000001.png"
    whole = path.read_bytes()
    header = whole[12:16] + struct.pack(">II", *size) + whole[24:29]
    other = whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]
    path.write_bytes(other)
    failed(sample(gaussian, drawn, *FIRST), "000001.png is another image (size {} x {}, not 6 x 4)".format(*size))
    assert path.read_bytes() == other


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to a device", "large"])
def test_a_file_that_is_not_a_picture_is_refused_at_once(gaussian, drawn, kind):
    path = drawn / "000001.png"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(1 << 32)  # a hole: nothing is written
    else:
        path.symlink_to("/dev/zero")
    failed(sample(gaussian, drawn, *FIRST), "000001.png")


def test_a_link_to_a_picture_counts_as_the_picture(gaussian, drawn):
    (drawn / "000001.png").rename(drawn.parent / "far.png")
    (drawn / "000001.png").symlink_to("../far.png")
    assert "3 were there already" in sample(gaussian, drawn, *FIRST).stdout
    (drawn.parent / "far.png").unlink()
    assert "1 images of seed 0" in sample(gaussian, drawn, *FIRST).stdout
    assert (drawn.parent / "far.png").exists()


def test_a_folder_that_another_command_owns_is_refused_in_one_line(gaussian, tmp_path):
    from ddpm_rt.artifacts.folder_owner import owned_folder

    (tmp_path / "out").mkdir()
    with owned_folder(tmp_path / "out", {"ddpm-rt.seed": "5"}, "0-2", lambda line: None):
        failed(sample(gaussian, tmp_path / "out", *FIRST), f"in use by process {os.getpid()}", "with seed 5, not 0")
    assert list((tmp_path / "out").iterdir()) == []
    assert sample(gaussian, tmp_path / "out", *FIRST).exit_code == 0


def test_a_file_system_without_locks_causes_a_note_and_sampling_works(gaussian, tmp_path, monkeypatch):
    monkeypatch.setattr("ddpm_rt.artifacts.folder_owner.lock", lambda descriptor, **how: None)
    result = sample(gaussian, tmp_path / "out", *FIRST)
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert "file system without locks" in result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3
