"""A sampler compiled for one model: its step table, and the clip that goes with it."""

from typing import NamedTuple

from .dialects import Clip
from .table import StepTable


class CompiledSampler(NamedTuple):
    """A sampler compiled for one model."""

    table: StepTable
    clip: Clip
    sampler: str  # in words
