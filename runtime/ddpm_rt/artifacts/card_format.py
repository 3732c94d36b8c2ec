"""The two formats of a card as JSON. Format 2 has the facts of format 1, and those that only some models have.

`card` is a `ModelCard`, whose module imports this one.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from ..samplers.continuous import FlowProcess, Levelled, SigmaProcess
from ..text import printable, quoted
from .card_facts import InputFacts, Latents

CARD_FORMATS = (1, 2)
OF_FORMAT_2 = ("process", "inputs", "latents")  # fields that a card of format 1 does not have
PROCESSES: dict[str, type[Levelled]] = {"sigma": SigmaProcess, "flow": FlowProcess}
SPACINGS = {  # of a card, by its process
    "betas": ("trailing", "leading", "linspace", "logsnr", "karras"),
    "sigma": ("karras", "logsnr"),
    "flow": ("trailing",),
}
PREDICTIONS = {"betas": ("eps", "x0", "v"), "sigma": ("eps", "x0", "v", "edm"), "flow": ("velocity", "x0")}
SPACINGS_OF_FORMAT_1 = SPACINGS["betas"][:-1]

Record = TypeVar("Record")


def format_of(card: Any) -> int:
    """1 for images in pixels, of betas and without more inputs, which every reader knows; else 2."""
    plain = card.process is None and not card.inputs and card.latents is None
    return 1 if plain and len(card.image_shape) == 3 and card.spacing in SPACINGS_OF_FORMAT_1 else 2


def content_of(card: Any) -> dict[str, Any]:
    """What JSON has of a card, keys in the order of the fields."""
    content = asdict(card)
    if format_of(card) == 1:
        for key in OF_FORMAT_2:
            del content[key]
        return {"format": 1, **content}
    process: dict[str, Any] = {"kind": "betas", "betas": content.pop("betas")}
    if card.process is not None:
        process = {"kind": card.process.kind, **content["process"]}
    latents = content.pop("latents")
    space = {"kind": "pixels"} if latents is None else {"kind": "latents", **latents}
    head = {"format": 2, "shape": content.pop("image_shape"), "process": process}
    del content["process"]
    last = {key: content.pop(key) for key in ("precision", "provenance")}
    return {**head, **content, "space": space, **last}


def check_facts_of_format_1(facts: Mapping[str, Any]) -> None:
    """Raises ValueError for values that only format 2 has; readers of format 1 alone refuse them too."""
    shape, spacing = facts.get("image_shape"), facts.get("spacing")
    if isinstance(shape, tuple) and len(shape) != 3:
        raise ValueError(f"image_shape must be C, H, W in format 1, not {quoted(list(shape))}")
    if spacing in SPACINGS["betas"] and spacing not in SPACINGS_OF_FORMAT_1:
        raise ValueError(f"spacing {spacing} needs format 2")


def facts_of_format_2(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a card from the keys of format 2. Raises ValueError for a key that is missing or unknown."""
    if wrong := [key for key in ("image_shape", "betas", "latents") if key in raw]:
        raise ValueError(f"unknown key {quoted(wrong[0])}")
    known = dict(raw)
    taken = {key: _taken(known, key) for key in ("shape", "process", "inputs", "space")}
    kind = _kind(taken["process"], "process", ("betas", *PROCESSES))
    process = {key: value for key, value in taken["process"].items() if key != "kind"}
    if kind == "betas":
        if unknown := sorted(process.keys() - {"betas"}):
            raise ValueError(f"unknown key {quoted('process.' + unknown[0])}")
        facts: dict[str, Any] = {"betas": _taken(process, "betas"), "process": None}
    else:
        if wrong := [key for key, value in process.items() if isinstance(value, bool)]:
            raise ValueError(f"process.{printable(wrong[0])} must not be true or false")
        facts = {"betas": (), "process": record(PROCESSES[kind], process, "process.")}
    if not isinstance(taken["inputs"], dict):
        raise ValueError("inputs must be an object")
    facts["inputs"] = {
        name: record(InputFacts, with_tuples(_object(one, "inputs")), "inputs.")
        for name, one in taken["inputs"].items()
    }
    latents = {key: value for key, value in _object(taken["space"], "space").items() if key != "kind"}
    is_latent = _kind(taken["space"], "space", ("pixels", "latents")) == "latents"
    if not is_latent and latents:
        raise ValueError(f"unknown key {quoted('space.' + sorted(latents)[0])}")
    facts["latents"] = record(Latents, latents, "space.") if is_latent else None
    return with_tuples({**known, **facts, "image_shape": taken["shape"]})


def with_tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}


def record(kind: type[Record], raw: Any, prefix: str, absent: Collection[str] = ()) -> Record:
    """`kind` from an object with a key for each of its fields but those of `absent`. Raises ValueError by the key."""
    known = {one.name for one in fields(kind)} - set(absent)  # type: ignore[arg-type]
    if not isinstance(raw, dict):
        raise ValueError(f"missing key '{prefix.rstrip('.')}'")
    if unknown := sorted(raw.keys() - known):
        raise ValueError(f"unknown key {quoted(prefix + unknown[0])}")
    if missing := sorted(known - raw.keys()):
        raise ValueError(f"missing key '{prefix}{missing[0]}'")
    return kind(**raw)


def _taken(raw: dict[str, Any], key: str) -> Any:
    if key not in raw:
        raise ValueError(f"missing key '{key}'")
    return raw.pop(key)


def _object(raw: Any, key: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError(f"{key} must be an object, not {quoted(raw)}")
    return raw


def _kind(raw: Any, key: str, known: Collection[str]) -> str:
    kind = _object(raw, key).get("kind")
    if kind not in tuple(known):
        raise ValueError(f"{key}.kind must be {' or '.join(known)}, not {quoted(kind)}")
    return str(kind)
