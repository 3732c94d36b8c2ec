"""Converts images from the network's range to bytes, and writes pictures; `FORMATS` lists the formats."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..artifacts.atomic_write import replace_file
from ..artifacts.bounded_read import failure, is_regular
from ..denoiser import Batch
from ..errors import DdpmRtError
from .picture_file import open_picture

Pixels = NDArray[np.uint8]  # [..., H, W, C]

FRAME_MS, LAST_FRAME_MS = 60, 1500


def to_pixels(images: Batch) -> Pixels:
    """Convert float32 `[N, C, H, W]` in [-1, 1] to uint8 `[N, H, W, C]`: clip, (x + 1) 127.5, round half to even.

    This is the inverse of bytes / 127.5 - 1 (Ho et al. 2020, section 3.3) and reproduces the bytes exactly.
    """
    clipped = np.clip(images.astype(np.float32), -1.0, 1.0)
    bytes_: Pixels = np.rint((clipped + np.float32(1)) * np.float32(127.5)).astype(np.uint8)
    return bytes_.transpose(0, 2, 3, 1)


def enlarged(pixels: Pixels, scale: int) -> Pixels:
    """uint8 `[..., H, W, C]` with each pixel repeated `scale` times in both directions (nearest neighbour)."""
    return pixels if scale == 1 else pixels.repeat(scale, axis=-3).repeat(scale, axis=-2)


def save_png(path: Path, pixels: Pixels, text: Mapping[str, str]) -> None:
    """Atomically write uint8 `[H, W, C]` as a PNG with `text` in text chunks."""
    content = encode_png(pixels, text)
    replace_file(path, lambda file: file.write_bytes(content))


def encode_png(pixels: Pixels, text: Mapping[str, str]) -> bytes:
    """The bytes of a PNG of uint8 `[H, W, C]` with `text` in its text chunks."""
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value)
    content = io.BytesIO()
    pillow_image(pixels).save(content, format="PNG", pnginfo=chunks)
    return content.getvalue()


def read_text(path: Path) -> dict[str, str]:
    """The text chunks of a PNG; empty if it has none, or if the file is not a picture.

    Raises DdpmRtError unless `path` is a regular file: nothing else can be replaced by a picture.
    """
    if not is_regular(path):
        raise failure(path, "is not a regular file", "use another folder")
    try:
        with open_picture(path) as picture:
            return {str(key): value for key, value in picture.info.items() if isinstance(value, str)}
    except DdpmRtError:
        return {}


def _save_grid(path: Path, frames: Pixels, text: Mapping[str, str]) -> None:
    save_png(path, frames[0], text)


def _save_gif(path: Path, frames: Pixels, text: Mapping[str, str]) -> None:
    _save_animation(path, frames, format="GIF")


def _save_webp(path: Path, frames: Pixels, text: Mapping[str, str]) -> None:
    _save_animation(path, frames, format="WEBP", lossless=True)


def _save_animation(path: Path, frames: Pixels, **options: Any) -> None:
    """Atomically write the frames as a loop. The last frame stays longer."""
    first, *rest = [pillow_image(frame) for frame in frames]
    durations = [FRAME_MS] * len(rest) + [LAST_FRAME_MS]
    options |= {"save_all": True, "append_images": rest, "loop": 0, "duration": durations}
    replace_file(path, lambda file: first.save(file, **options))


def pillow_image(pixels: Pixels) -> Any:
    """A `PIL.Image` of uint8 `[H, W, C]`, grey for one channel."""
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


@dataclass(frozen=True)
class PictureFormat:
    """A format of picture files.

    `save` atomically writes frames, uint8 `[frames, H, W, C]`; a grid is one frame. It stores the text if the format
    has a place for it.
    """

    shows: Literal["grid", "animation"]
    largest_side: int  # pixels, the limit of the format
    save: Callable[[Path, Pixels, Mapping[str, str]], None]


FORMATS = {  # by suffix
    ".png": PictureFormat("grid", 2**31 - 1, _save_grid),
    ".gif": PictureFormat("animation", 65_535, _save_gif),
    ".webp": PictureFormat("animation", 16_383, _save_webp),
}
