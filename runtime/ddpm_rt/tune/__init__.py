"""Fit a step table to one engine: timesteps and coefficients for few calls of the network, without torch or gradients.

>>> from ddpm_rt.tune import RanOn, Tuning, tune
>>> fitted = tune(engine, Tuning(calls=6), RanOn(model=sha256, precision="fp32", provider="cpu"))
>>> write_steps(path, fitted.sampler, engine.card)

1. The teacher, DPM-Solver++(2M) over many timesteps, draws some samples (`teacher`).
2. Dynamic programming finds the cheapest path of few steps through the teacher's timesteps (`timesteps`), and a local
   search improves that path (`search`).
3. Least squares fits every row's coefficients of x, x0 and the x0 before, along the table's own path (`rows`).
4. The table, DDIM and DPM-Solver++(2M) draw samples that the fit has not seen (`held_out`).
"""

from .fitting import Fitted, tune
from .provenance import Fit, RanOn
from .settings import Tuning

__all__ = ["Fit", "Fitted", "RanOn", "Tuning", "tune"]
