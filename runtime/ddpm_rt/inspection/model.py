"""Facts about an ONNX model file, as text or JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.card import ModelCard
from ..artifacts.card_format import content_of
from ..artifacts.digest import file_sha256
from ..artifacts.fitted_tables import fitted_tables
from ..artifacts.fused_chain import FusedChain, is_fused, read_fused
from ..artifacts.onnx_card import find_onnx_card, read_onnx_card
from ..artifacts.onnx_types import contradiction, graph_precision
from ..artifacts.quantization_record import read_quantization
from ..engines.ort_cpu import OrtDenoiser, open_session
from ..errors import DdpmRtError
from .operators import operators_text, optimised_operators

NOT_OPENED = "unknown: ONNX Runtime cannot open bf16 models on the CPU"


def facts(path: Path) -> dict[str, Any]:
    """The facts about the model, or the fused chain, at `path`. Raises DdpmRtError if the file is neither.

    The facts about an int8 model include the operators that ONNX Runtime runs on the CPU. If ONNX Runtime cannot open a
    bf16 model, its inputs and outputs are empty.
    """
    fused = read_fused(path) if is_fused(path) else None
    try:
        session = OrtDenoiser(path).session if fused is None else open_session(path)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        card = read_onnx_card(path)
    except DdpmRtError:
        known = find_onnx_card(path) if path.is_file() else None
        if known is None or known.precision != "bf16":
            raise
        card, inputs, outputs = known, [], []
    precision = graph_precision(path)
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "inputs": [_tensor(tensor) for tensor in inputs],
        "outputs": [_tensor(tensor) for tensor in outputs],
        "precision": precision,
        "quantization": read_quantization(path),
        "operators": dict(optimised_operators(path)) if "int8" in precision and inputs else None,
        "card_sha256": card.sha256,
        "fitted_tables": list(fitted_tables(path)),
        "fused": None if fused is None else _fused_facts(fused),
        "card": content_of(card),
    }


def _fused_facts(chain: FusedChain) -> dict[str, Any]:
    return {"sampler": chain.sampler.sampler, "steps": chain.sampler.table.steps, **chain.facts.content()}


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "type": tensor.type.removeprefix("tensor(").rstrip(")"), "shape": list(tensor.shape)}


def describe(found: dict[str, Any]) -> str:
    """`facts` as aligned text."""
    return table(
        {
            "file": f"{found['file']}, {found['bytes'] / 1e6:.2f} MB",
            "SHA-256": found["sha256"],
            "inputs": ", ".join(_signature(tensor) for tensor in found["inputs"]) or NOT_OPENED,
            "outputs": ", ".join(_signature(tensor) for tensor in found["outputs"]) or NOT_OPENED,
            **_fused_lines(found["fused"], found["fitted_tables"]),
            **card_lines(found["card"]),
            "precision": _precision(found["card"]["precision"], found["precision"]),
            **_quantization_lines(found),
        }
    )


def _fused_lines(found: dict[str, Any] | None, tables: list[int]) -> dict[str, str]:
    """The lines about the table of a fused chain, or about the fitted tables of a network."""
    if found is None:
        return {"fitted tables": tables_text(tables)}
    return {
        "fused chain": f"{found['sampler']}: {found['steps']} steps",
        "guidance": f"{found['guidance']:g}",
        **({"null inputs": ", ".join(found["null_inputs"])} if "null_inputs" in found else {}),
        "made of": f"the network of SHA-256 {found['model_sha256']}",
    }


def tables_text(calls: list[int]) -> str:
    """The network calls of the tables in a model for `--sampler fitted`, as text."""
    return f"of {', '.join(map(str, calls))} calls" if calls else "none: `ddpm-rt tune --embed` adds them"


def _quantization_lines(found: dict[str, Any]) -> dict[str, str]:
    """What an int8 model really runs, and how it was quantised, as far as it says that."""
    lines = {}
    if found["operators"] is not None:
        lines["ONNX Runtime runs"] = operators_text(found["operators"])
    if (record := found["quantization"]) is not None:
        layers = record["layers"]
        count = sum(layer["float"] is None for layer in layers.values())
        lines["quantised"] = f"{count} of {len(layers)} layers, for {record['for']}; {record['calibration']['sampler']}"
        kept = [f"{name} ({layer['float']})" for name, layer in layers.items() if layer["float"] is not None]
        lines["float layers"] = ", ".join(kept) or "none"
    return lines


def _precision(said: str, found: str) -> str:
    """The precision of the graph, with a remark if the card contradicts it."""
    wrong = contradiction(said, found)
    return said if wrong is None else f"{found} ({wrong}; write a new card with `ddpm-rt card`)"


def card_lines(content: dict[str, Any]) -> dict[str, str]:
    """The facts of a card, given as the content of its JSON: name to text."""
    card = ModelCard.from_json(json.dumps(content))
    provenance, shape = card.provenance, card.image_shape
    return {
        "images": " x ".join(map(str, shape)) + (" (C x H x W)" if len(shape) == 3 else ""),
        "predicts": card.prediction,
        "variance": card.variance,
        "x0 clipped to": "nothing" if card.clip is None else "[{}, {}]".format(*card.clip),
        **_process(card),
        "spacing": card.spacing,
        "classes": _classes(card.classes, card.null_class),
        **_more(card),
        "precision": card.precision,
        "made from": f"{provenance.source}, weights {provenance.weights_sha256}",
        "made by": ", ".join(f"{name} {version}" for name, version in provenance.versions.items()),
        "parity": ", ".join(f"{name} {value:.3g}" for name, value in provenance.parity.items()),
    }


def _process(card: ModelCard) -> dict[str, str]:
    """The forward process, as a line."""
    if card.process is None:
        betas = np.array(card.betas)
        end = np.cumprod(1.0 - betas)[-1]
        return {"betas": f"{len(betas)}, {betas[0]:.3g} to {betas[-1]:.3g}; alpha_bar at the end {end:.3g}"}
    facts = ", ".join(f"{key} {value}" for key, value in asdict(card.process).items() if value is not None)
    return {"process": f"{card.process.kind}: {facts}"}


def _more(card: ModelCard) -> dict[str, str]:
    """Named inputs and latents, if the card has any."""
    lines = {}
    if card.inputs:
        texts = (f"{name} {one.dtype} {list(one.shape)} ({one.role})" for name, one in card.inputs.items())
        lines["named inputs"] = ", ".join(texts)
    if (latents := card.latents) is not None:
        lines["latents"] = f"decoder(x / {latents.scale} + {latents.shift}), {latents.decoder or 'no decoder'}"
    return lines


def table(lines: dict[str, str]) -> str:
    """Lines with a name and an aligned value each."""
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _classes(classes: int | None, null_class: int | None) -> str:
    if classes is None:
        return "unconditional"
    return f"{classes}" if null_class is None else f"{classes}, null class {null_class}"


def _signature(tensor: dict[str, Any]) -> str:
    return f"{tensor['name']} {tensor['type']} [{', '.join(map(str, tensor['shape']))}]"
