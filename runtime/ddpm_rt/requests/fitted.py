"""A request by sampler `fitted`: with the table that the file of the model carries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..artifacts.card import ModelCard
from ..artifacts.fitted_tables import fitted_sampler
from ..samplers import FITTED

DECIDED = ("eta", "spacing", "timesteps", "dialect")  # options of a sampler that a fitted table decides


def with_fitted(asked: Mapping[str, Any], model: Path | None, card: ModelCard) -> dict[str, Any]:
    """Arguments of a request in which sampler `fitted` is replaced by the table that the model carries.

    Raises ValueError for options beside `steps`, and where the model's file is not known.
    """
    if asked.get("sampler") != FITTED or asked.get("compiled") is not None:
        return dict(asked)
    if given := [key for key in DECIDED if asked.get(key) is not None]:
        raise ValueError(f"the fitted table decides {', '.join(given)}; leave it out")
    if model is None:
        raise ValueError("the engine's file is not known; open the engine from a path, or give a steps file")
    return {**asked, "sampler": None, "steps": None, "compiled": fitted_sampler(model, card, asked.get("steps"))}
