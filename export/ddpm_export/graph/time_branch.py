"""Find the part of a graph that depends only on `t`, and precompute it as tables with a row per timestep."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float64]
TABLE = ".table"  # the suffix of the tables' names


def time_nodes(graph: onnx.GraphProto, *sources: str) -> list[onnx.NodeProto]:
    """The nodes that depend only on `sources` and constants, in order. Shape nodes do not count."""
    constants = {"", *(tensor.name for tensor in graph.initializer)}
    known, found = set(sources), []
    for node in graph.node:
        inputs = set(node.input) - constants
        if inputs and inputs <= known and node.op_type != "Shape":
            known.update(node.output)
            found.append(node)
    return found


def leaving(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> list[str]:
    """The outputs of `nodes` that other nodes or the graph's outputs use."""
    inside = {node.output[0] for node in nodes}
    made = [name for node in nodes for name in node.output]
    used = {name for node in graph.node if node.output[0] not in inside for name in node.input}
    used.update(value.name for value in graph.output)
    return [name for name in made if name in used]


def hoist_time(model: onnx.ModelProto, t: str, steps: int, static_batch: int | None = None) -> list[str]:
    """Precompute the values that depend only on `t`, for all `steps` timesteps; returns the names of these values.

    The graph then looks the values up in tables, which are computed in float64 and rounded once to float32.
    `drop_unused` removes the nodes that no longer have a use.
    """
    graph = model.graph
    branch = time_nodes(graph, t)
    tables = tabulate(model, branch, leaving(graph, branch), t, steps, static_batch)
    replaced = [node for node in branch if any(name in tables for name in node.output)]
    for node in replaced:
        graph.node.remove(node)
    for index, (name, table) in enumerate(tables.items()):
        graph.initializer.append(numpy_helper.from_array(table.astype(np.float32), name + TABLE))
        lookup = helper.make_node("Gather", [name + TABLE, t], [name], axis=0, name=f"{name}.lookup")
        graph.node.insert(index, lookup)
    return list(tables)


def tabulate(
    model: onnx.ModelProto, branch: list[onnx.NodeProto], names: list[str], t: str, steps: int, batch: int | None
) -> dict[str, Floats]:
    """The float64 values `[steps, ...]` of `names` at all timesteps, except values without a row per timestep."""
    from onnx.reference import ReferenceEvaluator

    if not names:
        return {}
    evaluator = ReferenceEvaluator(in_float64(model, branch, names, t))
    parts: list[Any] = [evaluator.run(None, {t: times}) for times in chunks(steps, batch)]
    values = [np.concatenate([part[index] for part in parts])[:steps] for index in range(len(names))]
    return {
        name: value
        for name, value in zip(names, values, strict=True)
        if value.dtype == np.float64 and value.ndim > 1 and len(value) == steps
    }


def chunks(steps: int, batch: int | None) -> Iterator[NDArray[np.int64]]:
    """All timesteps, at once or `batch` at a time; the last batch is padded with the last timestep."""
    size = batch or steps
    for first in range(0, steps, size):
        yield np.minimum(np.arange(first, first + size), steps - 1)


def in_float64(model: onnx.ModelProto, branch: list[onnx.NodeProto], names: list[str], t: str) -> onnx.ModelProto:
    """A model of `branch` alone, with float64 in place of float32 constants and casts."""
    wanted = {name for node in branch for name in node.input}
    constants = []
    for tensor in model.graph.initializer:
        if tensor.name in wanted:
            value = numpy_helper.to_array(tensor)
            wide = value.astype(np.float64) if value.dtype == np.float32 else value
            constants.append(numpy_helper.from_array(wide, tensor.name))
    nodes = []
    for node in branch:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for attribute in copy.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
        nodes.append(copy)
    outputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in names]
    inputs = [helper.make_tensor_value_info(t, TensorProto.INT64, None)]
    graph = helper.make_graph(nodes, "time", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=model.opset_import)
