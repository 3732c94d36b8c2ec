"""A sampler and its options, and their compilation into a step table for one model."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from ..artifacts.card import ModelCard
from ..samplers import FITTED, NAMES, SAMPLERS
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.dialects import DIALECTS
from ..samplers.schedule import Spacing

SAMPLER, STEPS, DIALECT = "ddim", 50, "ho2020"  # defaults
MODEL_SPACING = "the model's"  # in words, until a request is bound to a model


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """A sampler and its options, for any model. Raises ValueError for options that no model allows."""

    sampler: str | None = None  # None is ddim
    steps: int | None = None  # None is 50, or as many as `timesteps`
    eta: float | None = None  # ddim only; None is 0
    spacing: Spacing | None = None  # None is the card's
    timesteps: Sequence[int] | None = None  # listed, descending, instead of steps and spacing
    dialect: str | None = None  # None is ho2020

    def __post_init__(self) -> None:
        _one_of("sampler", self.sampler, NAMES)
        _one_of("dialect", self.dialect, DIALECTS)
        _one_of("spacing", self.spacing, get_args(Spacing))
        name = self.sampler or SAMPLER
        if self.eta is not None and not _has_eta(name):
            raise ValueError(f"eta is an option of ddim; {name} has none")
        if self.eta is not None and not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta must lie in [0, 1], not {self.eta}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        if self.timesteps is not None and (self.steps, self.spacing) != (None, None):
            raise ValueError("timesteps decide the number of steps and their spacing; leave out steps and spacing")

    @property
    def calls(self) -> int:
        """Calls of the network for one sample."""
        return len(self.timesteps) if self.timesteps is not None else self.steps or STEPS

    def compile(self, card: ModelCard) -> CompiledSampler:
        """For this model. Raises ValueError when it was trained with fewer steps, or cannot be sampled so."""
        name, dialect = self.sampler or SAMPLER, DIALECTS[self.dialect or DIALECT]
        if name == FITTED:
            raise ValueError("a fitted table is in the file of its model, which is not known here; give a steps file")
        schedule, spacing = dialect.schedule(np.array(card.betas), name), None
        if self.timesteps is None:
            spacing = self.spacing or card.spacing
            visited = dialect.timesteps(schedule, self.calls, spacing, name)
        else:
            visited = np.array(self.timesteps, np.int64)
        given = {
            "variance": card.variance,
            "eta": self.eta or 0.0,
            "last_noise": dialect.last_noise,
            "raw_eps": dialect.raw_eps,
            "leads_to": dialect.leads_to(visited, len(schedule), spacing),
        }
        table, options = SAMPLERS[name]
        chosen = {option: given[option] for option in options}
        rows = table(schedule, visited, prediction=card.prediction, **chosen)
        words = ", ".join(f"{key} {value}" for key, value in self.describe().items() if value != "-")
        return CompiledSampler(rows, dialect.clip(card.clip, name), words)

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
        raise ValueError(f"{key} must be one of {', '.join(known)}, not {value!r}")
