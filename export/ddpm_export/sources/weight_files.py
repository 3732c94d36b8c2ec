"""Reads the weights in a folder of diffusers: one file, a variant (`.fp16.`), or shards with an index."""

import re
from pathlib import Path, PurePosixPath

from torch import Tensor

from ddpm_ref.checkpoint import WEIGHTS, read_json
from ddpm_ref.errors import CheckpointError
from ddpm_ref.text import quoted

from .selection import Selection
from .state_file import MAX_TENSORS, read_state

SUFFIXES = ("safetensors", "bin")  # in order of preference
INDEX = ".index.json"
# NAME.safetensors, NAME.VARIANT.safetensors, NAME.safetensors.index.json; the variant may be before or after `index`
PATTERN = re.compile(
    rf"{WEIGHTS}(?:\.(?P<variant>[\w-]+))?\.(?P<kind>safetensors|bin)(?P<index>\.index(?:\.(?P<other>[\w-]+))?\.json)?"
)
SHARD = re.compile(r"-\d{5}-of-\d{5}")


def read_folder(folder: Path, selection: Selection) -> dict[str, Tensor]:
    """Read the tensors by name. A variant is read only if the user named it, or if it is the only one.

    Without a name, weights that are not a variant are preferred. Raises CheckpointError, which lists the variants, if
    the choice is ambiguous.
    """
    found = _weight_files(folder)
    if not found:
        others = sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".msgpack"))
        there = f"; the folder contains {', '.join(others[:4])}" if others else ""
        raise CheckpointError(f"{folder / WEIGHTS}.safetensors is missing, as are the .bin and an index{there}")
    full = {label: path for label, path in found.items() if label.startswith(WEIGHTS)}
    file = selection.pick(found, default=next(iter(full)) if len(full) == 1 else None)
    return _read_shards(file) if file.name.endswith(".json") else read_state(file)


def _weight_files(folder: Path) -> dict[str, Path]:
    """Files and indices by variant; weights without a variant by file name. Only the preferred kind of each is kept."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if (match := PATTERN.fullmatch(path.name)) and not (match["variant"] and SHARD.search(match["variant"])):
            variant = match["variant"] or match["other"] or ""
            found.setdefault(variant, {})[path.name] = path
    result = {}
    for variant, files in found.items():
        kind = next(kind for kind in SUFFIXES if any(f".{kind}" in name for name in files))
        same = {name: path for name, path in files.items() if f".{kind}" in name}
        for name, path in same.items():
            result[variant if variant and len(same) == 1 else name] = path
    return result


def _read_shards(index: Path) -> dict[str, Tensor]:
    """Read all shards of an index. Raises CheckpointError unless they hold exactly the tensors that the index lists."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or len(places) > MAX_TENSORS:
        raise CheckpointError(f"{index} has no weight_map from tensors to files")
    shards: dict[str, set[str]] = {}
    for name, shard in places.items():
        if not isinstance(shard, str) or PurePosixPath(shard).name != shard or "\\" in shard or shard in (".", ".."):
            raise CheckpointError(f"{index} names {quoted(shard)}, outside its folder; shards must lie beside it")
        shards.setdefault(shard, set()).add(name)
    result: dict[str, Tensor] = {}
    for shard, names in sorted(shards.items()):
        file = index.with_name(shard)
        if not file.exists():
            raise CheckpointError(f"{file}, one of {len(shards)} shards, is missing; download it again")
        tensors = read_state(file)
        if odd := sorted(names ^ tensors.keys()):
            raise CheckpointError(f"{file} and {index.name} do not agree on {quoted(odd[0])}; download both again")
        result |= tensors
    return result
