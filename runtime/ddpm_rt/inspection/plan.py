"""Facts about a plan, as text or JSON. They come from its bytes and its record, without TensorRT or a GPU."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..artifacts.card_format import content_of
from ..artifacts.plan_build import FLAVOURS, Profile
from ..artifacts.plan_record import read_plan
from .model import card_lines, table, tables_text

ARITHMETIC = ("convolution", "matrix_multiply", "normalization", "scale", "softmax", "activation", "resize", "unary")


def facts(path: Path) -> dict[str, Any]:
    """The facts about the plan at `path`. Raises DdpmRtError if it is not a plan or does not match its record."""
    record = read_plan(path)
    return {
        "file": str(path),
        "bytes": record.bytes,
        "sha256": record.sha256,
        "name": record.name,
        "build": asdict(record.build),
        "refit": None if record.refit is None else asdict(record.refit),
        "has_weights": record.has_weights,
        "card_sha256": record.card.sha256,
        "fitted_tables": sorted(map(int, record.steps)),
        "card": content_of(record.card),
    }


def describe(found: dict[str, Any]) -> str:
    """`facts` as aligned text."""
    build = found["build"]
    shown = {kind: build["layers"][kind] for kind in ARITHMETIC if kind in build["layers"]}
    options = ", ".join(f"{name} {value}" for name, value in build["options"].items() if value not in (None, False))
    return table(
        {
            "file": f"{found['file']}, {found['bytes'] / 1e6:.2f} MB",
            "SHA-256": found["sha256"],
            "engine": f"{FLAVOURS[build['flavour']]} {build['version']}",
            "GPUs": "compute capability " + ", ".join(build["compute_capabilities"]),
            "batches": ", ".join(map(profile_text, build["profiles"])),
            "tensors": ", ".join(f"{name} {kind}" for name, kind in build["tensors"].items()),
            "layers": "; ".join(layer_text(kind, types) for kind, types in shown.items()),
            "options": options or "none",
            "built from": ", ".join(f"{name} {digest}" for name, digest in build["onnx"].items()),
            "weights": weights_text(found),
            "card": found["card_sha256"],
            "fitted tables": tables_text(found["fitted_tables"]),
            **card_lines(found["card"]),
        }
    )


def weights_text(found: dict[str, Any]) -> str:
    """The source of the plan's weights, and whether `refit` can replace them."""
    if (refit := found["refit"]) is not None:
        source = ", ".join(f"{name} {digest}" for name, digest in refit["onnx"].items())
        return f"refitted from {source}; built as card {refit['built_as']}"
    if not found["has_weights"]:
        return "none: add them with `ddpm-rt refit`"
    return "from the build" + ("; `ddpm-rt refit` replaces them" if found["build"]["graph"] else "")


def profile_text(profile: Profile) -> str:
    """A batch profile as text: `1`, or `1 to 16 (fastest at 8)`."""
    low, best, high = profile
    return str(low) if low == high else f"{low} to {high} (fastest at {best})"


def layer_text(kind: str, types: dict[str, int]) -> str:
    """A kind of layer as text: `convolution 36 fp16`."""
    return f"{kind} " + " + ".join(f"{count} {name}" for name, count in types.items())
