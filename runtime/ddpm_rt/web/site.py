"""Writes a static site that draws a model's images in the visitor's browser."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..artifacts.atomic_write import replace_file
from ..artifacts.bounded_read import failure, read_bytes
from ..artifacts.card import ModelCard
from ..artifacts.fused_chain import read_network_card
from ..artifacts.onnx_types import graph_precision
from ..artifacts.steps_file import AGAIN, read_steps
from ..errors import DdpmRtError
from ..text import printable
from .javascript import GPU_FILES, ort_files, own_files

MARK = "site.json"  # a folder that holds it is a site, which a new one may replace
MODEL_LIMIT = (1 << 31) - 1  # bytes that a browser reads into one array
AT_ROOT = ("page/index.html", "page/sw.js")  # of the own files
RUN_IN_BROWSER = {"fp32", "int8"}
TITLE = 200  # characters


class Site(NamedTuple):
    """What was written."""

    folder: Path
    bytes: int
    files: int


def write_site(
    model: Path, steps: Path, out: Path, *, title: str | None = None, ort: Path | None = None, webgpu: bool = False
) -> Site:
    """Write the site for `model`, an ONNX file with a card, and the steps file of its sampler into the folder `out`.

    `ort` is the folder dist of the npm package onnxruntime-web; by default npm fetches it into the cache, once.
    With `webgpu`, the page uses a GPU where that computes what WebAssembly computes, and loads the files for it only
    where there is an adapter.
    Raises ValueError for a title that is not a line of text, DdpmRtError for a folder that is no site, or for a model
    that a browser cannot run, such as a fused chain.
    """
    card = read_network_card(model)
    sampler = read_steps(steps, card)
    table = read_bytes(steps, AGAIN)
    _check_model(model, card)
    title = card.provenance.source if title is None else title
    if not title.strip() or title != printable(title) or len(title) > TITLE:
        raise ValueError(f"the title must be a line of at most {TITLE} characters")
    check_folder(out)
    facts = {
        "title": title, "shape": list(card.image_shape), "steps": sampler.table.steps,
        "classes": card.classes, "nullClass": card.null_class, "webgpu": webgpu,
        "inputs": [
            {"name": name, "dtype": one.dtype, "shape": list(one.shape)} for name, one in card.conditions.items()
        ],
    }  # fmt: skip
    files = {
        **own_files(),
        **{f"ort/{name}": content for name, content in ort_files(ort, webgpu=webgpu).items()},
        "model.onnx": read_bytes(model, "use a smaller model", MODEL_LIMIT),
        "steps.json": table,
        MARK: (json.dumps(facts) + "\n").encode(),
    }
    for name in AT_ROOT:
        files[Path(name).name] = files.pop(name)
    files["sw.js"] = _service_worker(files)
    _write(out, files)
    return Site(out, sum(map(len, files.values())), len(files))


def check_folder(out: Path) -> None:
    """Raises DdpmRtError unless `out` is free, an empty folder, or a site."""
    if out.is_dir() and not (out / MARK).is_file() and any(out.iterdir()):
        raise DdpmRtError(f"{out} holds other files; name a new folder")
    if out.exists() and not out.is_dir():
        raise DdpmRtError(f"{out} is a file; name a new folder")


def _check_model(model: Path, card: ModelCard) -> None:
    if wrong := set(graph_precision(model).split("+")) - RUN_IN_BROWSER:
        kinds = " and ".join(sorted(wrong))
        raise failure(model, f"computes in {kinds}, which browsers run slowly or not at all", "export it in fp32")
    if not card.is_picture:
        raise failure(model, "draws no pictures of 1 or 3 channels, and a page shows nothing else", "use another model")


def _service_worker(files: Mapping[str, bytes]) -> bytes:
    """The service worker with the names of the files, and their hash as its version: a change of one is a new one.

    It does not keep the files for WebGPU, which most visitors do not need.
    """
    digest, rare = hashlib.sha256(), {"sw.js", *(f"ort/{name}" for name in GPU_FILES)}
    for name in sorted(files):
        digest.update(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n".encode())
    names = sorted(["./", *(name for name in files if name not in rare)])
    text = files["sw.js"].decode()
    return text.replace("@VERSION@", digest.hexdigest()[:16]).replace("['@FILES@']", json.dumps(names)).encode()


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """The mark first, so that an interrupted command can run again; the service worker last."""
    for name in sorted(files, key=lambda name: (name != MARK, name == "sw.js", name)):
        path = out / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DdpmRtError(f"{path.parent} cannot be made: {error.strerror}") from error
        content = files[name]
        replace_file(path, lambda file, content=content: file.write_bytes(content))  # type: ignore[misc]
