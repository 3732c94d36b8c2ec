"""The identity of a graph without its weights, which a refit must not change."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from ddpm_rt.artifacts.plan_build import Graph

from .onnx_file import load_onnx, opset_entry

TYPES: dict[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
SETTINGS = ("Resize", "Upsample", "Pad", "Clip")  # TensorRT builds their constants in, so these are not weights


def graph_of(path: Path) -> Graph:
    """The identity of the graph at `path`, which ignores the names of nodes and of intermediate values.

    TensorRT's refit matches weights only by name. Without this check, it would silently accept weights of another
    graph, such as a network with more attention heads.
    """
    model = load_onnx(path, external=False)
    settings = {name for node in model.graph.node if node.op_type in SETTINGS for name in node.input[1:]}
    tensors = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    weights = {t.name: described(t) for t in tensors if t.data_type in TYPES and t.name not in settings}
    constants = [tensor for tensor in tensors if tensor.name not in weights]
    digest = hashlib.sha256()
    for part in (*parts(model, weights), *(constant_bytes(tensor, path.parent) for tensor in constants)):
        digest.update(len(part).to_bytes(8, "little") + part)
    size = max((value.type.tensor_type.shape.dim for value in model.graph.input), key=len)[0]  # the images' batch
    return Graph(
        digest.hexdigest(), opset_entry(model).version, size.dim_value if size.HasField("dim_value") else None, weights
    )


def described(tensor: TensorProto) -> str:
    """The type and shape of a tensor, such as `fp16 128x64x3x3`."""
    return f"{TYPES[tensor.data_type]} {'x'.join(map(str, tensor.dims)) or 'scalar'}"


def parts(model: onnx.ModelProto, weights: dict[str, str]) -> Iterator[bytes]:
    """The bytes to hash, part by part. A value is named by its number, in the order of creation."""
    numbers: dict[str, str] = {}
    yield repr(sorted((entry.domain, entry.version) for entry in model.opset_import)).encode()
    yield repr(sorted(weights.items())).encode()
    for value in model.graph.input:
        yield value.name.encode() + value.type.SerializeToString(deterministic=True)
    for node in model.graph.node:
        inputs = [numbers.get(name, name) for name in node.input]
        numbers |= {name: f"#{len(numbers) + index}" for index, name in enumerate(node.output)}
        yield repr((node.domain, node.op_type, inputs, len(node.output))).encode()
        for attribute in sorted(node.attribute, key=lambda entry: entry.name):
            yield attribute.SerializeToString(deterministic=True)
    for value in model.graph.output:
        yield repr((value.name, numbers.get(value.name))).encode()


def constant_bytes(tensor: TensorProto, folder: Path) -> bytes:
    """The name, type, shape and values of a tensor, as bytes to hash."""
    array = numpy_helper.to_array(tensor, base_dir=str(folder))
    return repr((tensor.name, tensor.data_type, list(tensor.dims))).encode() + array.tobytes()
