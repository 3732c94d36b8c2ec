"""Where samples go: a grid, an animation, a folder with a file a sample, or the raw numbers."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..artifacts.atomic_write import replace_file
from ..artifacts.output_path import check_writable
from ..denoiser import Batch
from ..engine import Engine, Watch
from ..errors import DdpmRtError
from ..requests.request import BoundRequest
from .write import Pixels, grid, read_text, save_animation, save_png, to_pixels

Kind = Literal["grid", "animation", "array", "folder"]
KINDS: dict[str, Kind] = {".png": "grid", ".gif": "animation", ".webp": "animation", ".npy": "array", "": "folder"}
FRAMES = 50  # at most, in an animation
FRAME_MS = 60


@dataclass(frozen=True)
class Outcome:
    """What has been done."""

    drawn: int  # images
    skipped: int  # that were there already


class Output:
    """One destination. `path` decides what it is: by suffix, or a folder where there is none (or it is one).

    Raises ValueError for a suffix that is none of those, DdpmRtError when nothing can be written there.
    """

    def __init__(self, path: Path, bound: BoundRequest, model_sha256: str) -> None:
        self.path, self.bound, self.request = path, bound, bound.request
        self.text = bound.describe(model_sha256)
        suffix = "" if path.is_dir() else path.suffix.lower()
        if suffix not in KINDS or (suffix == "" and path.exists() and not path.is_dir()):
            raise ValueError(f"{path}: write .png, .gif, .webp, .npy, or a folder name without a suffix")
        self.kind = KINDS[suffix]
        self.folder = path if self.kind == "folder" else path.parent
        if self.kind == "folder":
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DdpmRtError(f"{path} cannot be made: {error.strerror}") from error
        check_writable(self.folder)

    def missing(self) -> list[int]:
        """The samples that are still to be drawn. Raises DdpmRtError if the folder holds other ones of that name."""
        if self.kind != "folder":
            return list(self.request.samples)
        return [sample for sample in self.request.samples if not self._is_there(sample)]

    def _is_there(self, sample: int) -> bool:
        path = self._file(sample)
        if not path.exists():
            return False
        found = read_text(path)
        for key, value in self._text_of(sample).items():
            if found.get(key) != value:
                name, other = key.removeprefix("ddpm-rt."), found.get(key, "unknown")
                raise DdpmRtError(f"{path} is another image ({name} {other}, not {value}); use another folder")
        return True

    def _file(self, sample: int) -> Path:
        return self.path / f"{sample:06d}.png"

    def _text_of(self, sample: int) -> dict[str, str]:
        return {**self.text, "ddpm-rt.sample": str(sample)}

    def draw(self, engine: Engine, wanted: Sequence[int], progress: Callable[[], object]) -> Outcome:
        """Sample and write the `wanted`, which `missing` names.

        A folder grows batch by batch; a file appears whole, at the end.
        """
        images: list[Batch] = []
        kept: list[Pixels] = []
        frames: list[list[Pixels]] = []
        watch = Watch(progress, lambda step: kept.append(to_pixels(step.x)), self._frames())
        for samples, final in self.bound.finals(engine, wanted, watch):
            if self.kind == "folder":
                self._write_batch(samples, final)
            else:
                images.append(final)
                frames.append(kept.copy())
                kept.clear()
        if self.kind != "folder":
            self._write_whole(np.concatenate(images), frames)
        return Outcome(len(wanted), self.request.count - len(wanted))

    def _frames(self) -> Collection[int]:
        """The rows of the table after which an animation shows x."""
        if self.kind != "animation" or self.request.is_walk:
            return ()
        calls = self.request.calls
        return {*range(0, calls, -(-calls // FRAMES)), calls - 1}

    def _write_batch(self, samples: Sequence[int], images: Batch) -> None:
        for sample, pixels in zip(samples, to_pixels(images), strict=True):
            save_png(self._file(sample), pixels, self._text_of(sample))

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
