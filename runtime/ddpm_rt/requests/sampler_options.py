"""A sampler and its options, and their compilation into a step table for one model."""

from collections.abc import Collection, Sequence, Sized
from dataclasses import dataclass
from typing import get_args

import numpy as np

from ..artifacts.card import ModelCard
from ..denoiser import plain_time
from ..limits import MAX_TIMESTEPS, check_count, check_number
from ..samplers import FITTED, NAMES, SAMPLERS, samplers_of
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.continuous import Levelled
from ..samplers.dialects import DIALECTS
from ..samplers.network_table import network_table
from ..samplers.process import Process, initial_scale
from ..samplers.schedule import Integers, Levels, Prediction, Spacing
from ..samplers.table import StepTable, check_table
from ..text import quoted

SAMPLER, STEPS, DIALECT = "ddim", 50, "ho2020"  # defaults
NUMBERS = (int, float, np.integer, np.floating)
MODEL_SPACING = "the model's"  # in words, until a request is bound to a model


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """A sampler and its options, for any model. Raises ValueError for options that no model allows."""

    sampler: str | None = None  # None is ddim
    steps: int | None = None  # None is 50, or as many as `timesteps`
    eta: float | None = None  # ddim only; None is 0
    spacing: Spacing | None = None  # None is the card's
    timesteps: Sequence[float] | None = None  # listed, descending, instead of steps and spacing; sigmas of a process of
    # sigma, times of a flow
    dialect: str | None = None  # None is ho2020

    def __post_init__(self) -> None:
        _one_of("sampler", self.sampler, NAMES)
        _one_of("dialect", self.dialect, DIALECTS)
        _one_of("spacing", self.spacing, get_args(Spacing))
        name = self.sampler or SAMPLER
        if self.eta is not None and not _has_eta(name):
            raise ValueError(f"eta is an option of ddim; {name} has none")
        if self.eta is not None:
            check_number("eta", self.eta)
        if self.eta is not None and not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta must lie in [0, 1], not {self.eta}")
        if self.steps is not None:
            check_count("steps", self.steps, MAX_TIMESTEPS)
        if self.timesteps is not None:
            object.__setattr__(self, "timesteps", _as_timesteps(self.timesteps))
        if self.timesteps is not None and (self.steps, self.spacing) != (None, None):
            raise ValueError("timesteps decide the number of steps and their spacing; leave out steps and spacing")

    @property
    def calls(self) -> int:
        """Calls of the network for one sample."""
        return len(self.timesteps) if self.timesteps is not None else self.steps or STEPS

    def compile(self, card: ModelCard) -> CompiledSampler:
        """For this model.

        Raises ValueError when it was trained with fewer steps, cannot be sampled so, or its betas give coefficients
        that float32 cannot hold.
        """
        name, dialect = self.sampler or SAMPLER, DIALECTS[self.dialect or DIALECT]
        if name == FITTED:
            raise ValueError("a fitted table is in the file of its model, which is not known here; give a steps file")
        kind = card.forward_process.kind
        if name not in samplers_of(kind):
            raise ValueError(f"{name} cannot sample a process of {kind}; these can: {', '.join(samplers_of(kind))}")
        if card.process is not None:
            return self._compile_levels(card, card.process)
        schedule, spacing = dialect.schedule(np.array(card.betas), name), None
        if self.timesteps is None:
            spacing = self.spacing or card.spacing
            visited = dialect.timesteps(schedule, self.calls, spacing, name)
        else:
            visited = np.array(self.timesteps)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # `check_table` says it in words
            leads_to = dialect.leads_to(visited, len(schedule), spacing)
            rows = self._rows(card, schedule, visited, card.prediction, leads_to)
        check_table(rows)
        return CompiledSampler(rows, dialect.clip(card.clip, name), self._words())

    def _compile_levels(self, card: ModelCard, process: Levelled) -> CompiledSampler:
        """As `compile`, for a process of continuous levels, by the conventions of ho2020."""
        if (self.dialect or DIALECT) != DIALECT:
            raise ValueError(
                f"dialect {self.dialect} is about processes of betas; the model's process is {process.kind}"
            )
        if self.timesteps is None:
            levels = process.spaced(self.calls, self.spacing or card.spacing)
        else:
            levels = np.array(self.timesteps, np.float64)
        own = process.x0_from(levels, card.prediction) is not None
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            rows = self._rows(card, process, levels, "x0" if own else card.prediction)
            rows = network_table(rows, process, levels, card.prediction)
        check_table(rows)
        return CompiledSampler(rows, card.clip, self._words(), initial_scale(process, levels[0], card.prediction))

    def _words(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in SamplerOptions.describe(self).items() if value != "-")

    def _rows(
        self, card: ModelCard, process: Process, levels: Levels, prediction: Prediction,
        leads_to: Integers | None = None,
    ) -> StepTable:  # fmt: skip
        """The sampler's table, from every option that the sampler declares."""
        dialect = DIALECTS[self.dialect or DIALECT]
        given = {
            "variance": card.variance,
            "eta": self.eta or 0.0,
            "last_noise": dialect.last_noise,
            "raw_eps": dialect.raw_eps,
            "leads_to": leads_to,
        }
        table, options, _ = SAMPLERS[self.sampler or SAMPLER]
        return table(process, levels, prediction=prediction, **{option: given[option] for option in options})

    def describe(self) -> dict[str, str]:
        """Everything above as text; `-` is what does not apply."""
        name, listed = self.sampler or SAMPLER, self.timesteps is not None
        return {
            "sampler": name,
            "steps": str(self.calls),
            "eta": str(self.eta or 0.0) if _has_eta(name) else "-",
            "spacing": "-" if listed else self.spacing or MODEL_SPACING,
            "timesteps": " ".join(map(str, self.timesteps or ())) or "-",
            "dialect": self.dialect or DIALECT,
        }


def _has_eta(name: str) -> bool:
    return name in SAMPLERS and "eta" in SAMPLERS[name].options


def _one_of(key: str, value: str | None, known: Collection[str]) -> None:
    if value is not None and value not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)}, not {quoted(value)}")


def _as_timesteps(timesteps: Sequence[float]) -> tuple[float, ...]:
    """The timesteps as ints, or floats where one is fractional. Raises ValueError unless all are numbers in range."""
    if isinstance(timesteps, Sized) and len(timesteps) > MAX_TIMESTEPS:
        raise ValueError(f"timesteps must be at most {MAX_TIMESTEPS}, not {len(timesteps)}")
    array = np.asarray(timesteps, object)
    if array.ndim != 1 or not all(isinstance(t, NUMBERS) and not isinstance(t, bool) for t in array):
        raise ValueError(f"timesteps must be a list of numbers, not {quoted(timesteps)}")
    if wrong := [t for t in array if not 0 <= t < MAX_TIMESTEPS]:
        raise ValueError(f"timesteps must descend strictly and lie in [0, {MAX_TIMESTEPS}), not {quoted(wrong[0])}")
    return tuple(map(plain_time, array))
