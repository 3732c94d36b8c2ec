"""A sampler compiled for one model: the step table and the clip range."""

from typing import NamedTuple

from .dialects import Clip
from .table import StepTable


class CompiledSampler(NamedTuple):
    """The step table of one sampler for one model, the range that x0 is clipped to, and a description."""

    table: StepTable
    clip: Clip
    sampler: str  # a description for people, with the options
