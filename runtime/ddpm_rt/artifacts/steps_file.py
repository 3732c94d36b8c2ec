"""`*.steps.json`: a compiled step table with the facts of its model, for embedders that implement no sampler.

One flat JSON object, a key a line. The floats are float64 in full, so that the table comes back bit by bit; who runs
it casts it to float32 once, as the loop does. `card_sha256` is that of the text under `ddpm_rt.card` in the ONNX file.
Format 1 is written for a model whose card is of format 1 and a table of whole timesteps; format 2 for all others.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..limits import FLOAT32_MAX, MAX_ROWS
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.schedule import Levels
from ..samplers.table import StepTable
from ..text import printable, quoted
from .atomic_write import replace_file
from .bounded_read import failure, parse_json, read_bytes
from .card import ModelCard
from .card_format import format_of
from .facts import is_clip

AGAIN = "write it again with `ddpm-rt steps`"
HEAD, LAST = ("format", "sampler", "card_sha256"), ("clip", "classes", "null_class")
TENSORS = ("input_x", "input_t", "input_y")
FACTS = {
    1: (*HEAD, "channels", "height", "width", "output_channels", *LAST, *TENSORS, "output", "steps"),
    2: (*HEAD, "shape", "output_channels", *LAST, *TENSORS, "inputs", "output", "initial_scale", "steps"),
}
NUMBERS = ("clip", "initial_scale")  # facts that may be integers or floats
KEYS = {number: (*keys, *StepTable._fields) for number, keys in FACTS.items()}


def write_steps(path: Path, plan: CompiledSampler, card: ModelCard) -> None:
    """Write `plan`, which was compiled for the model of `card`. Raises DdpmRtError when that fails."""
    text = steps_text(plan, card)
    replace_file(path, lambda file: file.write_text(text))


def steps_text(plan: CompiledSampler, card: ModelCard) -> str:
    """What `write_steps` writes; a model file that carries fitted tables holds the same text."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in _content(plan, card).items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _content(plan: CompiledSampler, card: ModelCard) -> dict[str, Any]:
    whole = plan.table.t.dtype.kind == "i" and plan.initial_scale == 1.0
    number = 1 if whole and format_of(card) == 1 else 2
    return {**_facts(plan, card, number), **{name: column.tolist() for name, column in plan.table._asdict().items()}}


def _facts(plan: CompiledSampler, card: ModelCard, number: int) -> dict[str, Any]:
    """What a file of format `number` says before the columns, keys in order."""
    known = {
        "format": number,
        "sampler": plan.sampler,
        "card_sha256": card.sha256,
        "shape": list(card.image_shape),
        "output_channels": card.output_channels,
        "clip": None if plan.clip is None else list(plan.clip),
        "classes": card.classes,
        "null_class": card.null_class,
        "input_x": card.names["x"],
        "input_t": card.names["t"],
        "input_y": card.names.get("y"),
        "inputs": [{"name": name, **asdict(one), "shape": list(one.shape)} for name, one in card.inputs.items()],
        "output": card.names["out"],
        "initial_scale": plan.initial_scale,
        "steps": plan.table.steps,
    }
    known |= dict(zip(("channels", "height", "width"), card.image_shape, strict=False))
    return {key: known[key] for key in FACTS[number]}


def read_steps(path: Path, card: ModelCard) -> CompiledSampler:
    """Read a table for the model of `card`. Raises DdpmRtError for another model's and for anything but a whole file.

    A table belongs to the betas it was compiled from, so one of another model is never run.
    """
    content = read_bytes(path, AGAIN)
    try:
        return parse_steps(content.decode(), card, str(path))
    except UnicodeDecodeError as error:
        raise failure(f"{path}:", f"not a whole steps file ({error})", AGAIN) from error


def parse_steps(text: str, card: ModelCard, source: str) -> CompiledSampler:
    """As `read_steps`, for a text that is not a file of its own; errors start with `source`."""
    try:
        raw = parse_json(text, constants=False)
    except ValueError as error:
        raise failure(f"{source}:", f"not a whole steps file ({error})", AGAIN) from error
    if not isinstance(raw, dict) or type(raw.get("format")) is not int or raw["format"] not in FACTS:
        raise failure(f"{source}:", "not a steps file of format 1 or 2", f"{AGAIN}, or use a newer ddpm-rt")
    if raw.get("card_sha256") != card.sha256:
        raise failure(source, "was compiled for another model", "write one for this with `ddpm-rt steps`")
    try:
        return _plan(raw, card)
    except ValueError as error:
        raise failure(f"{source}:", str(error), AGAIN) from error


def _plan(raw: dict[str, Any], card: ModelCard) -> CompiledSampler:
    number = raw["format"]
    if number == 1 and format_of(card) != 1:
        raise ValueError("of format 1, which cannot describe this model")
    if unknown := [key for key in raw if key not in KEYS[number]]:
        raise ValueError(f"unknown key {quoted(unknown[0])}")
    if missing := [key for key in KEYS[number] if key not in raw]:
        raise ValueError(f"missing key {missing[0]!r}")
    steps, sampler, clip = raw["steps"], raw["sampler"], raw["clip"]
    if type(steps) is not int or not 1 <= steps <= MAX_ROWS:
        raise ValueError(f"steps must be a count up to {MAX_ROWS}")
    if not isinstance(sampler, str) or sampler != printable(sampler):
        raise ValueError("sampler must be a line of text")
    if clip is not None and not (isinstance(clip, list) and is_clip(clip)):
        raise ValueError("clip must be [low, high] or null")
    for name in StepTable._fields:
        if not _numbers(raw[name], steps):
            raise ValueError(f"{name} must be {steps} numbers that float32 can hold")
    t, scale = _times(raw["t"], card, number), raw.get("initial_scale", 1.0)
    if not (_numbers([scale], 1) and scale > 0):
        raise ValueError("initial_scale must be a number above 0")
    table = StepTable(t, *(np.array(raw[name], np.float64) for name in StepTable._fields[1:]))
    if table.log_sigma_from_spread.any() and card.output_channels == card.image_shape[0]:
        raise ValueError("log_sigma_from_spread must be 0, because the model learned no variance")
    limits = None if clip is None else (float(clip[0]), float(clip[1]))
    plan = CompiledSampler(table, limits, sampler, float(scale))
    known = _facts(plan, card, number)
    if wrong := [key for key in known if key not in NUMBERS and _exact(raw[key]) != _exact(known[key])]:
        raise ValueError(f"{wrong[0]} is not the model's")
    return plan


def _exact(value: object) -> str:
    """The value as JSON, where 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


def _times(listed: list[Any], card: ModelCard, number: int) -> Levels:
    """The column t: whole timesteps in format 1, else whatever the process can tell. Raises ValueError."""
    last, whole = len(card.betas) - 1, all(type(t) is int for t in listed)
    if number == 1 and not (whole and all(0 <= t <= last for t in listed)):
        raise ValueError(f"t must be integers in [0, {last}]")
    if card.process is None and not all(0 <= t <= last for t in listed):
        raise ValueError(f"t must lie in [0, {last}]")
    return np.array(listed, np.int64 if whole and card.process is None else np.float64)


def _numbers(values: object, count: int) -> bool:
    if not isinstance(values, list) or len(values) != count:
        return False
    # the loop runs on float32: what is none there would be infinite; comparing takes integers of any length
    return all(type(value) in (int, float) and -FLOAT32_MAX <= value <= FLOAT32_MAX for value in values)


def table_sha256(plan: CompiledSampler) -> str:
    """SHA-256 of a plan's numbers."""
    numbers: tuple[Any, ...] = [column.tolist() for column in plan.table], plan.clip
    if plan.initial_scale != 1.0:
        numbers += (plan.initial_scale,)
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()
