"""A TensorRT plan and the JSON beside it, read without TensorRT and without a GPU.

The plan is TensorRT's own file, byte for byte. All that is ours inside is the network's name, `ddpm-rt/1 <SHA-256 of
the card>`; the card and how the plan was built are in `unet.plan.json`. The two must belong together. A plan that was
refitted keeps its name: then the record says which card the name is of, beside the card of the weights that are in it.
"""

import json
import mmap
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DdpmRtError
from .bounded_read import failure, is_regular, mapped, open_regular, parse_json, read_bytes
from .card import ModelCard
from .digest import file_sha256
from .facts import check_keys, is_count, is_digest, require
from .plan_build import Build, Refit, parse_build, parse_refit

FORMAT = 1
MARK = b"ddpm-rt/"
NAME = re.compile(rb"ddpm-rt/\d{1,9} [0-9a-f]{64}")
NAMES = 1_000  # marks of a plan that are looked at; TensorRT writes a name a few times
SUFFIXES = (".plan", ".engine")


@dataclass(frozen=True)
class PlanRecord:
    """All that is known about one plan."""

    card: ModelCard  # of the weights that are in it
    build: Build
    bytes: int
    sha256: str
    refit: Refit | None = None
    steps: Mapping[str, str] = field(default_factory=dict)  # fitted tables: the text of a steps file, by its rows

    def __post_init__(self) -> None:
        require(is_count(self.bytes), "plan.bytes", "a count", self.bytes)
        require(is_digest(self.sha256), "plan.sha256", "a SHA-256", self.sha256)

    @property
    def name(self) -> str:
        """What the network inside the plan is called."""
        return f"ddpm-rt/{FORMAT} {self.card.sha256 if self.refit is None else self.refit.built_as}"

    @property
    def has_weights(self) -> bool:
        """Whether it can run as it is: not if it was built without its weights, and they were not put in."""
        return not self.build.options.get("strip_weights") or self.refit is not None

    def to_json(self) -> str:
        """A key a line; the card's is the text that is in an ONNX file, and that its SHA-256 is of."""
        plan = {"name": self.name, "bytes": self.bytes, "sha256": self.sha256}
        refit = None if self.refit is None else asdict(self.refit)
        build = ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in asdict(self.build).items())
        texts = {"format": str(FORMAT), "plan": json.dumps(plan), "build": f"{{\n{build}\n }}"}
        texts |= {"refit": json.dumps(refit)}
        texts |= {"steps": json.dumps(dict(self.steps))} if self.steps else {}
        texts |= {"card": self.card.to_json()}
        return "{\n " + ",\n ".join(f'"{key}": {text}' for key, text in texts.items()) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, source: str) -> "PlanRecord":
        """Read a sidecar. Raises DdpmRtError, which begins with `source`, for anything but a whole one of format 1."""
        again = "build the plan again"
        try:
            raw = parse_json(text)
            if not isinstance(raw, dict) or raw.get("format") != FORMAT:
                raise failure(f"{source}:", f"not a plan's record of format {FORMAT}", again)
            steps = _steps(raw)
            check_keys(raw, {"format", "plan", "build", "refit", "card"}, "")
            check_keys(raw["plan"], {"name", "bytes", "sha256"}, "plan.")
            card = ModelCard.from_json(json.dumps(raw["card"]), source)
            refit = parse_refit(raw["refit"])
            record = cls(card, parse_build(raw["build"]), raw["plan"]["bytes"], raw["plan"]["sha256"], refit, steps)
        except (ValueError, TypeError, RecursionError) as error:
            raise failure(f"{source}:", f"the plan's record is damaged: {error}", again) from error
        if raw["plan"]["name"] != record.name or (refit is not None and refit.card != card.sha256):
            raise failure(f"{source}:", "the card in it was changed", again)
        return record


def network_name(card: ModelCard) -> str:
    """What `ddpm-rt build` calls the network of a model."""
    return f"ddpm-rt/{FORMAT} {card.sha256}"


def sidecar_path(plan: Path) -> Path:
    """Where the record of `plan` is."""
    return plan.with_name(plan.name + ".json")


def pending_path(plan: Path) -> Path:
    """Where a new record is until its plan has its name. A write that was killed between the two leaves it there."""
    return plan.with_name(plan.name + ".json.next")


def files_of(model: Path) -> list[Path]:
    """The model, and the record of one that is a plan."""
    return [model, sidecar_path(model)] if is_plan(model) else [model]


def is_plan(path: Path) -> bool:
    """Whether `path` is to be read as a plan: by its suffix, or by how TensorRT's files begin."""
    if path.suffix in SUFFIXES or not is_regular(path):
        return path.suffix in SUFFIXES
    with open_regular(path, "name a model file") as file:
        return file.read(4)[1:] == b"trt"  # ftrt, and vtrt of TensorRT-RTX


def names_in_file(plan: Path) -> set[str]:
    """The names of our networks that the file's bytes hold: one, if `ddpm-rt build` made it."""
    with mapped(plan, "make it readable, or copy it here") as content:
        return names_in(content)


def names_in(content: bytes | mmap.mmap) -> set[str]:
    """... that a plan in memory holds."""
    found: set[str] = set()
    at = content.find(MARK)
    for _ in range(NAMES):
        if at < 0 or len(found) > 1:  # none is left, or there are two, which is wrong already
            break
        if match := NAME.match(content, at):
            found.add(match.group().decode())
        at = content.find(MARK, at + len(MARK))
    return found


def read_plan(plan: Path) -> PlanRecord:
    """The record of `plan`. Raises DdpmRtError unless it is whole and the plan is the one that it describes."""
    try:
        return _read_pair(plan, sidecar_path(plan))
    except DdpmRtError:
        for sidecar in (pending_path(plan), sidecar_path(plan)):  # the latter again: a write may just have ended
            with suppress(DdpmRtError, OSError):
                return _read_pair(plan, sidecar)
        raise


def _read_pair(plan: Path, sidecar: Path) -> PlanRecord:
    again = "build the plan again"
    if not is_regular(plan):
        raise failure(plan, "is not a file", "make a plan with `ddpm-rt build`")
    names = names_in_file(plan)
    if not names:
        raise failure(plan, "holds no network of ddpm-rt", "make it with `ddpm-rt build`")
    if not is_regular(sidecar):
        raise failure(sidecar, "is missing, the card is in it", f"copy it with the plan, or {again}")
    record = _read_record(sidecar)
    if names != {record.name}:
        found = ", ".join(name.split()[1][:12] for name in sorted(names))
        raise DdpmRtError(
            f"{sidecar} is another model's: it is of a network built as {record.name.split()[1][:12]}, the plan's is "
            f"{found}; put the plan's own record beside it, or build the plan again"
        )
    if plan.stat().st_size != record.bytes or file_sha256(plan) != record.sha256:
        raise DdpmRtError(
            f"{plan} is not the plan that {sidecar.name} describes: the same model, but other bytes; "
            "copy both again, or build the plan again"
        )
    return record


def _read_record(sidecar: Path) -> PlanRecord:
    content = read_bytes(sidecar, "build the plan again")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise failure(f"{sidecar}:", "not text", "build the plan again") from error
    return PlanRecord.from_json(text, str(sidecar))


def _steps(raw: dict[str, Any]) -> dict[str, str]:
    """Takes the fitted tables out of a record, which has no such key where there are none."""
    steps = raw.pop("steps", {})
    if not isinstance(steps, dict) or not all(isinstance(text, str) for text in steps.values()):
        raise ValueError("steps must be texts of steps files, by their rows")
    if wrong := [rows for rows in steps if not rows.isdecimal()]:
        raise ValueError(f"steps has the key {wrong[0]!r}, which is no number of rows")
    return dict(steps)
