"""Where samples go: a grid, an animation, a folder with a file a sample, or the raw numbers."""

import contextlib
import math
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..artifacts.array_file import Append, write_array
from ..artifacts.folder_owner import Say
from ..artifacts.output_path import check_target
from ..engine import Engine, Watch
from ..errors import DdpmRtError
from ..host_loop import Step
from ..requests.request import BoundRequest
from .canvas import Canvas, check_canvas
from .folder import SampleFolder
from .write import save_animation, save_png, to_pixels

Kind = Literal["grid", "animation", "array", "folder"]
KINDS: dict[str, Kind] = {".png": "grid", ".gif": "animation", ".webp": "animation", ".npy": "array", "": "folder"}
FRAMES = 50  # at most, in an animation
FRAME_MS = 60
PICTURES = (1, 3)  # channels that a picture can show: grey, and red, green and blue


@dataclass(frozen=True)
class Outcome:
    """What has been done."""

    drawn: int  # images
    skipped: int  # that were there already
    damaged: int = 0  # of the drawn, that were there and could not be read


class Output:
    """One destination. `path` decides what it is: by suffix, or a folder where there is none (or it is one).

    Each pixel of an image becomes `scale` x `scale` pixels of a picture; an array has no `scale` but 1.
    Raises ValueError for a suffix that is none of those, for images that are no pictures and for a picture that would
    be too large, DdpmRtError when nothing can be written there. All of this is before anything is drawn.
    """

    def __init__(self, path: Path, bound: BoundRequest, model_sha256: str, scale: int = 1) -> None:
        self.path, self.bound, self.request, self.scale = path, bound, bound.request, scale
        self.text = bound.describe(model_sha256)
        is_folder = os.path.isdir(path)
        suffix = "" if is_folder else path.suffix.lower()
        if suffix not in KINDS or (suffix == "" and os.path.exists(path) and not is_folder):
            raise ValueError(f"{path}: write .png, .gif, .webp, .npy, or a folder name without a suffix")
        self.kind = KINDS[suffix]
        self._check_picture(suffix)
        self.is_written = False  # the file of anything but a folder
        self.folder: SampleFolder | None = None
        if self.kind == "folder":
            self.folder = SampleFolder(path, self.text, bound.card.image_shape, self.request.samples, scale)
        else:
            check_target(path)
        if self.kind == "array":
            self._check_space()

    def owned(self, say: Say) -> AbstractContextManager[None]:
        """Within this context no other request's samples come into the folder.

        `say` gets the lines that a person should see. Raises DdpmRtError while another request has the folder.
        """
        return contextlib.nullcontext() if self.folder is None else self.folder.owned(say)

    def _check_picture(self, suffix: str) -> None:
        """Raises ValueError where the images cannot be shown, or not together in one file."""
        channels, *sides = self.bound.card.image_shape
        height, width = (side * self.scale for side in sides)
        if self.kind == "array":
            if self.scale != 1:
                raise ValueError(f"{self.path}: an .npy holds the model's numbers and has no scale; leave it out")
            return
        if channels not in PICTURES:
            raise ValueError(f"the model draws {channels} channels, which are no picture; write .npy")
        if self.kind == "folder":
            check_canvas(".png", 1, 1, height, width)
        else:
            check_canvas(suffix, *self._tiles_and_frames(), height, width)

    def _check_space(self) -> None:
        """Raises DdpmRtError where the disk has not the room for the array."""
        needed, free = (
            4 * self.request.count * math.prod(self.bound.card.image_shape),
            shutil.disk_usage(self.path.parent).free,
        )
        if needed > free:
            raise DdpmRtError(f"{self.path} needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free; draw fewer")

    def missing(self) -> Sequence[int]:
        """The samples that are still to be drawn. Raises DdpmRtError if the folder holds other ones of that name."""
        return self.request.samples if self.folder is None else self.folder.missing()

    def draw(self, engine: Engine, wanted: Sequence[int], progress: Callable[[], object]) -> Outcome:
        """Sample and write the `wanted`, which `missing` names.

        A folder grows batch by batch; a file appears whole, at the end.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # an image that is not finite is an error of its own
            if self.folder is not None:
                for samples, images in self.bound.finals(engine, wanted, Watch(progress)):
                    self.folder.write(samples, to_pixels(images))
                return Outcome(len(wanted), self.request.count - len(wanted), self.folder.damaged)
            if self.kind == "array":
                self._write_array(engine, wanted, progress)
            else:
                self._write_picture(self._painted(engine, wanted, progress))
        self.is_written = True
        return Outcome(len(wanted), self.request.count - len(wanted))

    def _tiles_and_frames(self) -> tuple[int, int]:
        """Images side by side in a picture, and how many such pictures follow one another."""
        if self.kind == "grid":
            return self.request.count, 1
        return (1, self.request.count) if self.request.is_walk else (self.request.count, len(self._frames()))

    def _frames(self) -> Collection[int]:
        """The rows of the table after which an animation shows x."""
        if self.kind != "animation" or self.request.is_walk:
            return ()
        calls = self.request.calls
        return {*range(0, calls, -(-calls // FRAMES)), calls - 1}

    def _write_array(self, engine: Engine, wanted: Sequence[int], progress: Callable[[], object]) -> None:
        """Append each batch to the file, so that the array is never in memory as a whole."""

        def fill(append: Append) -> None:
            for _, images in self.bound.finals(engine, wanted, Watch(progress)):
                append(images)

        write_array(self.path, (len(wanted), *self.bound.card.image_shape), fill)

    def _painted(self, engine: Engine, wanted: Sequence[int], progress: Callable[[], object]) -> Canvas:
        """The grid, or all frames of the animation, each batch put in its place as soon as it is drawn."""
        tiles, frames = self._tiles_and_frames()
        canvas, rows = Canvas(tiles, self.bound.card.image_shape, frames, self.scale), self._frames()
        done = shown = 0

        def show(step: Step) -> None:
            nonlocal shown
            canvas.put(shown, done, to_pixels(step.x))
            shown += 1

        for samples, images in self.bound.finals(engine, wanted, Watch(progress, show, rows)):
            if self.kind == "grid":
                canvas.put(0, done, to_pixels(images))
            elif self.request.is_walk:
                for place, pixels in enumerate(to_pixels(images), done):
                    canvas.put(place, 0, pixels[None])
            done, shown = done + len(samples), 0
        return canvas

    def _write_picture(self, canvas: Canvas) -> None:
        if self.kind == "grid":
            last = self.request.first + self.request.count - 1
            samples = f"{self.request.first}-{last}"
            save_png(self.path, canvas.pixels[0], {**self.text, "ddpm-rt.samples": samples})
        else:
            save_animation(self.path, list(canvas.pixels), frame_ms=FRAME_MS)
