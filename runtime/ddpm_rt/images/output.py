"""Where samples go: a grid, an animation, a folder with a file a sample, or the raw numbers."""

import contextlib
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..artifacts.atomic_write import replace_file
from ..artifacts.folder_owner import Say
from ..artifacts.output_path import check_target
from ..denoiser import Batch
from ..engine import Engine, Watch
from ..requests.request import BoundRequest
from .folder import SampleFolder
from .write import Pixels, grid, save_animation, save_png, to_pixels

Kind = Literal["grid", "animation", "array", "folder"]
KINDS: dict[str, Kind] = {".png": "grid", ".gif": "animation", ".webp": "animation", ".npy": "array", "": "folder"}
FRAMES = 50  # at most, in an animation
FRAME_MS = 60


@dataclass(frozen=True)
class Outcome:
    """What has been done."""

    drawn: int  # images
    skipped: int  # that were there already
    damaged: int = 0  # of the drawn, that were there and could not be read


class Output:
    """One destination. `path` decides what it is: by suffix, or a folder where there is none (or it is one).

    Raises ValueError for a suffix that is none of those, DdpmRtError when nothing can be written there.
    """

    def __init__(self, path: Path, bound: BoundRequest, model_sha256: str) -> None:
        self.path, self.bound, self.request = path, bound, bound.request
        self.text = bound.describe(model_sha256)
        is_folder = os.path.isdir(path)
        suffix = "" if is_folder else path.suffix.lower()
        if suffix not in KINDS or (suffix == "" and os.path.exists(path) and not is_folder):
            raise ValueError(f"{path}: write .png, .gif, .webp, .npy, or a folder name without a suffix")
        self.kind = KINDS[suffix]
        self.is_written = False  # the file of anything but a folder
        self.folder: SampleFolder | None = None
        if self.kind == "folder":
            self.folder = SampleFolder(path, self.text, bound.card.image_shape, self.request.samples)
        else:
            check_target(path)

    def owned(self, say: Say) -> AbstractContextManager[None]:
        """Within this context no other request's samples come into the folder.

        `say` gets the lines that a person should see. Raises DdpmRtError while another request has the folder.
        """
        return contextlib.nullcontext() if self.folder is None else self.folder.owned(say)

    def missing(self) -> list[int]:
        """The samples that are still to be drawn. Raises DdpmRtError if the folder holds other ones of that name."""
        return list(self.request.samples) if self.folder is None else self.folder.missing()

    def draw(self, engine: Engine, wanted: Sequence[int], progress: Callable[[], object]) -> Outcome:
        """Sample and write the `wanted`, which `missing` names.

        A folder grows batch by batch; a file appears whole, at the end.
        """
        images: list[Batch] = []
        kept: list[Pixels] = []
        frames: list[list[Pixels]] = []
        watch = Watch(progress, lambda step: kept.append(to_pixels(step.x)), self._frames())
        for samples, final in self.bound.finals(engine, wanted, watch):
            if self.folder is not None:
                self.folder.write(samples, to_pixels(final))
            else:
                images.append(final)
                frames.append(kept.copy())
                kept.clear()
        if self.folder is None:
            self._write_whole(np.concatenate(images), frames)
            self.is_written = True
        damaged = 0 if self.folder is None else self.folder.damaged
        return Outcome(len(wanted), self.request.count - len(wanted), damaged)

    def _frames(self) -> Collection[int]:
        """The rows of the table after which an animation shows x."""
        if self.kind != "animation" or self.request.is_walk:
            return ()
        calls = self.request.calls
        return {*range(0, calls, -(-calls // FRAMES)), calls - 1}

    def _write_whole(self, images: Batch, frames: list[list[Pixels]]) -> None:
        if self.kind == "array":
            replace_file(self.path, lambda file: np.save(file, images))
        elif self.kind == "grid":
            last = self.request.first + self.request.count - 1
            samples = f"{self.request.first}-{last}"
            save_png(self.path, grid(to_pixels(images)), {**self.text, "ddpm-rt.samples": samples})
        else:
            whole = list(to_pixels(images))
            together = whole if self.request.is_walk else [grid(np.concatenate(p)) for p in zip(*frames, strict=True)]
            save_animation(self.path, together, frame_ms=FRAME_MS)
