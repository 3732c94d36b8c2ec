"""DDIM inversion: from an image to the x_T that DDIM draws it from; and samples from a given x_T."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..artifacts.card import ModelCard
from ..artifacts.digest import array_sha256
from ..denoiser import Batch
from ..engine import ChainInputs
from ..host_loop import Beginning
from ..numbers import IMAGE_RANGE, check_range
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.continuous import Levelled
from ..samplers.schedule import Floats, Levels, Prediction, Schedule
from ..samplers.table import StepTable, form
from .labels import no_class
from .request import BoundRequest, Request


def ddim_inversion(schedule: Schedule | Levelled, timesteps: Levels, *, prediction: Prediction = "eps") -> StepTable:
    """The table of DDIM with eta 0 run backwards: t ascends, from an image to x_T.

    Song et al. 2021, section 4.3: the steps of eq. (13) from low to high noise. A row starts at the noise level of the
    previous row's t (the first row at the image, alpha_bar 1) and leads to the level of its own t. Both levels share
    one eps, so the error of a step is of second order in its length, and that of the chain of first order. x does not
    depend on x0, and therefore not on a clip; x0 is only shown.

    For noise levels or a flow, `timesteps` are levels. x is then kept in the scale of the network's input at a row's t:
    the chain starts from the image times the scale at the first t, and ends with x_T over its deviation, which is what
    a sampler multiplies by `initial_scale`.
    """
    schedule.check_levels(timesteps)
    levels = timesteps[::-1].copy()
    now, scale = schedule.alpha_bar_at(levels), schedule.scale_at(levels, prediction)
    before = np.append(1.0, now[:-1])
    told, end = (levels, 1.0) if isinstance(schedule, Schedule) else (schedule.time_at(levels), (1.0 - now[-1]) ** -0.5)
    eps_from_x, eps_from_out = _eps(schedule, levels, prediction)
    from_eps = np.sqrt(1.0 - now) - np.sqrt(now / before * (1.0 - before))
    after, zero = np.append(scale[1:], end), np.zeros_like(now)
    return StepTable(
        told,
        x0_from_x=(1.0 / scale - np.sqrt(1.0 - before) * eps_from_x) / np.sqrt(before),
        x0_from_out=-np.sqrt(1.0 - before) * eps_from_out / np.sqrt(before),
        mean_from_x0=zero,
        mean_from_x=(np.sqrt(now / before) / scale + from_eps * eps_from_x) * after,
        mean_from_out=from_eps * eps_from_out * after,
        mean_from_prev_x0=zero,
        sigma=zero,
        log_sigma_from_spread=zero,
    )


def _eps(process: Schedule | Levelled, levels: Levels, prediction: Prediction) -> tuple[Floats, Floats]:
    """The coefficients of the network's input and of its output in eps, at each level."""
    alpha_bar, scale = process.alpha_bar_at(levels), process.scale_at(levels, prediction)
    own = None if isinstance(process, Schedule) else process.x0_from(levels, prediction)
    if own is None:
        _, _, from_x, from_out = form(alpha_bar, prediction)
        return from_x / scale, from_out
    x0_from_x, x0_from_out = own
    signal, noise = np.sqrt(alpha_bar), np.sqrt(1.0 - alpha_bar)
    return (1.0 / scale - signal * x0_from_x) / noise, -signal * x0_from_out / noise


@dataclass(frozen=True, kw_only=True, eq=False)
class FromNoise(Request):
    """Samples with a given x_T.

    Raises ValueError for arguments out of range. `bind` raises ValueError when x_T does not fit the model.
    """

    said: ClassVar[str] = "the noise is"  # the start of an error message
    noise: Batch  # float32 [count, C, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise.ndim < 2 or len(self.noise) != self.count:
            shape = list(self.noise.shape)
            raise ValueError(f"{self.said} {shape} but must be [count, C, ...], with count {self.count}")
        if not np.isfinite(self.noise).all():
            raise ValueError(f"{self.said} not finite everywhere")

    def default_label(self, card: ModelCard) -> tuple[int, ...] | None:
        return no_class(card)

    def compile_for(self, card: ModelCard) -> CompiledSampler:
        if self.noise.ndim != 1 + len(card.image_shape):
            wanted = ", ".join(map(str, ("count", *card.image_shape)))
            raise ValueError(f"{self.said} {list(self.noise.shape)} but must be [{wanted}]")
        if self.noise.shape[1:] != card.image_shape:
            sizes = (" x ".join(map(str, shape)) for shape in (self.noise.shape[1:], card.image_shape))
            raise ValueError("{} {} but the model draws {}".format(self.said, *sizes))
        return super().compile_for(card)

    def chain(self, bound: BoundRequest, samples: Sequence[int]) -> ChainInputs:
        start = self.noise[[sample - self.first for sample in samples]]
        start = np.float32(bound.sampler.initial_scale) * start
        return ChainInputs(bound.table, bound.sampler.clip, Beginning(start))

    def describe(self, model_sha256: str = "") -> dict[str, str]:
        return super().describe(model_sha256) | {"ddpm-rt.noise": array_sha256(self.noise)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Inversion(FromNoise):
    """DDIM inversion: the chain starts from images and ends with their x_T, as `FromNoise` takes it."""

    said: ClassVar[str] = "the images are"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler not in (None, "ddim", "euler") or self.eta or self.compiled is not None:
            raise ValueError("only ddim with eta 0, which euler equals, can be inverted")

    def compile_for(self, card: ModelCard) -> CompiledSampler:
        compiled = super().compile_for(card)
        if card.clip == IMAGE_RANGE:
            check_range("the images have", self.noise)
        process = card.schedule if card.process is None else card.process
        table = ddim_inversion(process, process.level_of(compiled.table.t), prediction=card.prediction)
        first = process.scale_at(process.level_of(table.t[:1]), card.prediction)
        return compiled._replace(table=table, initial_scale=float(first[0]))
