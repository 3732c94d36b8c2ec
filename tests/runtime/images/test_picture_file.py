import struct
import zlib

import numpy as np
import pytest
from hostile import SPECIAL, is_line
from PIL import Image

from ddpm_rt import DdpmRtError
from ddpm_rt.images.picture_file import MAX_PIXELS, open_picture, read_pixels
from ddpm_rt.images.write import read_text


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(72))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (MAX_PIXELS // 1000 + 1, 1000)])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, size):
    (tmp_path / "x.png").write_bytes(png(*size))
    with pytest.raises(DdpmRtError, match="pixels") as caught:
        read_pixels(tmp_path / "x.png", "L")
    assert is_line(str(caught.value))
    assert read_text(tmp_path / "x.png") == {}


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp", "tif"])
def test_a_truncated_picture_is_refused(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(path)
    read_pixels(path, "L")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DdpmRtError, match="not a picture"):
        read_pixels(path, "L")


@pytest.mark.parametrize("name", SPECIAL)
def test_only_regular_files_are_read(tmp_path, name):
    SPECIAL[name](tmp_path / "x.png")
    with pytest.raises(DdpmRtError, match=r"x\.png"), open_picture(tmp_path / "x.png"):
        pass


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_picture_with_several_frames_is_refused(tmp_path, kind):
    frames = [Image.fromarray(np.full((8, 8), 100 * i, np.uint8)) for i in range(2)]
    frames[0].save(tmp_path / f"x.{kind}", save_all=True, append_images=frames[1:])
    with pytest.raises(DdpmRtError, match="several frames"):
        read_pixels(tmp_path / f"x.{kind}", "L")


def test_palettes_and_opaque_alpha_are_read_by_their_colours(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for mode in ("P", "RGB", "RGBA", "LA", "1"):
        picture = Image.fromarray(np.where(grey > 32, 255, 0).astype(np.uint8)).convert(mode)
        picture.save(tmp_path / "x.png")
        np.testing.assert_array_equal(read_pixels(tmp_path / "x.png", "L"), np.where(grey > 32, 255, 0))


def test_transparent_pixels_are_refused(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 254)).save(tmp_path / "x.png")
    with pytest.raises(DdpmRtError, match="transparent pixels"):
        read_pixels(tmp_path / "x.png", "RGB")


def test_a_format_whose_decoder_starts_a_program_is_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(DdpmRtError, match="not a picture"):
        read_pixels(tmp_path / "x.png", "L")
