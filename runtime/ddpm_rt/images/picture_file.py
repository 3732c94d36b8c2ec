"""Picture files, opened within limits: which formats, how many bytes and pixels, and what a mode means."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.bounded_read import PICTURE_BYTES, failure, open_regular, size_of
from ..errors import DdpmRtError

# Formats whose decoders need no other program. Pillow's others start Ghostscript, or are rarely tested.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 1 << 26  # 8192 x 8192; checked before a pixel is decoded
ADVICE = "name a picture"
ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")  # Pillow's modes
SEVERAL_IN_ONE = ("JPEG", "MPO")  # cameras keep a preview behind the picture


@contextmanager
def open_picture(path: Path, advice: str = ADVICE) -> Iterator[Any]:
    """A `PIL.Image`, not yet decoded. Raises DdpmRtError unless the file is a picture within the limits.

    That holds for what fails inside the `with` block, too: decoding happens there.
    """
    from PIL import Image

    with open_regular(path, advice) as file:
        if size_of(file) > PICTURE_BYTES:
            raise failure(path, f"is larger than the limit of {PICTURE_BYTES >> 20} MiB", advice)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is lower
                picture = Image.open(file, formats=FORMATS)
            with picture:
                if picture.width * picture.height > MAX_PIXELS:
                    size = f"{picture.width} x {picture.height}"
                    raise failure(path, f"is {size}, more than the limit of {MAX_PIXELS} pixels", advice)
                yield picture
        except DdpmRtError:
            raise
        except Image.DecompressionBombError as error:
            raise failure(path, f"has more than the limit of {MAX_PIXELS} pixels", advice) from error
        except Exception as error:  # of damaged files, decoders raise errors of many kinds
            raise failure(path, "is not a picture that can be read", advice) from error


def resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """uint8 `[H, W]` or `[H, W, 3]` in another size, by Lanczos' filter."""
    from PIL import Image

    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.uint8)


def read_pixels(path: Path, mode: str) -> NDArray[np.uint8]:
    """The pixels as uint8 `[H, W]` of mode L, or `[H, W, 3]` of mode RGB; palettes and grey are converted.

    Raises DdpmRtError for what has no one meaning: several frames, pixels that are not opaque, more than 8 bits.
    """
    with open_picture(path) as picture:
        if picture.mode.startswith(("I", "F")):  # Pillow would cut them off at 255
            raise failure(path, "has more than 8 bits a channel", "save it with 8, or as .npy in [-1, 1]")
        if picture.format not in SEVERAL_IN_ONE and getattr(picture, "is_animated", False):
            raise failure(path, "has several frames", "save the frame that you mean as a picture of its own")
        may_be_seen_through = picture.mode in ALPHA or "transparency" in picture.info
        if may_be_seen_through and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255:
            raise failure(path, "has pixels that are not opaque", "save it without transparency")
        return np.asarray(picture.convert(mode), np.uint8)
