"""Writes a card into an ONNX file that another tool exported, and checks the user's facts against the graph."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ddpm_rt import DdpmRtError, ModelCard, Provenance
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.artifacts.onnx_metadata import PROTOBUF_BYTES
from ddpm_rt.artifacts.onnx_types import graph_precision
from ddpm_rt.engines.ort_cpu import OrtDenoiser

from ..betas_argument import check_signal
from .onnx_file import load_onnx
from .versions import package_versions

PACKAGES = ("ddpm-rt", "onnx")
FLOAT, FLOAT16, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64
TIMES = (INT64, onnx.TensorProto.INT32, FLOAT)
FLOATS = (FLOAT, FLOAT16, onnx.TensorProto.BFLOAT16)  # types of the weights that enter the hash
BATCHES = (1, 2, 3)  # batch sizes that a dynamic model is tried with
FEW_CHANNELS = 4  # a last dimension of at most this size is taken for channels
MAX_IMAGE = 1 << 26  # most elements of one image

Sides = list[int | str]  # sizes, and names of dynamic dimensions


def write_card(path: Path, out: Path, facts: Mapping[str, Any]) -> ModelCard:
    """Copy the model at `path` to `out` and add a card. Returns the card.

    `facts` are the fields of `ModelCard` that the graph does not contain. Image shape, precision and provenance come
    from the file. `inputs` lists the names of the conditions, and `prev_x0` is the name of the input that takes the
    previous x0, or None. Raises DdpmRtError, and writes nothing, if the graph contradicts the facts or does not run.
    """
    model = load_whole(path)
    card = ModelCard(
        image_shape=check_graph(path, model.graph, facts),
        inputs=input_facts(path, model.graph, facts),
        precision=graph_precision(path),
        provenance=Provenance(path.name, weights_sha256(model.graph), package_versions(PACKAGES), {}),
        **{key: value for key, value in facts.items() if key not in ("inputs", "prev_x0")},
    )
    if card.process is None:
        check_signal(card.betas, card.prediction, path)

    def write(temporary: Path) -> None:
        onnx.helper.set_model_props(model, {**_metadata(model), METADATA_KEY: card.to_json()})
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        check_run(temporary, card, path)

    replace_file(out, write)
    return card


def load_whole(path: Path) -> onnx.ModelProto:
    """Load the model with its external weights. Raises DdpmRtError."""
    model = load_onnx(path)
    try:
        size = model.ByteSize()
    except Exception as error:  # protobuf's errors have no common base class
        raise DdpmRtError(f"{path} with its weights exceeds the protobuf limit of {PROTOBUF_BYTES} bytes") from error
    if not model.graph.output or size >= PROTOBUF_BYTES:
        raise DdpmRtError(f"{path} contains no graph, or exceeds the limit of a file: {size} of {PROTOBUF_BYTES} bytes")
    return model


def input_facts(path: Path, graph: onnx.GraphProto, facts: Mapping[str, Any]) -> dict[str, InputFacts]:
    """The named inputs as the graph has them. Raises DdpmRtError for a type or a shape that a card cannot describe."""
    known, found = {value.name: value for value in graph.input}, {}
    for name in named_inputs(facts):
        kinds: dict[int, Any] = {FLOAT: "float32", INT64: "int64", onnx.TensorProto.INT32: "int32"}
        kind, sides = kinds.get(_kind(known[name])), _sides(known[name])
        if kind is None or not sides or not all(isinstance(side, int) and side > 0 for side in sides[1:]):
            raise DdpmRtError(
                f"{path}: {name!r} is {_said(known[name])}; an input must be float32, int64 or int32 "
                "[batch, ...] with fixed sides"
            )
        role: Any = "prev_x0" if name == facts.get("prev_x0") else "condition"
        typed: Any = kind
        found[name] = InputFacts(typed, tuple(int(side) for side in sides[1:]), role)
    return found


def named_inputs(facts: Mapping[str, Any]) -> list[str]:
    """The names of the inputs besides x, t and y."""
    previous = facts.get("prev_x0")
    return [*facts.get("inputs", ()), *([] if previous is None else [previous])]


def check_graph(path: Path, graph: onnx.GraphProto, facts: Mapping[str, Any]) -> tuple[int, ...]:
    """The image shape. Raises DdpmRtError unless the graph has the tensors named in `facts`, with the right types."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in constants}
    outputs = {value.name: value for value in graph.output}
    names = facts["names"]
    for key, name in names.items():
        place, there, option = ("output", outputs, "output") if key == "out" else ("input", inputs, key)
        if name not in there:
            raise DdpmRtError(f"{path} has no {place} {name!r}, only {', '.join(there)}; name one with --{option}")
    for name in named_inputs(facts):
        if name not in inputs or name in names.values():
            raise DdpmRtError(f"{path} has no other input {name!r}, only {', '.join(inputs)}")
    if spare := sorted(inputs.keys() - set(names.values()) - set(named_inputs(facts))):
        hint = "; a class label is --y with --classes" if "y" not in names else ""
        raise DdpmRtError(
            f"{path} has the extra input {spare[0]!r}, which the runtime cannot feed; a condition is --input {spare[0]}"
            f"{hint}"
        )
    if spare := sorted(outputs.keys() - {names["out"]}):
        kept = [name for key, name in names.items() if key != "out"]
        raise DdpmRtError(
            f"{path} has the extra output {spare[0]!r}; remove it with "
            f"onnx.utils.extract_model(FILE, NEW, {kept}, [{names['out']!r}])"
        )
    shape = _image_shape(path, graph, inputs[names["x"]])
    times = TIMES if facts.get("process") is None else (FLOAT,)
    for key, kinds in (("t", times), ("y", (INT64,))):
        if key in names and (_kind(inputs[names[key]]) not in kinds or len(_sides(inputs[names[key]])) > 1):
            types = "int64, int32 or float32" if facts.get("process") is None else "float32"
            wanted = f"{types}: a number, [1] or [batch]" if key == "t" else "int64 [batch]"
            raise DdpmRtError(f"{path}: {names[key]!r} is {_said(inputs[names[key]])}; it must be {wanted}")
    _check_output(path, outputs[names["out"]], shape, facts["variance"])
    return shape


def _image_shape(path: Path, graph: onnx.GraphProto, x: onnx.ValueInfoProto) -> tuple[int, ...]:
    """C, ... Raises DdpmRtError for another order of dimensions, a dynamic or absurd size, or another type."""
    sides = _sides(x)
    if _kind(x) == FLOAT16:
        raise DdpmRtError(
            f"{path}: {x.name!r} is {_said(x)}; inputs and outputs must be float32: convert the model with "
            "keep_io_types=True, or put a Cast at both ends"
        )
    ranked = 2 <= len(sides) <= 5
    if _kind(x) != FLOAT or not ranked or not all(isinstance(side, int) and side > 0 for side in sides[1:]):
        raise DdpmRtError(f"{path}: {x.name!r} is {_said(x)}; it must be float32 [batch, C, ...] with fixed sides")
    shape = tuple(int(side) for side in sides[1:])
    if math.prod(shape) > MAX_IMAGE:
        raise DdpmRtError(f"{path}: an image of {_said(x)} has more than {MAX_IMAGE} numbers")
    if len(shape) == 3:
        _check_order(path, graph, x, shape)
    return shape


def _check_order(path: Path, graph: onnx.GraphProto, x: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    """Raises DdpmRtError for images that seem to have their channels last."""
    first, second, last = shape
    turned = any(
        node.op_type == "Transpose" and x.name in node.input and _order(node) == [0, 3, 1, 2] for node in graph.node
    )
    if turned or (last <= FEW_CHANNELS and last < first and (first == second or min(first, second) > FEW_CHANNELS)):
        raise DdpmRtError(
            f"{path}: {x.name!r} is {_said(x)}, which looks like images with the channels last (NHWC); they must be "
            "[batch, C, H, W]: convert with tf2onnx --inputs-as-nchw and --outputs-as-nchw, or transpose at both ends"
        )


def _order(node: onnx.NodeProto) -> list[int]:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [])


def _check_output(path: Path, out: onnx.ValueInfoProto, shape: tuple[int, ...], variance: str) -> None:
    wanted = output_shape(shape, variance)
    sides = _sides(out)
    fits = all(isinstance(side, str) or side == other for side, other in zip(sides[1:], wanted, strict=False))
    if _kind(out) != FLOAT or len(sides) not in (0, len(wanted) + 1) or not fits:
        raise DdpmRtError(
            f"{path}: {out.name!r} is {_said(out)}; with variance {variance} it must be float32 {['batch', *wanted]}"
        )


def output_shape(shape: tuple[int, ...], variance: str) -> tuple[int, ...]:
    """C, ... of the output. C is doubled if the network also predicts the variance."""
    return (shape[0] * (2 if variance.startswith("learned") else 1), *shape[1:])


def check_run(path: Path, card: ModelCard, name: Path) -> None:
    """Raises DdpmRtError unless the model at `path` runs with the inputs of `ddpm-rt sample`, for several batch sizes.

    The output must be finite and have the right shape at the first and last timestep and with the first and last label.
    Messages call the file `name`.
    """
    try:
        denoise = OrtDenoiser(path)
        for size in [denoise.static_batch] if denoise.static_batch else BATCHES:
            for row in (0, 1):
                _run_once(denoise, card, size, row)
    except DdpmRtError as error:
        raise DdpmRtError(str(error).replace(str(path), str(name))) from error
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DdpmRtError(f"the model fails on the inputs of its card: {first}") from error


def _run_once(denoise: OrtDenoiser, card: ModelCard, size: int, row: int) -> None:
    """Call the model once. The times alternate between the first and the last; `row` 0 starts with the first."""
    generator, ends = np.random.default_rng(row), np.roll(end_times(card), row)
    labels = np.resize(np.roll(np.array([0, (card.classes or 1) - 1]), row), size)
    x = generator.standard_normal((size, *card.image_shape)).astype(np.float32)
    times = np.full(size, ends[0]) if denoise.one_time else np.resize(ends, size)
    more = {
        name: (np.zeros if facts.dtype != "float32" else np.ones)((size, *facts.shape), facts.dtype)
        for name, facts in card.inputs.items()
    }
    out = denoise(x, times, None if card.classes is None else labels, more)
    wanted = (size, *output_shape(card.image_shape, card.variance))
    if out.shape != wanted or not np.isfinite(out).all():
        raise DdpmRtError(f"the model gives {list(out.shape)}, not {list(wanted)}, or values that are not finite")


def end_times(card: ModelCard) -> NDArray[Any]:
    """The times that the network is told next to the data, and where a chain begins."""
    if card.process is None:
        return np.array([0, len(card.betas) - 1])
    return card.process.time_at(card.process.spaced(2, card.spacing))[::-1]


def weights_sha256(graph: onnx.GraphProto) -> str:
    """The hash that `ddpm_ref.checkpoint.weights_sha256` defines, over the names and values in the graph."""
    digest = hashlib.sha256()
    for tensor in sorted(graph.initializer, key=lambda tensor: str(tensor.name)):
        if tensor.data_type in FLOATS:
            digest.update(tensor.name.encode() + b"\0")
            try:
                values = onnx.numpy_helper.to_array(tensor)
            except Exception as error:  # onnx raises errors of many kinds for damaged tensors
                raise DdpmRtError(f"the weight {ascii(tensor.name)[:60]} is damaged; export the model again") from error
            digest.update(values.astype("<f4").tobytes())
    return digest.hexdigest()


def _metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _kind(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _sides(value: onnx.ValueInfoProto) -> Sides:
    dims = value.type.tensor_type.shape.dim
    return [side.dim_value if side.HasField("dim_value") else side.dim_param or "?" for side in dims]


def _said(value: onnx.ValueInfoProto) -> str:
    return f"{onnx.TensorProto.DataType.Name(_kind(value)).lower()} {_sides(value)}"
