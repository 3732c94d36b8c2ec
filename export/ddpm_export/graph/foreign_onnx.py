"""A card for an ONNX file that something else exported: what the user says, checked against the graph."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ddpm_rt import DdpmRtError, ModelCard, Provenance
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.engines.ort_cpu import open_session

from .onnx_file import LIMIT, load_onnx
from .versions import package_versions

PACKAGES = ("ddpm-rt", "onnx")
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
PRECISIONS = {FLOAT: "fp32", onnx.TensorProto.FLOAT16: "fp16", onnx.TensorProto.BFLOAT16: "bf16"}

Sides = list[int | str]  # a number, or the name of a side that is free


def write_card(path: Path, out: Path, facts: Mapping[str, Any]) -> ModelCard:
    """Copy the model at `path` to `out` with a card in it; returns the card.

    `facts` are the fields of `ModelCard` that a graph does not show; image shape, precision and provenance are read
    from the file. Raises DdpmRtError, and writes nothing, if the graph does not bear them out or does not run.
    """
    model = load_whole(path)
    card = ModelCard(
        image_shape=check_graph(path, model.graph, facts),
        precision=precision_of(model.graph),
        provenance=Provenance(path.name, weights_sha256(model.graph), package_versions(PACKAGES), {}),
        **facts,
    )

    def write(temporary: Path) -> None:
        onnx.helper.set_model_props(model, {**_metadata(model), METADATA_KEY: card.to_json()})
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        check_run(temporary, card)

    replace_file(out, write)
    return card


def load_whole(path: Path) -> onnx.ModelProto:
    """The model, weights kept beside it included. Raises DdpmRtError."""
    model = load_onnx(path)
    try:
        size = model.ByteSize()
    except Exception as error:  # of protobuf's, which has no base class here
        raise DdpmRtError(f"{path} is larger than one protobuf can be, {LIMIT} bytes, with its weights") from error
    if not model.graph.output or size >= LIMIT:
        raise DdpmRtError(f"{path} holds no graph, or more than one file can: {size} bytes of {LIMIT}")
    return model


def check_graph(path: Path, graph: onnx.GraphProto, facts: Mapping[str, Any]) -> tuple[int, int, int]:
    """The image shape. Raises DdpmRtError unless the graph has the tensors that `facts` names, of their kinds."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in constants}
    outputs = {value.name: value for value in graph.output}
    names = facts["names"]
    for key, name in names.items():
        place, there = ("output", outputs) if key == "out" else ("input", inputs)
        if name not in there:
            raise DdpmRtError(f"{path} has no {place} {name!r}, but {', '.join(there)}; name it with --{key}")
    if spare := sorted(inputs.keys() - set(names.values())):
        hint = "; a class label is --y with --classes" if "y" not in names else ""
        raise DdpmRtError(f"{path} has one input more, {spare[0]!r}, which nothing here would feed{hint}")
    x = _sides(inputs[names["x"]])
    if _kind(inputs[names["x"]]) != FLOAT or len(x) != 4 or not all(isinstance(side, int) for side in x[1:]):
        raise DdpmRtError(f"{path}: {names['x']!r} is {_said(inputs[names['x']])}; it must be float32 [batch, C, H, W]")
    for key in set(names) & {"t", "y"}:
        if _kind(inputs[names[key]]) != INT64 or len(_sides(inputs[names[key]])) != 1:
            raise DdpmRtError(f"{path}: {names[key]!r} is {_said(inputs[names[key]])}; it must be int64 [batch]")
    shape = (int(x[1]), int(x[2]), int(x[3]))
    _check_output(path, outputs[names["out"]], shape, facts["variance"])
    return shape


def _check_output(path: Path, out: onnx.ValueInfoProto, shape: tuple[int, int, int], variance: str) -> None:
    wanted = output_shape(shape, variance)
    sides = _sides(out)
    fits = all(isinstance(side, str) or side == other for side, other in zip(sides[1:], wanted, strict=False))
    if _kind(out) != FLOAT or len(sides) not in (0, 4) or not fits:
        raise DdpmRtError(
            f"{path}: {out.name!r} is {_said(out)}; with variance {variance} it must be float32 {['batch', *wanted]}"
        )


def output_shape(shape: tuple[int, int, int], variance: str) -> tuple[int, int, int]:
    """C, H, W of the output: C is doubled where the network gives its variance too."""
    return (shape[0] * (2 if variance.startswith("learned") else 1), *shape[1:])


def check_run(path: Path, card: ModelCard) -> None:
    """Raises DdpmRtError unless the model gives finite values of the right shape at the first and last timestep."""
    session = open_session(path)
    x = np.random.default_rng(0).standard_normal((2, *card.image_shape)).astype(np.float32)
    values = {"x": x, "t": np.array([0, len(card.betas) - 1]), "y": np.array([0, (card.classes or 1) - 1])}
    given = {tensor.name: tensor.shape[0] for tensor in session.get_inputs()}
    batch = given[card.names["x"]]
    size = batch if isinstance(batch, int) else 2
    for rows in ([0, 1], [1, 0]):
        order = np.resize(np.array(rows), size)
        feed = {name: values[key][order] for key, name in card.names.items() if key != "out"}
        try:
            out = session.run([card.names["out"]], feed)[0]
        except Exception as error:  # its exceptions share no base class of their own
            raise DdpmRtError(f"the model does not run with such inputs: {str(error).splitlines()[0]}") from error
        wanted = (size, *output_shape(card.image_shape, card.variance))
        if out.shape != wanted or not np.isfinite(out).all():
            raise DdpmRtError(f"the model gives {list(out.shape)}, not {list(wanted)}, or values that are not finite")


def precision_of(graph: onnx.GraphProto) -> str:
    """The types of the matrices and kernels among the weights: fp32, or as many as there are."""
    kinds = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1}
    found = {PRECISIONS.get(kind, onnx.TensorProto.DataType.Name(kind).lower()) for kind in kinds if kind != INT64}
    return "+".join(sorted(found)) or "fp32"


def weights_sha256(graph: onnx.GraphProto) -> str:
    """As `ddpm_ref.checkpoint.weights_sha256` takes it, over the names and values that the graph has."""
    digest = hashlib.sha256()
    for tensor in sorted(graph.initializer, key=lambda tensor: str(tensor.name)):
        if tensor.data_type in PRECISIONS:
            digest.update(tensor.name.encode() + b"\0")
            digest.update(onnx.numpy_helper.to_array(tensor).astype("<f4").tobytes())
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
