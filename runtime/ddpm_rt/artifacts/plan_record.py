"""A TensorRT plan and its record, the JSON file beside it. Neither TensorRT nor a GPU is needed to read them.

The plan is the unchanged output of TensorRT. Only the name of its network is set by this package: `ddpm-rt/1 <SHA-256
of the card>`. The record `unet.plan.json` holds the card and the build, and the name ties it to the plan. A refit
changes the weights and therefore the card, but not the name. The record then also holds the hash of the first card.
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
from .onnx_card import is_tensorrt
from .plan_build import Build, Refit, parse_build, parse_refit

FORMAT = 1
MARK = b"ddpm-rt/"
NAME = re.compile(rb"ddpm-rt/\d{1,9} [0-9a-f]{64}")
MAX_MARKS = 1_000  # most occurrences of MARK that are examined; TensorRT writes a name a few times
SUFFIXES = (".plan", ".engine")


@dataclass(frozen=True)
class PlanRecord:
    """The record of one plan: its card, its build and its digest."""

    card: ModelCard  # of the weights that the plan holds now
    build: Build
    bytes: int
    sha256: str
    refit: Refit | None = None
    steps: Mapping[str, str] = field(default_factory=dict)  # fitted tables: number of rows: text of the steps file

    def __post_init__(self) -> None:
        require(is_count(self.bytes), "plan.bytes", "a count", self.bytes)
        require(is_digest(self.sha256), "plan.sha256", "a SHA-256", self.sha256)

    @property
    def name(self) -> str:
        """The name of the network inside the plan."""
        return f"ddpm-rt/{FORMAT} {self.card.sha256 if self.refit is None else self.refit.built_as}"

    @property
    def has_weights(self) -> bool:
        """False for a plan that was built without weights and has not been refitted: it cannot run."""
        return not self.build.options.get("strip_weights") or self.refit is not None

    def to_json(self) -> str:
        """JSON with one key on each line. The card has the same text as in an ONNX file, so its SHA-256 is the same."""
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
        """Parse a record. Raises DdpmRtError, which begins with `source`, unless the record is complete."""
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
            raise failure(f"{source}:", "the card in this record was changed", again)
        return record


def network_name(card: ModelCard) -> str:
    """The name that `ddpm-rt build` gives the network of a model."""
    return f"ddpm-rt/{FORMAT} {card.sha256}"


def sidecar_path(plan: Path) -> Path:
    """The path of the record of `plan`."""
    return plan.with_name(plan.name + ".json")


def pending_path(plan: Path) -> Path:
    """The path of a new record before the new plan is renamed. A writer that is killed in between leaves it there."""
    return plan.with_name(plan.name + ".json.next")


def files_of(model: Path) -> list[Path]:
    """The files of a model: an ONNX file, or a plan and its record."""
    return [model, sidecar_path(model)] if is_plan(model) else [model]


def is_plan(path: Path) -> bool:
    """Whether `path` has the suffix of a plan, or the first bytes of a file of TensorRT."""
    if path.suffix in SUFFIXES or not is_regular(path):
        return path.suffix in SUFFIXES
    with open_regular(path, "name a model file") as file:
        return is_tensorrt(file.read(4))


def names_in_file(plan: Path) -> set[str]:
    """The ddpm-rt network names in the bytes of a file: exactly one in a plan of `ddpm-rt build`."""
    with mapped(plan, "make it readable, or copy it here") as content:
        return names_in(content)


def names_in(content: bytes | mmap.mmap) -> set[str]:
    """The ddpm-rt network names in the bytes of a plan. The search stops at the second name."""
    found: set[str] = set()
    at = content.find(MARK)
    for _ in range(MAX_MARKS):
        if at < 0 or len(found) > 1:
            break
        if match := NAME.match(content, at):
            found.add(match.group().decode())
        at = content.find(MARK, at + len(MARK))
    return found


def read_plan(plan: Path) -> PlanRecord:
    """The record of `plan`. Raises DdpmRtError unless the record is complete and describes this plan."""
    try:
        return _read_pair(plan, sidecar_path(plan))
    except DdpmRtError:
        for sidecar in (pending_path(plan), sidecar_path(plan)):  # sidecar_path again: a writer may just have finished
            with suppress(DdpmRtError, OSError):
                return _read_pair(plan, sidecar)
        raise


def _read_pair(plan: Path, sidecar: Path) -> PlanRecord:
    again = "build the plan again"
    if not is_regular(plan):
        raise failure(plan, "is not a file", "make a plan with `ddpm-rt build`")
    names = names_in_file(plan)
    if not names:
        raise failure(plan, "contains no ddpm-rt network", "make the plan with `ddpm-rt build`")
    if not is_regular(sidecar):
        raise failure(sidecar, "is missing, and with it the model card", f"copy it with the plan, or {again}")
    record = _read_record(sidecar)
    if names != {record.name}:
        found = ", ".join(name.split()[1][:12] for name in sorted(names))
        raise DdpmRtError(
            f"{sidecar} belongs to another model: it describes network {record.name.split()[1][:12]}, but the plan "
            f"contains {found}; put the plan's own record beside it, or build the plan again"
        )
    if plan.stat().st_size != record.bytes or file_sha256(plan) != record.sha256:
        raise DdpmRtError(
            f"{plan} is not the plan that {sidecar.name} describes: the model is the same, but the bytes differ; "
            "copy both files again, or build the plan again"
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
    """Pop the fitted tables from the JSON of a record. A record without fitted tables lacks the key."""
    steps = raw.pop("steps", {})
    if not isinstance(steps, dict) or not all(isinstance(text, str) for text in steps.values()):
        raise ValueError("steps must map numbers of rows to texts of steps files")
    if wrong := [rows for rows in steps if not rows.isdecimal()]:
        raise ValueError(f"steps has the key {wrong[0]!r}, which is not a number of rows")
    return dict(steps)
