"""Destinations of samples: a grid, an animation, a folder with one file for each sample, or an array of floats."""

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
from ..artifacts.card import ModelCard
from ..artifacts.folder_owner import Say
from ..artifacts.output_path import check_target
from ..denoiser import Batch
from ..engine import Engine, Watch
from ..engines.decoder import Decoder
from ..errors import DdpmRtError
from ..host_loop import Step
from ..requests.request import BoundRequest
from .array_folder import ArrayFolder
from .canvas import Canvas, check_canvas
from .folder import SampleFolder
from .write import FORMATS, Pixels, to_pixels

Kind = Literal["grid", "animation", "array", "folder"]
KIND_OF: dict[str, Kind] = {
    **{suffix: format.shows for suffix, format in FORMATS.items()},
    ".npy": "array",
    "": "folder",
}
FRAMES = 50  # most frames of an animation


@dataclass(frozen=True)
class Outcome:
    """The number of images drawn and skipped."""

    drawn: int
    skipped: int  # already in the folder
    damaged: int = 0  # drawn again, because the file in the folder could not be read


class Output:
    """One destination. The suffix of `path` decides its kind; existing folders and paths without suffix are folders.

    Each pixel of an image becomes `scale` x `scale` pixels of a picture; arrays have scale 1. Raises ValueError for an
    unknown suffix, for images that a picture cannot show and for a picture that would be too large, DdpmRtError if the
    path cannot be written. All checks run before the first image is drawn.
    """

    def __init__(
        self, path: Path, bound: BoundRequest, model_sha256: str, decoder: Decoder | None = None, *, scale: int = 1
    ) -> None:
        self.path, self.bound, self.request, self.scale = path, bound, bound.request, scale
        self.text = bound.describe(model_sha256)
        self._decoder = decoder
        self._shape = picture_shape(bound.card, decoder)  # of a picture; None if a sample is no picture
        is_folder = os.path.isdir(path)
        suffix = "" if is_folder else path.suffix.lower()
        if suffix not in KIND_OF or (suffix == "" and os.path.exists(path) and not is_folder):
            raise ValueError(f"{path}: write {', '.join(filter(None, KIND_OF))}, or a folder name without a suffix")
        self.kind, self._suffix = KIND_OF[suffix], suffix
        self._check_picture()
        self.is_written = False  # whether the file is complete; not used for a folder
        self.folder: SampleFolder | None = None
        if self.kind == "folder":
            if self._shape is None:
                self.folder = ArrayFolder(path, self.text, bound.card.image_shape, self.request.samples)
            else:
                self.folder = SampleFolder(path, self._picture_text(), self._shape, self.request.samples, scale)
        else:
            check_target(path)
        if self.kind == "array":
            self._check_space()

    def owned(self, say: Say) -> AbstractContextManager[None]:
        """Keep other requests out of the folder.

        `say` receives messages for the user. Raises DdpmRtError while another request uses the folder.
        """
        return contextlib.nullcontext() if self.folder is None else self.folder.owned(say)

    def _check_picture(self) -> None:
        """Raises ValueError if a picture cannot show the images, or one file cannot hold all of them."""
        if self.kind == "array":
            self._check_no_scale()
            return
        if self._shape is None:
            card = self.bound.card
            if len(card.image_shape) == 3 and card.latents is None:  # a folder of such images would be one of pictures
                raise ValueError(f"the model draws {card.image_shape[0]} channels, which no picture shows; write .npy")
            if self.kind == "folder":
                self._check_no_scale()
                return
            sides = " x ".join(map(str, card.image_shape))
            what = sides if card.latents is None else f"latents of {sides} without a decoder"
            raise ValueError(f"the model draws {what}, which a picture cannot show; write .npy, or a folder of .npz")
        height, width = (side * self.scale for side in self._shape[1:])
        if self.kind == "folder":
            check_canvas(".png", 1, 1, height, width)
        else:
            check_canvas(self._suffix, *self._tiles_and_frames(), height, width)

    def _check_no_scale(self) -> None:
        if self.scale != 1:
            raise ValueError(f"{self.path}: arrays hold the model's numbers and have no scale; leave out --scale")

    def _check_space(self) -> None:
        """Raises DdpmRtError if the disk has too little free space for the array."""
        needed, free = (
            4 * self.request.count * math.prod(self.bound.card.image_shape),
            shutil.disk_usage(self.path.parent).free,
        )
        if needed > free:
            raise DdpmRtError(f"{self.path} needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free; draw fewer")

    def missing(self) -> Sequence[int]:
        """The samples still to be drawn. Raises DdpmRtError if the folder holds other images with the same names."""
        return self.request.samples if self.folder is None else self.folder.missing()

    def draw(self, engine: Engine, wanted: Sequence[int], progress: Callable[[], object]) -> Outcome:
        """Draw and write the samples `wanted`, as returned by `missing`.

        A folder grows batch by batch. A file appears only when it is complete.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # `finals` raises for images that are not finite
            if self.folder is not None:
                for samples, images in self.bound.finals(engine, wanted, Watch(progress)):
                    self.folder.write(samples, images if self._shape is None else self._pixels(images))
                return Outcome(len(wanted), self.request.count - len(wanted), self.folder.damaged)
            if self.kind == "array":
                self._write_array(engine, wanted, progress)
            else:
                self._write_picture(self._painted(engine, wanted, progress))
        self.is_written = True
        return Outcome(len(wanted), self.request.count - len(wanted))

    def _tiles_and_frames(self) -> tuple[int, int]:
        """The number of tiles in one frame, and the number of frames."""
        if self.kind == "grid":
            return self.request.count, 1
        return (1, self.request.count) if self.request.is_walk else (self.request.count, len(self._frames()))

    def _frames(self) -> Collection[int]:
        """The rows of the table after which an animation shows x; empty if the output shows only final images."""
        if self.kind != "animation" or self.request.is_walk:
            return ()
        calls = self.request.calls
        return {*range(0, calls, -(-calls // FRAMES)), calls - 1}

    def _write_array(self, engine: Engine, wanted: Sequence[int], progress: Callable[[], object]) -> None:
        """Append each batch to the file, so that the whole array is never in memory."""

        def fill(append: Append) -> None:
            for _, images in self.bound.finals(engine, wanted, Watch(progress)):
                append(images)

        write_array(self.path, (len(wanted), *self.bound.card.image_shape), fill)

    def _painted(self, engine: Engine, wanted: Sequence[int], progress: Callable[[], object]) -> Canvas:
        """Draw the grid, or all frames of the animation. Each batch is put in its place as soon as it is drawn."""
        tiles, frames = self._tiles_and_frames()
        canvas, rows = Canvas(tiles, self._shape or (1, 1, 1), frames, self.scale), self._frames()
        done = shown = 0

        def show(step: Step) -> None:
            nonlocal shown
            canvas.put(shown, done, self._pixels(step.x))
            shown += 1

        for samples, images in self.bound.finals(engine, wanted, Watch(progress, show, rows)):
            if self.kind == "grid":
                canvas.put(0, done, self._pixels(images))
            elif self.request.is_walk:
                for place, pixels in enumerate(self._pixels(images), done):
                    canvas.put(place, 0, pixels[None])
            done, shown = done + len(samples), 0
        return canvas

    def _pixels(self, images: Batch) -> Pixels:
        return to_pixels(images if self._decoder is None else self._decoder(images))

    def _picture_text(self) -> dict[str, str]:
        """The text of a picture, which names the decoder that made it."""
        return self.text | ({} if self._decoder is None else {"ddpm-rt.decoder": self._decoder.sha256()})

    def _write_picture(self, canvas: Canvas) -> None:
        last = self.request.first + self.request.count - 1
        text = {**self._picture_text(), "ddpm-rt.samples": f"{self.request.first}-{last}"}
        FORMATS[self._suffix].save(self.path, canvas.pixels, text)


def picture_shape(card: ModelCard, decoder: Decoder | None) -> tuple[int, int, int] | None:
    """C, H and W of the pictures of a model; None if its samples are no pictures."""
    if decoder is not None:
        return decoder.image_shape
    if not card.is_picture:
        return None
    channels, height, width = card.image_shape
    return channels, height, width
