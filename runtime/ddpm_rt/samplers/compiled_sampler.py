"""A sampler compiled for one model: the step table, the clip range, and the scale of its first noise."""

from typing import NamedTuple

from .dialects import Clip
from .table import StepTable


class CompiledSampler(NamedTuple):
    """The step table of one sampler for one model, the range that x0 is clipped to, and a description."""

    table: StepTable
    clip: Clip
    sampler: str  # a description for people, with the options
    initial_scale: float = 1.0  # x_T = initial_scale z; 1 for a process of betas
