"""From an image to the noise that DDIM makes it from, and back."""

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
    """DDIM with eta 0 run backwards: a table whose t ascends, from an image to x_T.

    Song et al. 2021, section 4.3: the steps of eq. (13) from low to high noise. A row leaves the level of the t
    before it (the first one the image, alpha_bar 1) and goes to that of its own t, where the network's eps is taken to
    be the same: the error of a step is of second order in its length, that of the whole of first. x0 is for looking
    at, x does not depend on it, and so not on a clip.
    """
    ddim(schedule, timesteps, prediction=prediction)  # raises ValueError for timesteps that are none
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
    """Samples whose x_T is given. Raises ValueError for what cannot be asked; `table` does when it does not fit."""

    said: ClassVar[str] = "the noise is"  # what an error begins with
    noise: Batch  # float32 [count, C, H, W]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise.ndim != 4 or len(self.noise) != self.count:
            shape = list(self.noise.shape)
            raise ValueError(f"{self.said} {shape} but must be [count, C, H, W], with count {self.count}")
        if not np.isfinite(self.noise).all():
            raise ValueError(f"{self.said} not finite everywhere")

    def default_label(self, card: ModelCard) -> tuple[int, ...] | None:
        return no_class(card)

    def compile_for(self, card: ModelCard) -> CompiledSampler:
        if self.noise.shape[1:] != card.image_shape:
            sizes = (" x ".join(map(str, shape)) for shape in (self.noise.shape[1:], card.image_shape))
            raise ValueError("{} {} but the model draws {}".format(self.said, *sizes))
        return super().compile_for(card)

    def chain(self, bound: BoundRequest, samples: Sequence[int]) -> ChainInputs:
        start = self.noise[[sample - self.first for sample in samples]]
        return ChainInputs(bound.table, bound.sampler.clip, start)

    def describe(self, model_sha256: str = "") -> dict[str, str]:
        return super().describe(model_sha256) | {"ddpm-rt.noise": array_sha256(self.noise)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Inversion(FromNoise):
    """The way back: what it begins with are images, and what it ends with is x_T."""

    said: ClassVar[str] = "the images are"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler not in (None, "ddim") or self.eta or self.compiled is not None:
            raise ValueError("only ddim without noise of its own (eta 0) has a way back")

    def compile_for(self, card: ModelCard) -> CompiledSampler:
        compiled = super().compile_for(card)
        table = ddim_inversion(card.schedule, compiled.table.t, prediction=card.prediction)
        return compiled._replace(table=table)
