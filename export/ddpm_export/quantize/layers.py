"""The layers of a graph that may be quantised, and the reason for every layer that stays float."""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx
from onnx import TensorProto

from ddpm_rt import DdpmRtError, ModelCard

from ..graph.inference import inferred
from ..graph.time_branch import time_nodes

PRODUCTS = ("MatMul", "Gemm")
LEAST_CHANNELS = 16  # of a convolution: with fewer, the conversions cost more than the product saves
KEPT = "--keep"  # the reason of a layer that the user keeps
WEIGHT_SUFFIXES = (".T", ".weight")


class Layer(NamedTuple):
    """A convolution or a matrix product."""

    name: str  # of its weights in PyTorch, or of its output if it has none
    node: onnx.NodeProto
    inputs: tuple[str, ...]  # the activations that it reads
    weight: str | None  # None: a product of two activations
    multiply_adds: int  # of one image
    stays: str | None  # the reason why it stays float, whatever the measurement says


def find_layers(model: onnx.ModelProto, card: ModelCard, keep: Sequence[str] = ()) -> list[Layer]:
    """The layers in the order of the graph. `keep` are names, or patterns such as `*.to_q`, that stay float.

    Raises DdpmRtError for a pattern that names no layer, and for a graph without a layer that may be quantised.
    """
    graph = model.graph
    shapes = known_shapes(model, card)
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    embedding = {
        node.output[0] for node in time_nodes(graph, *(card.names[key] for key in ("t", "y") if key in card.names))
    }
    made = {node.output[0]: node for node in graph.node}
    layers = []
    for node in graph.node:
        if node.op_type != "Conv" and node.op_type not in PRODUCTS:
            continue
        constant = [name for name in node.input[:2] if name in weights]
        if len(constant) > 1 or (constant and node.input[1] != constant[0]):
            continue  # the product of a constant and an activation, in this order, is no layer of any exporter
        weight = constant[0] if constant else None
        name = _plain(weight) if weight else node.output[0]
        reads = tuple(n for n in node.input[:2] if n not in weights)
        stays = _reason(node, weights.get(weight or ""), embedding, made, card) or _kept(name, keep)
        layers.append(Layer(name, node, reads, weight, _multiply_adds(node, weights.get(weight or ""), shapes), stays))
    for pattern in keep:
        if not any(fnmatch.fnmatchcase(layer.name, pattern) for layer in layers):
            known = ", ".join(layer.name for layer in layers[:4])
            raise DdpmRtError(f"--keep {pattern} names no layer; they are called {known} and so on")
    if not any(layer.stays is None for layer in layers):
        if any(layer.stays == KEPT for layer in layers):
            raise DdpmRtError("--keep leaves no layer to quantise; keep fewer")
        raise DdpmRtError("the graph has no layer that may be quantised: no inner convolution of 16 channels or more")
    return layers


def known_shapes(model: onnx.ModelProto, card: ModelCard) -> dict[str, tuple[int, ...]]:
    """The shape of every value for one image, as far as shape inference knows it."""
    one = onnx.ModelProto()
    one.CopyFrom(model)
    for value in (*one.graph.input, *one.graph.output):
        if value.type.tensor_type.shape.dim and not value.type.tensor_type.shape.dim[0].HasField("dim_value"):
            value.type.tensor_type.shape.dim[0].dim_value = 1
    del one.graph.value_info[:]
    graph = inferred(one, data_prop=True)
    found = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        sides = value.type.tensor_type.shape.dim
        if all(side.HasField("dim_value") for side in sides):
            found[value.name] = tuple(side.dim_value for side in sides)
    return found


def _plain(weight: str) -> str:
    for suffix in WEIGHT_SUFFIXES:
        weight = weight.removesuffix(suffix)
    return weight


def _kept(name: str, keep: Sequence[str]) -> str | None:
    return KEPT if any(fnmatch.fnmatchcase(name, pattern) for pattern in keep) else None


def _reason(
    node: onnx.NodeProto,
    weight: TensorProto | None,
    embedding: set[str],
    made: Mapping[str, onnx.NodeProto],
    card: ModelCard,
) -> str | None:
    if node.output[0] in embedding:
        return "embedding of t or of the label"
    if node.op_type == "Gemm" and any(a.name in ("alpha", "beta") and a.f != 1.0 for a in node.attribute):
        return "a scaled product"
    if node.op_type != "Conv":
        return None
    if weight is None:
        return "its kernel is computed"
    if _leads_in(node.input[0], made, card):
        return "first convolution"
    if _leads_out(node, made, card):
        return "last convolution"
    if min(weight.dims[:2]) < LEAST_CHANNELS:
        return f"fewer than {LEAST_CHANNELS} channels"
    return None


def _leads_in(name: str, made: Mapping[str, onnx.NodeProto], card: ModelCard) -> bool:
    """Whether a value is x or a named input, or concatenated of these alone."""
    if name in made and made[name].op_type in ("Concat", "Identity"):
        return all(_leads_in(one, made, card) for one in made[name].input)
    return name == card.names["x"] or name in card.inputs


def _leads_out(node: onnx.NodeProto, made: Mapping[str, onnx.NodeProto], card: ModelCard) -> bool:
    """Whether the output of the graph is that of `node`, or a value that single-input nodes make of it."""
    name = card.names["out"]
    while name in made and made[name].op_type != "Conv" and len(made[name].input) == 1:
        name = made[name].input[0]
    return bool(node.output[0] == name)


def _multiply_adds(node: onnx.NodeProto, weight: TensorProto | None, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Of one image; 0 where a shape is not known."""
    out = shapes.get(node.output[0], ())
    total = 1
    for side in out:
        total *= side
    if not out:
        return 0
    if node.op_type == "Conv" and weight is not None:
        for side in weight.dims[1:]:
            total *= side
        return total
    inner = shapes.get(node.input[0], (0,))
    turned = node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute)
    return total * inner[-2 if turned else -1]
