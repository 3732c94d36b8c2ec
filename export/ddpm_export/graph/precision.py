"""Convert a float32 graph to float16 or bfloat16, except where that would cost accuracy.

TensorRT 11 and ONNX Runtime have no precision flag, so the types in the graph decide. These parts stay float32: the
inputs and outputs, the time branch up to its last matrix product, the statistics of normalisations, softmax, and the
scales of a Resize. In bfloat16 the whole Resize stays float32, because some engines lack the kernel.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ddpm_rt import DdpmRtError, ModelCard

from .inference import inferred
from .onnx_file import raise_opset
from .time_branch import time_nodes

Precision = Literal["fp32", "fp16", "bf16"]
LowPrecision = Literal["fp16", "bf16"]
TYPES: Mapping[str, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
LARGEST = {"fp16": 65504.0, "bf16": 3.3895313892515355e38}
STATISTICS = ("InstanceNormalization", "GroupNormalization", "LayerNormalization", "ReduceMean", "ReduceSumSquare")
BF16_OPSET = 22
PRODUCTS = ("Gemm", "MatMul")  # operators of a matrix product


def set_precision(model: onnx.ModelProto, precision: LowPrecision, *, keep: tuple[str, ...]) -> None:
    """Convert `model`, which is float32, to `precision` in place.

    `keep` names the inputs whose branches stay float32: t, and y. Raises DdpmRtError for a weight that is too large.
    """
    graph = model.graph
    floats = float_values(model)
    high = {node.output[0] for node in float32_nodes(model, precision, keep)}
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    typing = _Typing(graph, precision, weights, {value.name for value in graph.input})
    for node in list(graph.node):
        low = node.output[0] not in high
        for index, name in enumerate(node.input):
            if name in floats:
                scales = node.op_type == "Resize" and index in (1, 2)
                node.input[index] = typing.read(node, name, low=low and not scales)
        if low:
            retype_attributes(node, precision)
            typing.low.update(name for name in node.output if name in floats)
    typing.finish(weights)
    if precision == "bf16":  # the first opset with bf16 convolutions; nothing else here differs from opset 18 or 21
        raise_opset(model, BF16_OPSET)


class _Typing:
    """The state of a conversion: the graph, the values already converted, and the casts inserted."""

    def __init__(
        self, graph: onnx.GraphProto, precision: str, weights: Mapping[str, TensorProto], inputs: set[str]
    ) -> None:
        self.graph, self.precision, self.weights = graph, precision, weights
        self.low: set[str] = set()  # values of the low type
        self.casts: dict[tuple[str, bool], str] = {}
        self.wanted: dict[str, set[bool]] = {}  # weight: whether it is needed as low type (True), float32 (False)
        self.uses: list[tuple[onnx.NodeProto, str]] = []

    def read(self, node: onnx.NodeProto, name: str, *, low: bool) -> str:
        """The value that `node` reads for `name`; inserts a cast if the type differs."""
        if name in self.weights:
            self.wanted.setdefault(name, set()).add(low)
            return f"{name}.{self.precision}" if low else name
        if (name in self.low) == low:
            return name
        key = (name, low)
        if key not in self.casts:
            kind = TYPES[self.precision] if low else TensorProto.FLOAT
            self.casts[key] = f"{name}.{self.precision if low else 'fp32'}"
            cast = helper.make_node("Cast", [name], [self.casts[key]], to=kind, name=f"{self.casts[key]}.cast")
            self.graph.node.insert(list(self.graph.node).index(node), cast)
        return self.casts[key]

    def finish(self, weights: Mapping[str, TensorProto]) -> None:
        """Store the weights in the types that nodes read, and cast the outputs to float32."""
        both = {name for name, kinds in self.wanted.items() if kinds == {True, False}}
        for name, kinds in self.wanted.items():
            if True in kinds:
                narrow = to_low(weights[name], self.precision)
                narrow.name = f"{name}.{self.precision}" if name in both else name
                if name in both:
                    self.graph.initializer.append(narrow)
                else:
                    weights[name].CopyFrom(narrow)
        single = {f"{name}.{self.precision}": name for name in self.wanted if name not in both}
        for node in self.graph.node:
            node.input[:] = [single.get(name, name) for name in node.input]
        for output in self.graph.output:
            if output.name in self.low:
                self._cast_output(output.name)
        del self.graph.value_info[:]

    def _cast_output(self, name: str) -> None:
        inner = f"{name}.{self.precision}"
        for node in self.graph.node:
            node.output[:] = [inner if made == name else made for made in node.output]
            node.input[:] = [inner if used == name else used for used in node.input]
        cast = helper.make_node("Cast", [inner], [name], to=TensorProto.FLOAT, name=f"{name}.cast")
        self.graph.node.append(cast)


def float_values(model: onnx.ModelProto) -> set[str]:
    """The names of all float32 values of a graph, including weights, inputs and outputs."""
    graph = inferred(model)
    values = (*graph.value_info, *graph.input, *graph.output)
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    return weights | {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}


def float32_nodes(model: onnx.ModelProto, precision: str, keep: tuple[str, ...]) -> list[onnx.NodeProto]:
    """The nodes that stay float32: statistics, softmax, the embeddings of `keep`, and Resize in bf16."""
    resize = ("Resize",) if precision == "bf16" else ()
    kinds = {*STATISTICS, "Softmax", *resize}
    embedding = {node.output[0] for node in embedding_nodes(model.graph, keep)}
    return [node for node in model.graph.node if node.op_type in kinds or node.output[0] in embedding]


def embedding_nodes(graph: onnx.GraphProto, keep: tuple[str, ...]) -> list[onnx.NodeProto]:
    """The nodes that depend only on the inputs `keep`, without table look-ups and the last matrix product.

    The last matrix product is the projection of a block.
    """
    branch = time_nodes(graph, *keep)
    before_product: set[str] = set()  # values that a later product of the branch depends on
    high = []
    for node in reversed(branch):
        later = bool(before_product.intersection(node.output))
        if later or node.op_type in PRODUCTS:
            before_product.update(node.input)
        if later:
            high.append(node)
    projected: set[str] = set()
    constants = {tensor.name for tensor in graph.initializer}
    kept = {node.output[0] for node in high}
    for node in branch:
        lookup = node.op_type == "Gather" and node.input[0] in constants
        if node.output[0] in kept:
            continue
        if node.op_type in PRODUCTS or lookup or projected.intersection(node.input):
            projected.update(node.output)
        else:
            high.append(node)
    return high


def retype_attributes(node: onnx.NodeProto, precision: str) -> None:
    """Change float32 casts and constants in the attributes of a node to `precision`, in place."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TYPES[precision]
        if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(to_low(attribute.t, precision))


def embedding_inputs(card: ModelCard) -> tuple[str, ...]:
    """The names of the inputs whose branches stay float32: t, and y where the model has classes."""
    return tuple(card.names[key] for key in ("t", "y") if key in card.names)


def to_low(tensor: TensorProto, precision: str) -> TensorProto:
    """A float32 tensor rounded to `precision`. Raises DdpmRtError if a value is too large for it."""
    value = np.ascontiguousarray(numpy_helper.to_array(tensor))
    largest = float(np.abs(value).max()) if value.size else 0.0
    if not largest <= LARGEST[precision]:
        raise DdpmRtError(
            f"{tensor.name} has values up to {largest:.3g}, too large for {precision}; choose another --precision"
        )
    narrow = value.astype(np.float16) if precision == "fp16" else to_bfloat16(value)
    return helper.make_tensor(tensor.name, TYPES[precision], value.shape, narrow.tobytes(), raw=True)


def to_bfloat16(value: NDArray[np.float32]) -> NDArray[np.uint16]:
    """bfloat16 as uint16: the upper half of each float32, rounded to nearest, ties to even."""
    bits = value.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
