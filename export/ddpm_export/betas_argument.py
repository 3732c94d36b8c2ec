"""Betas as a person gives them: a name with its numbers, or a file. There is no default."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm_ref.betas import MAX_TIMESTEPS, SCHEDULES, custom
from ddpm_ref.bounded_read import parse_json, read_bytes
from ddpm_ref.text import quoted
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.array_file import read_array

RANGED = ("linear", "quadratic", "sigmoid")  # these need START and END; a usual value would be a guess
FORMS = "NAME:STEPS[:START:END] (linear:1000:1e-4:0.02, cosine:1000), a .json or .npy file"


def parse_betas(text: str, folder: Path | None = None) -> NDArray[np.float64]:
    """The betas that `text` names, float64 `[T]`; a file is looked for in `folder`. Raises ValueError."""
    if text.endswith((".json", ".npy")):
        return read_betas((folder or Path()) / text)
    name, *numbers = text.split(":", 4)
    shown = quoted(text)
    if name not in SCHEDULES:
        raise ValueError(f"betas {shown}: no schedule {quoted(name)}, there are {', '.join(SCHEDULES)}; forms: {FORMS}")
    if len(numbers) != (3 if name in RANGED else 1):
        raise ValueError(f"betas {shown}: {name} is {name}:STEPS{':START:END' if name in RANGED else ''}")
    try:
        steps, limits = int(numbers[0]), [float(number) for number in numbers[1:]]
        return SCHEDULES[name](steps, *limits)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"betas {shown}: {error}") from error


def read_betas(path: Path) -> NDArray[np.float64]:
    """A JSON list or a NumPy array of betas. Raises ValueError."""
    try:
        if path.suffix == ".npy":
            return custom(read_array(path, np.float64, limit=MAX_TIMESTEPS))
        return custom(parse_json(read_bytes(path)))
    except (ValueError, DdpmRtError) as error:
        raise ValueError(f"{path} cannot be read as betas: {error}") from error


def check_signal(betas: Sequence[float] | NDArray[np.float64], prediction: str, source: Path) -> None:
    """Raises ValueError for a network that predicts eps, and betas that leave no signal at the last timestep.

    x0 is what remains of x after eps, divided by sqrt(alpha_bar): of an alpha_bar of 0 there is none.
    """
    if prediction == "eps" and betas[-1] == 1.0:
        raise ValueError(
            f"{source}: the last beta is 1, so alpha_bar ends at 0 (zero terminal SNR), and a network that predicts "
            "eps cannot begin where there is no signal; one that predicts v or x0 can"
        )
