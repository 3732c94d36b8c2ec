"""Fit a step table to one engine: timesteps and coefficients for few network calls, without PyTorch or gradients.

>>> from ddpm_rt.tune import RanOn, Tuning, tune
>>> fitted = tune(engine, Tuning(calls=6), RanOn(model=sha256, precision="fp32", provider="cpu"))
>>> write_steps(path, fitted.sampler, engine.card)

1. The teacher, DPM-Solver++(2M) over many timesteps, draws some samples (`teacher`).
2. Dynamic programming finds the cheapest path of few steps through the teacher's timesteps (`timesteps`), and a local
   search improves the path (`search`).
3. Least squares fits each row's coefficients of x, x0 and the previous x0 on the table's own chains (`rows`).
4. The fitted table, DDIM and DPM-Solver++(2M) draw held-out samples and are compared with the teacher (`held_out`).
"""

from .fitting import Fitted, tune
from .provenance import Fit, RanOn
from .settings import Tuning

__all__ = ["Fit", "Fitted", "RanOn", "Tuning", "tune"]
