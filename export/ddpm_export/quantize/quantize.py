"""The quantisation of one file, from its reading to the comparison of the result."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.artifacts.fused_chain import read_network_card
from ddpm_rt.artifacts.onnx_types import contradiction, graph_precision
from ddpm_rt.artifacts.quantization_record import METADATA_KEY as RECORD_KEY
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.noise import UINT64_END
from ddpm_rt.requests.inputs import NOTHING
from ddpm_rt.requests.labels import as_labels
from ddpm_rt.requests.request import BoundRequest, Request
from ddpm_rt.samplers.compiled_sampler import CompiledSampler
from ddpm_rt.verify.comparison import compare, engine_side

from ..graph.onnx_file import drop_domain, load_onnx, opset_entry, raise_opset
from ..graph.precision import embedding_inputs, set_precision
from ..graph.simplify import drop_unused
from ..graph.time_branch import hoist_time, time_nodes
from ..graph.versions import package_versions
from .calibrate import Probe, Watched, calibrate
from .insert import STYLES, Style
from .layers import Layer, find_layers
from .passing import passing_nodes
from .ranges import Range, Seen, ranges_of
from .sensitivity import Sensitivity, output_error, quantised, sensitivities

PACKAGES = ("ddpm-rt", "onnx", "onnxruntime")
OLDEST_OPSET, HALF_OPSET = 18, 19  # 19 is the first whose QuantizeLinear takes fp16; nothing else here differs from 18
STEPS = 50  # of DDIM, without a steps file
MOST_PSNR = 200.0  # dB, in the card: that of equal images is infinite

Report = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How a model is quantised. Raises ValueError for what cannot be asked of any model."""

    target: Literal["cpu", "tensorrt"] = "cpu"
    precision: Literal["fp32", "fp16"] = "fp32"  # of what stays float; fp16 is for TensorRT
    calibrate: int = 32  # samples that are drawn for the ranges
    compare: int = 8  # other samples, of the next seed, that the chains of both models are compared on
    sampler: CompiledSampler | None = None  # None is DDIM with 50 steps
    keep: Sequence[str] = ()  # names of layers that stay float, or patterns
    seed: int = 700
    batch: int = 4
    label: Sequence[int] | None = None
    guidance: float = 1.0
    inputs: Mapping[str, Any] = NOTHING  # values of named inputs, as those of a `Request`
    null_inputs: Mapping[str, Any] = NOTHING
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.target not in STYLES:
            raise ValueError(f"target must be one of {', '.join(STYLES)}, not {self.target!r}")
        if self.precision not in ("fp32", "fp16"):
            raise ValueError(f"precision must be fp32 or fp16, not {self.precision!r}")
        if self.precision == "fp16" and self.target == "cpu":
            raise ValueError("fp16 is for TensorRT (--for tensorrt): on a CPU, ONNX Runtime computes it in float32")
        self._request(self.seed, self.calibrate)
        self._request(self.seed, self.compare)

    @property
    def style(self) -> Style:
        """What the engine wants of the graph."""
        style = STYLES[self.target]
        return style if self.precision == "fp32" else dataclasses.replace(style, scales=np.float16)

    def drawn_for_ranges(self, card: ModelCard) -> BoundRequest:
        """The samples that the ranges are taken from. Raises ValueError for what the model does not allow."""
        return self._request(self.seed, self.calibrate).bind(card)

    def compared_on(self, card: ModelCard) -> BoundRequest:
        """The samples that the chains of both models are compared on."""
        return self._request((self.seed + 1) % UINT64_END, self.compare).bind(card)

    def _request(self, seed: int, count: int) -> Request:
        steps = STEPS if self.sampler is None else None
        return Request(
            compiled=self.sampler, steps=steps, seed=seed, count=count, batch=min(self.batch, count),
            label=self.label, guidance=self.guidance, inputs=self.inputs, null_inputs=self.null_inputs,
        )  # fmt: skip


class Quantized(NamedTuple):
    """What became of a model."""

    card: ModelCard
    table: list[Sensitivity]
    relative_rms_error: float  # of a call, over the RMS of the float output
    chain_psnr: float  # dB, mean over the images of whole chains
    worst_chain_psnr: float

    @property
    def quantised(self) -> int:
        """The number of int8 layers."""
        return sum(row.stays is None for row in self.table)


def quantize(source: Path, out: Path, asked: Quantization, report: Report = lambda stage: None) -> Quantized:
    """Write the model at `source`, which is float32, to `out` in int8, with a card and a record of what was measured.

    Raises DdpmRtError, and writes nothing, for a file that is not such a model, ValueError for what it does not allow.
    """
    report("reading the model")
    card, model = read_float(source)
    if asked.precision == "fp16" and opset_entry(model).version < OLDEST_OPSET:
        raise DdpmRtError(
            f"{source} has opset {opset_entry(model).version}; fp16 needs an export of opset {OLDEST_OPSET}"
        )
    layers = find_layers(model, card, asked.keep)
    ranged, compared = asked.drawn_for_ranges(card), asked.compared_on(card)
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "float.onnx"
        save(model, card, exact)
        report("drawing samples for the ranges")
        with Watched(exact, model, activations(model, layers), threads=asked.threads) as watched:
            calibrate(watched, ranged)
            ranges, probes = activation_ranges(watched.seen, model, layers, asked), watched.probes
        report("measuring each layer alone")
        trial, style = Path(folder) / "trial.onnx", asked.style
        table = sensitivities(model, layers, ranges, style, probes, trial, threads=asked.threads)
        chosen = [row.layer for row in table if row.stays is None]
        if not chosen:
            raise DdpmRtError(f"{source}: no layer is left to quantise; leave out --keep")
        passing = [node.output for node in passing_nodes(model, chosen)] if style.outputs else []
        made = quantised(model, chosen, passing, ranges, style)
        if asked.precision == "fp16":
            to_half(made, card)
        done: list[Quantized] = []

        def write(temporary: Path) -> None:
            save(made, card, temporary)
            precise = dataclasses.replace(card, precision=graph_precision(temporary))
            report("comparing whole chains with the float model")
            measured = errors_of(temporary, exact, probes, compared, asked)
            parity = {**card.provenance.parity, **measured}
            provenance = dataclasses.replace(card.provenance, versions=package_versions(PACKAGES), parity=parity)
            done.append(Quantized(dataclasses.replace(precise, provenance=provenance), table, **measured))
            save(made, done[0].card, temporary, record_of(asked, ranged, table))

        replace_file(out, write)
    return done[0]


def activations(model: onnx.ModelProto, layers: Sequence[Layer]) -> list[str]:
    """The values whose ranges may be needed."""
    layered = {name for layer in layers if layer.stays is None for name in (*layer.inputs, layer.node.output[0])}
    passing = {name for node in passing_nodes(model, layers) for name in (*node.inputs, node.output)}
    return sorted(layered | passing)


def activation_ranges(
    seen: dict[str, Seen], model: onnx.ModelProto, layers: Sequence[Layer], asked: Quantization
) -> dict[str, Range]:
    """The range of every activation, in the style of the target."""
    groups = [(*node.inputs, node.output) for node in passing_nodes(model, layers) if node.shares]
    return ranges_of(seen, groups, STYLES[asked.target].scheme)


def errors_of(
    path: Path, exact: Path, probes: Sequence[Probe], compared: BoundRequest, asked: Quantization
) -> dict[str, float]:
    """How far the model at `path` is from the float one: single calls, and the images of whole chains.

    Raises DdpmRtError for values that are not finite.
    """
    with OrtDenoiser(path, threads=asked.threads) as ours, OrtDenoiser(exact, threads=asked.threads) as theirs:
        error = output_error(ours, probes)
        psnr = compare(engine_side(ours, compared), engine_side(theirs, compared), compared).psnr
    if not np.isfinite(error) or np.isnan(psnr).any():
        is_half = asked.precision == "fp16"
        advice = "choose --precision fp32: fp16 holds at most 65504" if is_half else "keep more layers with --keep"
        raise DdpmRtError(f"the quantised model gives values that are not finite; {advice}")
    limited = np.minimum(psnr, MOST_PSNR)
    return {
        "relative_rms_error": error,
        "chain_psnr": float(limited.mean()),
        "worst_chain_psnr": float(limited.min()),
    }


def read_float(source: Path) -> tuple[ModelCard, onnx.ModelProto]:
    """The card and the graph, whose time branch is looked up in tables. Raises DdpmRtError unless it is float32."""
    card = read_network_card(source)
    found = graph_precision(source)
    if wrong := contradiction(card.precision, found):
        raise DdpmRtError(f"{source}: {wrong}; write a new card with `ddpm-rt card`")
    if found != "fp32":
        raise DdpmRtError(f"{source} is in {found}; quantise an export in fp32")
    model = load_onnx(source)
    drop_domain(model)
    hoist(model, card)
    return card, model


def to_half(model: onnx.ModelProto, card: ModelCard) -> None:
    """Convert what is float in a quantised graph to fp16, in place. Raises DdpmRtError for values too large for it."""
    set_precision(model, "fp16", keep=embedding_inputs(card))
    raise_opset(model, HALF_OPSET)


def hoist(model: onnx.ModelProto, card: ModelCard) -> None:
    """Look up what depends on t alone, unless that is done already, or t is not int64 `[batch]`."""
    name = card.names["t"]
    t = next(value for value in model.graph.input if value.name == name).type.tensor_type
    branch = time_nodes(model.graph, name)
    done = all(node.op_type in ("Gather", "Unsqueeze", "Reshape") for node in branch)
    if done or t.elem_type != onnx.TensorProto.INT64 or len(t.shape.dim) != 1:
        return
    first = next(value for value in model.graph.input if value.name == card.names["x"]).type.tensor_type.shape.dim[0]
    hoist_time(model, name, len(card.betas), first.dim_value if first.HasField("dim_value") else None)
    drop_unused(model)


def record_of(asked: Quantization, ranged: BoundRequest, table: Sequence[Sensitivity]) -> str:
    """What was measured, as JSON."""
    work = max(sum(row.layer.multiply_adds for row in table), 1)
    layers = {
        row.layer.name: {
            "error": row.error,
            "multiply_adds": round(row.layer.multiply_adds / work, 6),
            "float": row.stays,
        }
        for row in table
    }
    calibration = {
        "sampler": ranged.sampler.sampler, "samples": asked.calibrate, "seed": asked.seed,
        "label": as_labels(ranged.request.label), "guidance": asked.guidance,
    }  # fmt: skip
    if asked.inputs:
        calibration["inputs"] = ranged.request.given_inputs.describe()
    return json.dumps({"format": 1, "for": asked.target, "calibration": calibration, "layers": layers}, allow_nan=False)


def save(model: onnx.ModelProto, card: ModelCard, path: Path, record: str | None = None) -> None:
    """The model with its card, and the record, as its only metadata."""
    props = {METADATA_KEY: card.to_json()} | ({} if record is None else {RECORD_KEY: record})
    onnx.helper.set_model_props(model, props)
    path.write_bytes(model.SerializeToString(deterministic=True))
