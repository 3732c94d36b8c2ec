"""Whether the facts of a card go together. `card` is a `ModelCard`, whose module imports this one."""

from typing import Any

import numpy as np

from ..limits import MAX_TIMESTEPS
from ..samplers.continuous import FlowProcess, SigmaProcess
from ..samplers.schedule import Schedule
from .card_facts import INPUTS, InputFacts, Latents
from .card_format import PREDICTIONS, SPACINGS
from .facts import is_number, is_text, maps, require


def check_process(card: Any) -> None:
    """Raises ValueError unless prediction, variance and spacing are possible with the process."""
    process = card.process
    known = process is None or isinstance(process, SigmaProcess | FlowProcess)
    require(known, "process", "a SigmaProcess, a FlowProcess or None", process)
    kind = "betas" if process is None else process.kind
    for key, values in (("prediction", PREDICTIONS[kind]), ("spacing", SPACINGS[kind])):
        said = f"{', '.join(values)} with a process of {kind}"
        require(getattr(card, key) in values, key, said, getattr(card, key))
    if process is None:
        betas = card.betas
        listed = isinstance(betas, tuple) and len(betas) <= MAX_TIMESTEPS and all(map(is_number, betas))
        require(listed, "betas", f"a list of at most {MAX_TIMESTEPS} numbers", betas)
        Schedule(np.array(betas))
        return
    require(card.betas == (), "betas", f"empty with a process of {kind}", card.betas)
    require(card.variance == "fixed_small", "variance", f"fixed_small with a process of {kind}", card.variance)
    if card.prediction == "edm":
        process.scale_at(np.array([1.0]), "edm")  # raises without sigma_data


def check_input_facts(card: Any) -> None:
    """Raises ValueError unless every further input has a name of its own, and a previous x0 the shape of an image."""
    inputs, taken = card.inputs, set(card.names.values())
    named = maps(inputs, lambda one: isinstance(one, InputFacts), INPUTS)
    require(named, "inputs", f"at most {INPUTS} names with their facts", inputs)
    for name in inputs:
        require(is_text(name) and name != "" and name not in taken, "inputs", "names that no other tensor has", name)
    previous = [one for one in inputs.values() if one.role == "prev_x0"]
    require(len(previous) <= 1, "inputs", "with at most one of the role prev_x0", [*inputs])
    for one in previous:
        alike = one.dtype == "float32" and one.shape == card.image_shape
        require(alike, "the input of the role prev_x0", "float32 of the shape of x", one)
    latents = card.latents is None or isinstance(card.latents, Latents)
    require(latents, "latents", "Latents or None", card.latents)
