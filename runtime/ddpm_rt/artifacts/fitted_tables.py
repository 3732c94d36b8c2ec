"""Fitted tables inside a model file: as texts of steps files, in an ONNX file's metadata or in a plan's record."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import DdpmRtError
from ..samplers.compiled_sampler import CompiledSampler
from .atomic_write import replace_file
from .card import ModelCard
from .digest import file_sha256
from .onnx_metadata import pieces_without, read_metadata, write_metadata
from .plan_record import is_plan, read_plan, sidecar_path
from .steps_file import parse_steps, steps_text

METADATA_PREFIX = "ddpm_rt.steps."  # keys in metadata_props; the number of rows follows


def fitted_tables(model: Path) -> dict[int, str]:
    """The texts of a model's fitted tables, by network calls. Raises DdpmRtError if the file is not a model."""
    if is_plan(model):
        found: Mapping[str, str] = read_plan(model).steps
    else:
        texts = read_metadata(model)
        found = {key.removeprefix(METADATA_PREFIX): text for key, text in texts.items() if key in _keys_in(texts)}
    return {int(rows): text for rows, text in sorted(found.items(), key=lambda entry: int(entry[0]))}


def fitted_sampler(model: Path, card: ModelCard, calls: int | None = None) -> CompiledSampler:
    """The fitted table of `calls` network calls in a model file; by default the table with the most calls.

    Raises ValueError if the model has no such table, DdpmRtError if the table is damaged or belongs to another model.
    """
    tables = fitted_tables(model)
    if not tables:
        raise ValueError(f"{model} contains no fitted table; run `ddpm-rt tune {model} --calls N --embed`")
    wanted = max(tables) if calls is None else calls
    if wanted not in tables:
        known = ", ".join(map(str, tables))
        raise ValueError(f"{model} contains fitted tables of {known} calls, not of {wanted}; run `ddpm-rt tune`")
    found = parse_steps(tables[wanted], card, f"the fitted table of {wanted} calls in {model}")
    if found.table.steps != wanted:
        raise DdpmRtError(f"{model}: the fitted table of {wanted} calls has {found.table.steps} rows; embed it again")
    return found


def embed(model: Path, sampler: CompiledSampler, card: ModelCard) -> None:
    """Write a fitted table into an ONNX file or the record of a plan. A table of as many calls is replaced.

    Raises DdpmRtError if the file cannot be written; it is unchanged then.
    """
    rows, text = str(sampler.table.steps), steps_text(sampler, card)
    if not is_plan(model):
        write_metadata(model, {METADATA_PREFIX + rows: text})
        return
    record = read_plan(model)
    changed = replace(record, steps={**record.steps, rows: text}).to_json()
    replace_file(sidecar_path(model), lambda file: file.write_text(changed, encoding="utf-8"))


def tableless_sha256(model: Path) -> str:
    """SHA-256 of a model file without its fitted tables. It is the same before and after `embed`."""
    if is_plan(model):
        return file_sha256(model)  # the tables are in the record
    digest = hashlib.sha256()
    for piece in pieces_without(model, _keys_in(read_metadata(model))):
        digest.update(piece)
    return digest.hexdigest()


def _keys_in(texts: Mapping[str, str]) -> set[str]:
    """The metadata keys of fitted tables."""
    return {key for key in texts if key.startswith(METADATA_PREFIX) and key.removeprefix(METADATA_PREFIX).isdecimal()}
