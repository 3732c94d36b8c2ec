"""Parses the betas that a user gives: the name of a schedule with its numbers, or a file. There is no default."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm_ref.betas import MAX_TIMESTEPS, SCHEDULES, custom
from ddpm_ref.bounded_read import parse_json, read_bytes
from ddpm_ref.text import quoted
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.array_file import read_array

RANGED = ("linear", "quadratic", "sigmoid")  # these need START and END, because a default would be a guess
FORMS = "NAME:STEPS[:START:END] (linear:1000:1e-4:0.02, cosine:1000), a .json or .npy file"


def parse_betas(text: str, folder: Path | None = None) -> NDArray[np.float64]:
    """Parse betas, float64 `[T]`. The name of a file is relative to `folder`. Raises ValueError."""
    if text.endswith((".json", ".npy")):
        return read_betas((folder or Path()) / text)
    name, *numbers = text.split(":", 4)
    shown = quoted(text)
    if name not in SCHEDULES:
        raise ValueError(f"betas {shown}: no schedule {quoted(name)}; known: {', '.join(SCHEDULES)}; forms: {FORMS}")
    if len(numbers) != (3 if name in RANGED else 1):
        raise ValueError(f"betas {shown}: write {name}:STEPS{':START:END' if name in RANGED else ''}")
    try:
        steps, limits = int(numbers[0]), [float(number) for number in numbers[1:]]
        return SCHEDULES[name](steps, *limits)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"betas {shown}: {error}") from error


def read_betas(path: Path) -> NDArray[np.float64]:
    """Read betas from a JSON list or an .npy file. Raises ValueError."""
    try:
        if path.suffix == ".npy":
            return custom(read_array(path, np.float64, limit=MAX_TIMESTEPS))
        return custom(parse_json(read_bytes(path)))
    except (ValueError, DdpmRtError) as error:
        raise ValueError(f"{path} cannot be read as betas: {error}") from error


def check_signal(betas: Sequence[float] | NDArray[np.float64], prediction: str, source: Path) -> None:
    """Raises ValueError if the network predicts eps and the betas end with alpha_bar = 0 (zero terminal SNR).

    x0 = (x - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar) is undefined there.
    """
    if prediction == "eps" and betas[-1] == 1.0:
        raise ValueError(
            f"{source}: the last beta is 1, so alpha_bar ends at 0 (zero terminal SNR); a network that predicts eps "
            "cannot start there, only one that predicts v or x0"
        )
