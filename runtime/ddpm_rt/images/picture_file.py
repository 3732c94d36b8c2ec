"""Opens picture files within limits of formats, bytes and pixels, and converts their modes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.bounded_read import PICTURE_BYTES, failure, open_regular, size_of
from ..errors import DdpmRtError

# Pillow's decoders of other formats start Ghostscript or are rarely tested.
READ_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 1 << 26  # 8192 x 8192; checked before a pixel is decoded
ADVICE = "name a picture"
ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")  # Pillow's modes with transparency
SEVERAL_IN_ONE = ("JPEG", "MPO")  # cameras append a preview to the picture


@contextmanager
def open_picture(path: Path, advice: str = ADVICE) -> Iterator[Any]:
    """A `PIL.Image` that is not yet decoded. Raises DdpmRtError unless the file is a picture within the limits.

    Errors inside the `with` block also become DdpmRtError, because Pillow decodes there.
    """
    from PIL import Image

    with open_regular(path, advice) as file:
        if size_of(file) > PICTURE_BYTES:
            raise failure(path, f"is larger than the limit of {PICTURE_BYTES >> 20} MiB", advice)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is lower
                picture = Image.open(file, formats=READ_FORMATS)
            with picture:
                if picture.width * picture.height > MAX_PIXELS:
                    size = f"{picture.width} x {picture.height}"
                    raise failure(path, f"is {size}, more than the limit of {MAX_PIXELS} pixels", advice)
                yield picture
        except DdpmRtError:
            raise
        except Image.DecompressionBombError as error:
            raise failure(path, f"has more than the limit of {MAX_PIXELS} pixels", advice) from error
        except Exception as error:  # decoders raise errors of many kinds for damaged files
            raise failure(path, "is not a picture that can be read", advice) from error


def resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """uint8 `[H, W]` or `[H, W, 3]` in another size, by Lanczos' filter."""
    from PIL import Image

    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.uint8)


def read_pixels(path: Path, mode: str) -> NDArray[np.uint8]:
    """The pixels as uint8, `[H, W]` for mode L or `[H, W, 3]` for mode RGB. Palettes and grey are converted.

    Raises DdpmRtError for ambiguous pictures: several frames, transparent pixels, more than 8 bits for each channel.
    """
    with open_picture(path) as picture:
        if picture.mode.startswith(("I", "F")):  # Pillow would clip the values at 255
            raise failure(path, "has more than 8 bits a channel", "save it with 8 bits, or as .npy in [-1, 1]")
        if picture.format not in SEVERAL_IN_ONE and getattr(picture, "is_animated", False):
            raise failure(path, "has several frames", "save one frame as a separate picture")
        may_be_seen_through = picture.mode in ALPHA or "transparency" in picture.info
        if may_be_seen_through and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255:
            raise failure(path, "has transparent pixels", "save it without transparency")
        return np.asarray(picture.convert(mode), np.uint8)
