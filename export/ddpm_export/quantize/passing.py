"""Nodes that move integers on between quantised layers, so that no float copy is made in between."""

from collections.abc import Sequence
from typing import NamedTuple

import onnx

from .layers import Layer


class Passing(NamedTuple):
    """A node that reads and makes integers."""

    inputs: tuple[str, ...]
    output: str
    shares: bool  # its inputs and its output have one range, so that integers pass unchanged


def passing_nodes(model: onnx.ModelProto, layers: Sequence[Layer]) -> list[Passing]:
    """The nearest-neighbour Resize nodes that are read by quantised layers alone.

    The upsampled image is quantised before it is enlarged: the integers are the same, and a quarter as many.
    """
    quantised = {layer.node.output[0] for layer in layers if layer.stays is None}
    readers: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.output[0])
    return [
        Passing((node.input[0],), node.output[0], shares=True)
        for node in model.graph.node
        if node.op_type == "Resize" and _is_nearest(node) and set(readers.get(node.output[0], [])) <= quantised
    ]


def _is_nearest(node: onnx.NodeProto) -> bool:
    mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"nearest")
    return bool(mode == b"nearest")
