"""Writes pictures of every kind that commands read or refuse."""

from pathlib import Path

import numpy as np
from PIL import Image

SMALL, MIDDLE, LARGE = (4, 6), (24, 40), (37, 95)  # height and width
READABLE = ("grey", "rgb", "palette", "opaque", "bilevel", "deep-rgb")
REFUSED = ("transparent", "keyed", "deep", "frames", "cut", "changed", "text")


def write_pictures(folder: Path) -> None:
    """Write PNG files of the size SMALL: `READABLE` ones, a mask, and files that are `REFUSED`.

    And an RGB picture of the size MIDDLE as a PNG and as JPEG files, and one of the size LARGE.
    """
    values = np.random.default_rng(0)

    def save(name: str, pixels: np.ndarray, **options: object) -> None:
        Image.fromarray(pixels).save(folder / f"{name}.png", **options)

    grey, rgb = values.integers(0, 256, SMALL, np.uint8), values.integers(0, 256, (*SMALL, 3), np.uint8)
    save("grey", grey)
    save("rgb", rgb)
    Image.fromarray(rgb).quantize(7).save(folder / "palette.png")
    Image.fromarray(grey).convert("1").save(folder / "bilevel.png")
    save("opaque", np.dstack([rgb, np.full(SMALL, 255, np.uint8)]))
    save("mask", values.choice(np.array([0, 127, 128, 255], np.uint8), SMALL))
    (folder / "deep-rgb.png").write_bytes(deep_rgb(values.integers(0, 1 << 16, (*SMALL, 3), np.uint16)))
    save("transparent", np.dstack([rgb, grey]))
    save("keyed", rgb, transparency=tuple(map(int, rgb[1, 1])))
    save("deep", values.integers(0, 1 << 16, SMALL, np.uint16))
    more = Image.fromarray(255 - rgb)
    save("frames", rgb, save_all=True, append_images=[more])
    content = (folder / "rgb.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) * 2 // 3])
    (folder / "changed.png").write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    (folder / "text.png").write_text("this is no picture")
    write_rgb(folder)


def write_rgb(folder: Path) -> None:
    """Smooth pictures, as photographs are: noise is the worst case of a JPEG."""
    for name, (height, width) in {"middle": MIDDLE, "large": LARGE}.items():
        y, x = np.mgrid[:height, :width] / 7.0
        waves = np.stack([np.sin(x + y), np.cos(x - y), np.sin(x * y / 9)], -1)
        picture = Image.fromarray(np.uint8(127.5 + 120 * waves))
        picture.save(folder / f"{name}.png")
        for sampling in (0, 2):  # a color for every pixel, and for every four
            picture.save(folder / f"{name}-{sampling}.jpg", quality=90, subsampling=sampling)
    Image.open(folder / "large.png").quantize(50).save(folder / "large-palette.png")


def deep_rgb(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow reads but does not write, from uint16 `[H, W, 3]`."""
    import struct
    import zlib

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(lines),
        b"IEND": b"",
    }
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)
