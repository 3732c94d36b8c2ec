"""Edits of images: image to image (SDEdit) and inpainting (RePaint).

An edit is a `Request` whose chain starts from a noised image, or is held to an image after every step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.card import ModelCard
from ..artifacts.digest import array_sha256
from ..denoiser import Batch
from ..engine import ChainInputs, Engine
from ..host_loop import Beginning, Step
from ..limits import MAX_RESAMPLE, MAX_ROWS, check_count, check_number
from ..noise import INITIAL_STEP, normal
from ..numbers import IMAGE_RANGE, check_range
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.schedule import Floats
from ..samplers.table import StepTable
from .labels import no_class
from .request import BoundRequest, Request

Mask = NDArray[np.bool_]  # [H, W], or the sides that the model has: True is redrawn, False is kept


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit(Request):
    """Samples that start from `images`, and keep the pixels that `mask` does not mark.

    Without a mask, the chain starts at the noise level of the first row that is run, from
    x = sqrt(alpha_bar) image + sqrt(1 - alpha_bar) noise (SDEdit, Meng et al. 2022, section 3). The noise is the x_T of
    the sample.
    With a mask, each step is followed by a replacement: the kept pixels become the image at the noise level that the
    step leads to (RePaint, Lugmayr et al. 2022, algorithm 1, lines 4 to 8), with those elements of the step's noise
    that belong to kept pixels. With `resample`, x is then noised back by one step, and the step is repeated (lines 9
    to 10).

    Raises ValueError for arguments out of range. `bind` raises ValueError when images or mask do not fit the model.
    """

    images: Batch  # float32 [N, C, ...] in [-1, 1]: one for all samples, or one a sample
    strength: float = 0.5  # share of the steps that are run, in (0, 1]; 1 starts from noise alone
    mask: Mask | None = None  # None redraws everything
    resample: int = 1  # RePaint passes per step, which harmonise the new part with the kept one

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("strength", self.strength)
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"strength must lie in (0, 1], not {self.strength}")
        check_count("resample", self.resample, MAX_RESAMPLE)
        if self.resample > 1 and self.mask is None:
            raise ValueError("resample needs a mask")
        if self.images.ndim < 2 or len(self.images) not in (1, self.count):
            raise ValueError(f"images {list(self.images.shape)} must be [1, C, H, W], or {self.count} of them")
        if not np.isfinite(self.images).all():
            raise ValueError("images contain values that are not finite")
        if self.mask is not None and not self.mask.any():
            raise ValueError("the mask marks no pixel to redraw")

    def default_label(self, card: ModelCard) -> tuple[int, ...] | None:
        return no_class(card)

    @property
    def first_row(self) -> int:
        """The first row of the table that is run. At least one row is."""
        return self.calls - self.rows_run

    @property
    def rows_run(self) -> int:
        return max(1, round(self.strength * self.calls))

    def compile_for(self, card: ModelCard) -> CompiledSampler:
        shape = card.image_shape
        if self.images.shape[1:] != shape:
            raise ValueError(f"images are {_by(self.images.shape[1:])} but the model draws {_by(shape)}")
        if self.mask is not None and self.mask.shape != shape[1:]:
            raise ValueError(f"the mask is {_by(self.mask.shape)} but the model draws {_by(shape[1:])}")
        if card.clip == IMAGE_RANGE:
            check_range("images have", self.images)
        compiled = super().compile_for(card)
        if compiled.table.steps * self.resample > MAX_ROWS:
            raise ValueError(f"{compiled.table.steps} steps, {self.resample} times each, are more than {MAX_ROWS}")
        table = without_history(compiled.table, self.first_row)
        if self.resample > 1 and table.mean_from_prev_x0.any():
            raise ValueError(f"resample needs a sampler without history, not {compiled.sampler}")
        return compiled._replace(table=table)

    @property
    def is_steered(self) -> bool:
        return self.mask is not None

    def chain(self, bound: BoundRequest, samples: Sequence[int]) -> ChainInputs:
        """The chain from `first_row` on, started at its noise level. Repeated rows stand in the table several times."""
        card, table, first = bound.card, bound.table, self.first_row
        level, scale = states_of(card, table)
        noise, start = self._noise(card, samples, INITIAL_STEP), None
        if first:
            start = noised(self._images(samples), level[first], noise, scale[first])
        rows = repeated(table, self.resample)
        begun = first * self.resample
        return ChainInputs(rows, bound.sampler.clip, Beginning(start, begun, bound.sampler.initial_scale))

    def trajectory(self, bound: BoundRequest, engine: Engine, samples: Sequence[int]) -> Iterator[Step]:
        """The steps of one batch, from `first_row`; a step that is repeated counts once."""
        card, table, again, images = bound.card, bound.table, self.resample, self._images(samples)
        level, scale = states_of(card, table)
        rows, last = (table.steps - 1) * again + 1, table.steps - 1
        for step in super().trajectory(bound, engine, samples):
            row, time = divmod(step.row, again)
            if self.mask is not None:
                kept = noised(images, level[row + 1], self._noise(card, samples, step.row), scale[row + 1])
                np.copyto(step.x, kept, where=~self.mask)
            if row < last and time < again - 1:
                back = level[row] / level[row + 1]  # a forward step, with noise of steps past the table
                state = step.x / np.float32(scale[row + 1])
                step.x[...] = noised(state, back, self._noise(card, samples, rows + step.row), scale[row])
            else:
                yield step._replace(row=row)

    def _images(self, samples: Sequence[int]) -> Batch:
        return self.images if len(self.images) == 1 else self.images[[sample - self.first for sample in samples]]

    def _noise(self, card: ModelCard, samples: Sequence[int], step: int) -> Batch:
        return normal(self.seed, samples, step, int(np.prod(card.image_shape))).reshape(-1, *card.image_shape)

    def describe(self, model_sha256: str = "") -> dict[str, str]:
        mask = "-" if self.mask is None else array_sha256(self.mask.astype(np.uint8))
        return super().describe(model_sha256) | {
            "ddpm-rt.images": array_sha256(self.images),
            "ddpm-rt.strength": str(self.strength),
            "ddpm-rt.mask": mask,
            "ddpm-rt.resample": str(self.resample),
        }


def noised(images: Batch, alpha_bar: float, noise: Batch, scale: float = 1.0) -> Batch:
    """A sample of q(x_t | x_0), Ho et al. 2020, eq. (4), times `scale`, float32. alpha_bar 1 gives the images."""
    signal, rest = scale * alpha_bar**0.5, scale * (1.0 - alpha_bar) ** 0.5
    return np.asarray(np.float32(signal) * images + np.float32(rest) * noise, np.float32)


def states_of(card: ModelCard, table: StepTable) -> tuple[Floats, Floats]:
    """alpha_bar and the scale of x before each row, and after the last row, where x is the data: `[steps + 1]` each."""
    process = card.forward_process
    levels = process.level_of(table.t)
    scale = process.scale_at(levels, card.prediction)
    return np.append(process.alpha_bar_at(levels), 1.0), np.append(scale, 1.0)


def without_history(table: StepTable, row: int) -> StepTable:
    """The table for a chain that starts at `row`: that row takes its own x0 for the previous one."""
    mean, history = table.mean_from_x0.copy(), table.mean_from_prev_x0.copy()
    mean[row] += history[row]
    history[row] = 0.0
    return table._replace(mean_from_x0=mean, mean_from_prev_x0=history)


def repeated(table: StepTable, times: int) -> StepTable:
    """Every row `times` times, except the last row, which leads to the images, once."""
    columns: list[Any] = [np.repeat(column, times)[: (table.steps - 1) * times + 1] for column in table]
    return StepTable(*columns)


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
