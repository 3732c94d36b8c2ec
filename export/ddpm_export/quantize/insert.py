"""Put QuantizeLinear and DequantizeLinear around layers of a float32 graph, with weights as int8.

A value that a quantised node makes is quantised at once, and every node reads it from there: ONNX Runtime fuses a
convolution to QLinearConv only if nothing else reads its float output. A value that a float node makes is read as it
is by float nodes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .layers import Layer
from .ranges import SIGNED, UNSIGNED, Range, Scheme

LARGEST = 127  # of a weight: symmetric, so -128 is not used


@dataclass(frozen=True)
class Style:
    """What an engine wants of a quantised graph."""

    scheme: Scheme  # of activations
    outputs: bool  # quantise what a convolution makes, and not only what it reads
    biases: bool  # quantise biases to int32, with the scale of the product
    scales: type[np.floating] = np.float32  # as the floats of the graph: TensorRT takes no other scales

    def rounded(self, scales: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scales that the graph's type can hold, none of them 0."""
        smallest = np.finfo(self.scales).smallest_subnormal
        with np.errstate(over="ignore"):  # the comparison with the float model finds values that are not finite
            return np.maximum(scales.astype(self.scales), smallest).astype(np.float32)


CPU = Style(UNSIGNED, outputs=True, biases=True)
TENSORRT = Style(SIGNED, outputs=False, biases=False)
STYLES: Mapping[str, Style] = {"cpu": CPU, "tensorrt": TENSORRT}


def insert(
    model: onnx.ModelProto, layers: Sequence[Layer], passing: Iterable[str], ranges: Mapping[str, Range], style: Style
) -> None:
    """Quantise `layers` of `model` in place, and the nodes whose outputs `passing` names, which move integers on.

    `ranges` has all values that the layers read, and, where the style wants it, that they make.
    """
    _Insertion(model, layers, set(passing), ranges, style).run()


class _Insertion:
    def __init__(
        self,
        model: onnx.ModelProto,
        layers: Sequence[Layer],
        passing: set[str],
        ranges: Mapping[str, Range],
        style: Style,
    ) -> None:
        self.graph, self.ranges, self.style, self.passing = model.graph, ranges, style, passing
        self.layers = {layer.node.output[0]: layer for layer in layers}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        self.integers: dict[str, str] = {}  # value: its quantised one
        self.from_float: set[str] = set()  # values that float nodes read as they are
        self.count = 0

    def run(self) -> None:
        for node in self.graph.node:
            quantised = node.output[0] in self.layers or node.output[0] in self.passing
            for index, name in enumerate(node.input):
                if name in self.ranges and (quantised or (name in self.integers and name not in self.from_float)):
                    node.input[index] = self._read(name)
            layer = self.layers.get(node.output[0])
            if layer is not None and layer.weight is not None:
                self._quantise_weights(node, layer)
            self.nodes.append(node)
            makes = node.output[0] in self.passing or (layer is not None and self._quantises_output(layer))
            if makes and node.output[0] in self.ranges:
                self._quantise(node.output[0])
        kept = [type(node)() for node in self.nodes]
        for target, source in zip(kept, self.nodes, strict=True):
            target.CopyFrom(source)
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(kept)

    def _quantises_output(self, layer: Layer) -> bool:
        return self.style.outputs and layer.node.op_type == "Conv"

    def _read(self, name: str) -> str:
        """A new DequantizeLinear of a value: every reader has its own, as the fusion wants it."""
        if name not in self.integers:
            self._quantise(name)
            self.from_float.add(name)
        self.count += 1
        made = f"{name}.float.{self.count}"
        self._add("DequantizeLinear", [self.integers[name], f"{name}.scale", f"{name}.zero"], made)
        return made

    def _quantise(self, name: str) -> None:
        scale, zero_point = self.ranges[name]
        kind = np.uint8 if self.style.scheme.low >= 0 else np.int8
        self._keep(f"{name}.scale", self.style.rounded(np.array(scale, np.float32)))
        self._keep(f"{name}.zero", np.array(zero_point, kind))
        self.integers[name] = f"{name}.int8"
        self._add("QuantizeLinear", [name, f"{name}.scale", f"{name}.zero"], self.integers[name])

    def _quantise_weights(self, node: onnx.NodeProto, layer: Layer) -> None:
        values = numpy_helper.to_array(self.weights[layer.weight or ""])
        axis = channel_axis(node, values.ndim)
        integers, scales = quantised_weights(values, axis, self.style.rounded)
        self._constant(f"{layer.weight}", integers, scales, axis)
        node.input[1] = f"{layer.weight}.float"
        bias = node.input[2] if len(node.input) > 2 else ""
        if self.style.biases and bias in self.weights:
            exact = scales.astype(np.float64) * self.ranges[layer.inputs[0]].scale
            rounded = np.rint(numpy_helper.to_array(self.weights[bias]) / exact)
            limited = np.clip(rounded, -(2**31), 2**31 - 1).astype(np.int32)
            name = f"{layer.name}.{bias}"  # layers may share a bias, and have scales of their own
            self._constant(name, limited, exact.astype(np.float32), 0)
            node.input[2] = f"{name}.float"

    def _constant(self, name: str, integers: NDArray[np.integer], scales: NDArray[np.float32], axis: int) -> None:
        """Integers in the file, and their DequantizeLinear as NAME.float."""
        if f"{name}.int" in self.weights:
            return
        self._keep(f"{name}.int", np.asarray(integers))
        self._keep(f"{name}.scale", scales)
        self._keep(f"{name}.zero", np.zeros(len(scales), integers.dtype))
        self._add("DequantizeLinear", [f"{name}.int", f"{name}.scale", f"{name}.zero"], f"{name}.float", axis=axis)

    def _keep(self, name: str, value: NDArray[np.generic]) -> None:
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
            self.graph.initializer.append(self.weights[name])

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"{output}.node", **attributes))


def channel_axis(node: onnx.NodeProto, dimensions: int) -> int:
    """The axis of the output channels in a layer's weights."""
    if node.op_type == "Conv":
        return 0
    turned = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if turned else dimensions - 1


def quantised_weights(
    values: NDArray[np.float32], axis: int, rounded: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 per channel of `axis`, and the scales float32 `[channels]`, which `rounded` may change first."""
    others = tuple(index for index in range(values.ndim) if index != axis)
    largest = np.abs(values).max(axis=others).astype(np.float64)
    scales = rounded((np.maximum(largest, 1e-12) / LARGEST).astype(np.float32))
    shape = [-1 if index == axis else 1 for index in range(values.ndim)]
    integers = np.clip(np.rint(values / scales.reshape(shape)), -LARGEST, LARGEST).astype(np.int8)
    return integers, scales
