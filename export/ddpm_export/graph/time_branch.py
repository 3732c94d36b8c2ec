"""What a graph works out from `t` alone: found, and replaced by tables of T rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float64]
TABLE = ".table"  # how the names of tables end


def time_nodes(graph: onnx.GraphProto, *sources: str) -> list[onnx.NodeProto]:
    """The nodes that depend on `sources` and on constants alone, in order; not those that only ask for a shape."""
    constants = {"", *(tensor.name for tensor in graph.initializer)}
    known, found = set(sources), []
    for node in graph.node:
        inputs = set(node.input) - constants
        if inputs and inputs <= known and node.op_type != "Shape":
            known.update(node.output)
            found.append(node)
    return found


def leaving(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> list[str]:
    """The values of `nodes` that other nodes use."""
    inside = {node.output[0] for node in nodes}
    made = [name for node in nodes for name in node.output]
    used = {name for node in graph.node if node.output[0] not in inside for name in node.input}
    used.update(value.name for value in graph.output)
    return [name for name in made if name in used]


def hoist_time(model: onnx.ModelProto, t: str, steps: int, static_batch: int | None = None) -> list[str]:
    """Look up what depends on `t` alone in tables, one row a timestep; returns the values that are looked up.

    The tables are computed in float64 and rounded once. What led to them is left for `drop_unused`.
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
    """`names`, [steps, ...] each, of all timesteps; without those that do not have a row a timestep."""
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
    """All timesteps, at once or `batch` at a time, the last ones filled up."""
    size = batch or steps
    for first in range(0, steps, size):
        yield np.minimum(np.arange(first, first + size), steps - 1)


def in_float64(model: onnx.ModelProto, branch: list[onnx.NodeProto], names: list[str], t: str) -> onnx.ModelProto:
    """A model of `branch` alone, its float32 constants and casts in float64."""
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
