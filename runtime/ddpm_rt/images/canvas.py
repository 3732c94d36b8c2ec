"""A picture of many samples, a grid or the frames of an animation, filled batch by batch. Its pixels are limited."""

import math

import numpy as np

from .write import FORMATS, Pixels, enlarged

MAX_PIXELS = 1 << 26  # most pixels of a grid, or of all frames of an animation together: 8192 x 8192
INSTEAD = "draw fewer or smaller ones, or write .npy or a folder"
EMPTY = 255  # white: black is the background of many models, so a black cell would look like a sample


def columns_of(count: int) -> int:
    """The number of columns of the grid of `count` tiles.

    The grid is between a square and about 4 : 1, with the fewest empty cells, and then as square as possible:
    12 tiles are 4 x 3, 10 are 5 x 2, and 7 are 4 x 2 with one empty cell.
    """
    square = math.isqrt(count - 1) + 1
    return min(range(square, 2 * square + 1), key=lambda columns: (-count % columns, columns))


def check_canvas(suffix: str, count: int, frames: int, height: int, width: int) -> None:
    """Raises ValueError if `frames` grids of `count` tiles exceed the limits of memory or of the format."""
    columns = columns_of(count)
    sides = -(-count // columns) * height, columns * width
    if (pixels := frames * sides[0] * sides[1]) > MAX_PIXELS:
        what = "the grid" if frames == 1 else f"{frames} frames"
        raise ValueError(f"{what} would have {pixels} pixels, more than the limit of {MAX_PIXELS}; {INSTEAD}")
    if max(sides) > (largest := FORMATS[suffix].largest_side):
        raise ValueError(f"a {suffix} holds at most {largest} pixels a side, not {max(sides)}; {INSTEAD}")


class Canvas:
    """`frames` grids of `count` tiles each, `pixels`: uint8 `[frames, rows H, columns W, C]`. Empty cells are white.

    `shape` is that of a tile, C, H, W; each pixel of it becomes `scale` x `scale` pixels.
    """

    def __init__(self, count: int, shape: tuple[int, int, int], frames: int = 1, scale: int = 1) -> None:
        channels, self.height, self.width = shape[0], shape[1] * scale, shape[2] * scale
        self.scale = scale
        self.columns = columns_of(count)
        rows = -(-count // self.columns)
        sides = rows * self.height, self.columns * self.width
        self.pixels: Pixels = np.full((frames, *sides, channels), EMPTY, np.uint8)

    def put(self, frame: int, first: int, tiles: Pixels) -> None:
        """Write `tiles` `[N, H, W, C]` to the places `first` to `first + N - 1` of a frame."""
        for place, tile in enumerate(tiles, first):
            top, left = place // self.columns * self.height, place % self.columns * self.width
            self.pixels[frame, top : top + self.height, left : left + self.width] = enlarged(tile, self.scale)


def grid(pixels: Pixels) -> Pixels:
    """Arrange images `[N, H, W, C]` in `columns_of(N)` columns: `[rows H, columns W, C]`. Empty cells are white."""
    count, height, width, channels = pixels.shape
    canvas = Canvas(count, (channels, height, width))
    canvas.put(0, 0, pixels)
    tiled: Pixels = canvas.pixels[0]
    return tiled
