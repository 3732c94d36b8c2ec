"""Passes over an exported ONNX graph, which make it smaller and faster and remove traces of the machine.

Each pass changes the model in place and keeps its output; `onnx_export` checks the result against PyTorch.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Parameters = Mapping[str, NDArray[np.float32]]


def strip_traces(model: onnx.ModelProto) -> None:
    """Remove the exporter's stack traces, module paths and documentation, which name files of this machine."""
    model.doc_string = model.domain = ""
    model.producer_name, model.producer_version = "ddpm-rt", ""
    del model.metadata_props[:]
    graph = model.graph
    for record in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        record.doc_string = ""
        del record.metadata_props[:]
    graph.name = "denoiser"


def make_reshapes_constant(model: onnx.ModelProto) -> None:
    """Replace computed shapes of Reshape by constants [-1, ...] wherever only the batch size is unknown."""
    shapes = _known_shapes(model.graph)
    constants = {tensor.name for tensor in model.graph.initializer}
    shape_of = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Shape"}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants:
            continue
        same = (node.output[0], shape_of.get(node.input[1], ""))  # its output, or the tensor whose shape it copies
        shape = next((shapes[name] for name in same if None not in shapes.get(name, [None, None])[1:]), [])
        if len(shape) > 1:
            name = f"{node.output[0]}.shape"
            model.graph.initializer.append(numpy_helper.from_array(np.array([-1, *shape[1:]], np.int64), name))
            node.input[1] = name
            del node.attribute[:]  # allowzero: the constant shape has no zero


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the nodes and initializers that no output depends on, and the value_info of removed values."""
    graph = model.graph
    used = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            kept.append(node)
            used.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for field in (graph.initializer, graph.value_info):
        remaining = [entry for entry in field if entry.name in used]
        del field[:]
        field.extend(remaining)


def fuse_affine(model: onnx.ModelProto) -> None:
    """Fuse the per-channel `x * weight + bias` of a normalisation into a BatchNormalization of mean 0 and variance 1.

    The fused node makes one pass over the image instead of two, with the same arithmetic: epsilon is 0, so the divisor
    is exactly 1.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in list(graph.node):
        after = users.get(node.output[0], [])
        if node.op_type != "Mul" or len(after) != 1 or after[0].op_type != "Add":
            continue
        scale, bias = _channels(node, constants), _channels(after[0], constants)
        if scale is None or bias is None or len(scale[1]) != len(bias[1]):
            continue
        width = len(scale[1])
        names = [
            _keep(graph, constants, f"{scale[0]}.flat", scale[1]),
            _keep(graph, constants, f"{bias[0]}.flat", bias[1]),
        ]
        names += [
            _keep(graph, constants, f"zeros.{width}", np.zeros(width, np.float32)),
            _keep(graph, constants, f"ones.{width}", np.ones(width, np.float32)),
        ]
        image = next(name for name in node.input if name != scale[0])
        fused = onnx.helper.make_node("BatchNormalization", [image, *names], after[0].output, epsilon=0.0)
        fused.name = f"{node.name}.affine"
        place = list(graph.node).index(after[0])
        graph.node.remove(after[0])
        graph.node.remove(node)
        graph.node.insert(place - 1, fused)


def name_parameters(model: onnx.ModelProto, parameters: Parameters) -> dict[str, str]:
    """Rename weights that the exporter transposed or reshaped back to their PyTorch names: `NAME` or `NAME.T`.

    The weights can then be read back from the file (`weights_of_onnx`). Returns the parameters that the exporter merged
    with an equal parameter, and the names of those. Equal parameters exist: the bias of a shortcut and the bias of its
    branch always get the same gradients.
    """
    initializers = model.graph.initializer
    taken = {tensor.name for tensor in initializers}
    by_bytes: dict[bytes, list[str]] = {}
    for tensor in initializers:
        if tensor.name not in parameters and tensor.data_type == onnx.TensorProto.FLOAT:
            by_bytes.setdefault(numpy_helper.to_array(tensor).tobytes(), []).append(tensor.name)
    renamed, merged = {}, {}
    kept = {value.tobytes(): name for name, value in parameters.items() if name in taken}
    for name, value in parameters.items():
        if name in taken:
            continue
        for candidate, label in ((value, name), (value.T, f"{name}.T")):
            if found := by_bytes.get(np.ascontiguousarray(candidate).tobytes()):
                renamed[found.pop(0)] = label
                break
            if value.ndim == 1:
                if twin := kept.get(value.tobytes()):
                    merged[name] = twin
                break
    for tensor in initializers:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    return merged


def _known_shapes(graph: onnx.GraphProto) -> dict[str, list[int | None]]:
    return {
        value.name: [
            side.dim_value if side.HasField("dim_value") else None for side in value.type.tensor_type.shape.dim
        ]
        for value in (*graph.value_info, *graph.output)
    }


def _channels(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]
) -> tuple[str, NDArray[np.float32]] | None:
    """The name and values of an elementwise node's constant operand, if it has one number per channel: [C, 1, 1]."""
    for name in node.input:
        if name in constants:
            value = numpy_helper.to_array(constants[name])
            if value.dtype == np.float32 and value.ndim >= 3 and value.shape[-2:] == (1, 1) and value.size > 1:
                return name, value.reshape(-1)
    return None


def _keep(graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto], name: str, value: NDArray[np.float32]) -> str:
    if name not in constants:
        constants[name] = numpy_helper.from_array(value, name)
        graph.initializer.append(constants[name])
    return name
