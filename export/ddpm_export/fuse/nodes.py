"""Nodes of an ONNX graph, written as function calls: `body.call("Mul", a, b)` adds a node and names its output."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

CHAIN_PREFIX = "chain."  # of every value that is not the network's


class Constants:
    """The constants of a graph and of the graphs inside it; equal constants are kept once."""

    def __init__(self) -> None:
        self.tensors: list[onnx.TensorProto] = []
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def name_of(self, value: NDArray[Any] | np.generic) -> str:
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"{CHAIN_PREFIX}constant.{len(self._names)}"
            self.tensors.append(numpy_helper.from_array(array, self._names[key]))
        return self._names[key]


class Nodes:
    """The nodes of one graph, in order. A value is the name of a node's output; an array becomes a constant."""

    def __init__(self, constants: Constants, scope: str) -> None:
        self.constants, self.scope = constants, scope
        self.nodes: list[onnx.NodeProto] = []

    def call(self, operator: str, *inputs: Any, output: str | None = None, **attributes: Any) -> str:
        """Add a node of one output, named `output` or by its place, and return the name."""
        return self.calls(operator, *inputs, outputs=[output or self._new(operator)], **attributes)[0]

    def calls(self, operator: str, *inputs: Any, outputs: Sequence[str], **attributes: Any) -> list[str]:
        """Add a node of several outputs, and return their names."""
        names = [value if isinstance(value, str) else self.constants.name_of(value) for value in inputs]
        name = self._new(operator)
        self.nodes.append(helper.make_node(operator, names, list(outputs), name=name, **attributes))
        return list(outputs)

    def cast(self, value: str, kind: int) -> str:
        """`value` as `kind`, a TensorProto.DataType."""
        return self.call("Cast", value, to=kind)

    def add(self, a: Any, b: Any) -> str:
        return self.call("Add", a, b)

    def sub(self, a: Any, b: Any) -> str:
        return self.call("Sub", a, b)

    def mul(self, a: Any, b: Any) -> str:
        return self.call("Mul", a, b)

    def polynomial(self, z: str, coefficients: Sequence[np.float32]) -> str:
        """c0 + z * (c1 + z * (c2 + ...)), each operation rounded once."""
        *rest, last = coefficients
        value: Any = last
        for coefficient in reversed(rest):
            value = self.add(coefficient, self.mul(z, value))
        name: str = value
        return name

    def _new(self, operator: str) -> str:
        return f"{CHAIN_PREFIX}{self.scope}.{len(self.nodes)}.{operator}"
