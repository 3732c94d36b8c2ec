"""The font of pictures with words."""

from typing import Any


def font(size: int) -> Any:
    """Pillow's own font at `size` pixels, or at its only size where Pillow is 10.0."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow 10.0 has only one size
        return ImageFont.load_default()
