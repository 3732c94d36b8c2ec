"""The reports of a training run: a progress bar, a loss curve (CSV and TensorBoard), grids of samples."""

import csv
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .diffusion import Diffusion, Model
from .files import replace_file, writing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMNS = ["step", "loss", "learning_rate", "images_per_second"]  # of log.csv
LOG_EVERY = 50  # training steps per point of the curve, which is the mean over them


class Report:
    """Writes the reports, if `enabled`: only in the first process. Elsewhere its methods do nothing.

    Raises OutputError when a file cannot be written.
    """

    def __init__(self, folder: Path, *, first: int, steps: int, quiet: bool, enabled: bool) -> None:
        self.folder, self.enabled = folder, enabled
        self.losses: list[float] = []
        self.writer: SummaryWriter | None = None
        if not enabled:
            return
        from torch.utils import tensorboard
        from tqdm import tqdm

        self.log = folder / "log.csv"
        _forget_after(self.log, first)
        self.events = folder / "tensorboard"
        with writing(self.events):
            self.writer = tensorboard.SummaryWriter(str(self.events), purge_step=first)
        self.lost: OSError | None = None  # the error that ended TensorBoard's thread
        self.uncaught, threading.excepthook = threading.excepthook, self._uncaught
        self.bar = tqdm(
            total=steps, initial=first, unit="step", disable=quiet, dynamic_ncols=True, smoothing=0.05, mininterval=1.0
        )

    def step(self, step: int, loss: float, rate: float, images_per_second: float) -> None:
        """Record training step `step`, counted from 0, after it is done."""
        if self.writer is None:
            return
        self.losses.append(loss)
        self.bar.update()
        if (step + 1) % LOG_EVERY:
            return
        mean = sum(self.losses) / len(self.losses)
        self.losses.clear()
        self.bar.set_postfix_str(f"loss {mean:.4f}, {images_per_second:.0f} images/s", refresh=False)
        with writing(self.events):
            for name, value in (("loss", mean), ("learning_rate", rate), ("images_per_second", images_per_second)):
                self.writer.add_scalar(name, value, step + 1)
        self._log([step + 1, f"{mean:.6f}", f"{rate:.3e}", f"{images_per_second:.1f}"])

    def _log(self, row: list[int | str]) -> None:
        with writing(self.log):
            new = not self.log.exists()
            with self.log.open("a", newline="") as file:
                rows = csv.writer(file)
                if new:
                    rows.writerow(COLUMNS)
                rows.writerow(row)

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Within this context the progress bar says what the run does between two steps, or after the last."""
        if self.writer is None:
            yield
            return
        self.bar.set_description_str(what)
        yield
        self.bar.set_description_str("", refresh=False)

    def samples(self, step: int, images: Tensor, columns: int) -> None:
        """Save a grid of images `[N, C, H, W]` in [-1, 1], `columns` per row, as samples/STEP.png."""
        if self.writer is None:
            return
        from PIL import Image

        grid = as_grid(images, columns)
        path = self.folder / "samples" / f"{step:07d}.png"
        picture = Image.fromarray(grid[..., 0] if grid.shape[2] == 1 else grid)
        replace_file(path, lambda file: picture.save(file, format="PNG"))
        with writing(self.events):
            self.writer.add_image("samples", grid, step, dataformats="HWC")

    def close(self) -> None:
        if self.writer is None:
            return
        self.bar.close()
        try:
            with writing(self.events):
                self.writer.close()
                if self.lost is not None:
                    raise self.lost
        finally:
            threading.excepthook = self.uncaught

    def _uncaught(self, args: threading.ExceptHookArgs) -> None:
        # TensorBoard writes in a thread. `close` or the next call raises this error, so no traceback is printed here.
        if isinstance(args.exc_value, OSError) and type(args.thread).__module__.startswith("tensorboard."):
            self.lost = args.exc_value
        else:
            self.uncaught(args)


@dataclass(frozen=True, eq=False)
class Grid:
    """The layout of a grid of samples: the number of images, the images per row, and the labels int64 `[N]` or None."""

    count: int
    columns: int
    labels: Tensor | None

    @classmethod
    def of(cls, count: int, classes: int | None) -> "Grid":
        """A grid of at most `count` images: one row per class.

        With more classes than `count`, the first `count` classes have one image each. Without classes, the grid is
        from a square to about 4 : 1, with the fewest empty cells.
        """
        if classes is None:
            square = math.isqrt(count - 1) + 1
            return cls(count, min(range(square, 2 * square + 1), key=lambda columns: (-count % columns, columns)), None)
        rows = min(classes, count)
        columns = count // rows
        return cls(rows * columns, columns, torch.arange(rows).repeat_interleave(columns))


def draw_samples(
    model: Model,
    diffusion: Diffusion,
    shape: tuple[int, ...],
    device: torch.device,
    stop: Sequence[int],
    *,
    steps: int = 50,
    seed: int = 0,
) -> Tensor | None:
    """Images `shape` = [N, C, H, W] by `steps` steps of DDIM. The same noise every time makes grids comparable.

    Returns None as soon as `stop` is not empty; the check runs before each step.
    """
    steps = min(steps, len(diffusion))
    timesteps = [len(diffusion) - 1 - i * len(diffusion) // steps for i in range(steps)]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
    chain = diffusion.ddim_sample_loop(model, x, lambda row: torch.zeros_like(x), timesteps=timesteps)
    for _ in timesteps:
        if stop:
            return None
        x = next(chain)
    return x


def as_grid(images: Tensor, columns: int) -> NDArray[np.uint8]:
    """Images `[N, C, H, W]` in [-1, 1] as one picture, uint8 `[rows * H, columns * W, C]`; empty cells are white."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
    count, channels, height, width = pixels.shape
    rows = -(-count // columns)
    padded = np.full((rows * columns, channels, height, width), 255, np.uint8)
    padded[:count] = pixels
    tiles = padded.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return tiles.reshape(rows * height, columns * width, channels)


def _forget_after(log: Path, step: int) -> None:
    """Drop the log's points after `step`, which a resumed run writes again, and any incomplete line of a killed run."""
    if not log.exists():
        return
    with writing(log):
        rows = log.read_text(errors="replace").splitlines(keepends=True)
    whole = [row for row in rows[1:] if row.endswith("\n") and row.count(",") == len(COLUMNS) - 1]
    kept = [row for row in whole if row.split(",")[0].isdigit() and int(row.split(",")[0]) <= step]
    text = "".join([",".join(COLUMNS) + "\n", *kept])
    replace_file(log, lambda file: file.write_text(text))
