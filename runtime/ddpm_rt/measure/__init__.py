"""Measure an engine with a step table: time of a call, images a second, overhead of the loop, peak memory.

>>> from ddpm_rt.measure import Limit, measure
>>> figures = measure(lambda: open_engine(path), Request(steps=20), batch=8, limit=Limit())
"""

from .bench import Figures, Limit, measure
from .timing import Spread

__all__ = ["Figures", "Limit", "Spread", "measure"]
