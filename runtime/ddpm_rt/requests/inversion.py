"""DDIM inversion: from an image to the x_T that DDIM draws it from; and samples from a given x_T."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..artifacts.card import ModelCard
from ..artifacts.digest import array_sha256
from ..denoiser import Batch
from ..engine import ChainInputs
from ..samplers import ddim
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.schedule import Integers, Prediction, Schedule
from ..samplers.table import StepTable, form
from .labels import no_class
from .request import BoundRequest, Request


def ddim_inversion(schedule: Schedule, timesteps: Integers, *, prediction: Prediction = "eps") -> StepTable:
    """The table of DDIM with eta 0 run backwards: t ascends, from an image to x_T.

    Song et al. 2021, section 4.3: the steps of eq. (13) from low to high noise. A row starts at the noise level of the
    previous row's t (the first row at the image, alpha_bar 1) and leads to the level of its own t. Both levels share
    one eps, so the error of a step is of second order in its length, and that of the chain of first order. x does not
    depend on x0, and therefore not on a clip; x0 is only shown.
    """
    ddim(schedule, timesteps, prediction=prediction)  # checks the timesteps: raises ValueError
    t = timesteps[::-1].copy()
    now = schedule.alpha_bar[t]
    before = np.append(1.0, now[:-1])
    _, _, eps_from_x, eps_from_out = form(now, prediction)
    from_eps = np.sqrt(1.0 - now) - np.sqrt(now / before * (1.0 - before))
    zero = np.zeros_like(now)
    return StepTable(
        t,
        x0_from_x=(1.0 - np.sqrt(1.0 - before) * eps_from_x) / np.sqrt(before),
        x0_from_out=-np.sqrt(1.0 - before) * eps_from_out / np.sqrt(before),
        mean_from_x0=zero,
        mean_from_x=np.sqrt(now / before) + from_eps * eps_from_x,
        mean_from_out=from_eps * eps_from_out,
        mean_from_prev_x0=zero,
        sigma=zero,
        log_sigma_from_spread=zero,
    )


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
        return ChainInputs(bound.table, bound.sampler.clip, start)

    def describe(self, model_sha256: str = "") -> dict[str, str]:
        return super().describe(model_sha256) | {"ddpm-rt.noise": array_sha256(self.noise)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Inversion(FromNoise):
    """DDIM inversion: the chain starts from images and ends with their x_T."""

    said: ClassVar[str] = "the images are"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler not in (None, "ddim") or self.eta or self.compiled is not None:
            raise ValueError("only ddim with eta 0 can be inverted")

    def compile_for(self, card: ModelCard) -> CompiledSampler:
        compiled = super().compile_for(card)
        table = ddim_inversion(card.schedule, compiled.table.t, prediction=card.prediction)
        return compiled._replace(table=table)
