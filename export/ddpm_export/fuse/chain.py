"""The whole chain of a sampler as one ONNX graph: noise, table and network in a standard `Loop`."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ddpm_rt.artifacts.fused_chain import input_name
from ddpm_rt.samplers.compiled_sampler import CompiledSampler

from .network import LoopValues, Network, bind_conditions, bind_labels, evaluate, times
from .nodes import Constants, Nodes
from .noise_nodes import INITIAL_WORDS, NoiseInputs, noise_inputs, normals
from .step_nodes import Row, Terms, next_x, predicted_x0, with_noise

Image = Literal["float32", "uint8"]
TENSOR_TYPES: dict[str, int] = {
    "float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64, "int32": TensorProto.INT32
}  # fmt: skip


class ChainSettings(NamedTuple):
    """What a graph fixes of a chain: the sampler, the guidance scale, the type of the images, and the null inputs."""

    sampler: CompiledSampler
    guidance: float
    image: Image
    null_inputs: Mapping[str, NDArray[Any]] = {}  # each [1, ...]


def chain_model(network: Network, settings: ChainSettings) -> onnx.ModelProto:
    """The graph: `image` from `seed` int64 `[]`, `sample` int64 `[batch]`, and `y` int64 `[batch]` with classes.

    The network's conditions are inputs `[batch, ...]`, called as `input_name` says. `image` is float32
    `[batch, C, ...]`, or, of pictures, uint8 `[batch, H, W, C]` as `ddpm_rt.images.write.to_pixels` gives it.
    """
    shape, constants = network.card.image_shape, Constants()
    outer = Nodes(constants, "start")
    batch = outer.call("Shape", "sample", output="chain.batch")
    known = noise_inputs(outer, "seed", "sample", batch, int(np.prod(shape)))
    start = normals(outer, known, INITIAL_WORDS, shape)
    if (scale := np.float32(settings.sampler.initial_scale)) != 1:
        start = outer.mul(scale, start)
    if network.card.classes is not None:
        bind_labels(outer, network, "y", guidance=settings.guidance)
    bind_conditions(outer, network, settings.null_inputs, guidance=settings.guidance)
    terms = Terms.of(settings.sampler)
    body = _body(constants, network, settings, known, terms)
    state = (
        [start, outer.call("Sub", start, start)] if _keeps_x0(network, terms) else [start]
    )  # x0 before the first row is 0
    results = [f"chain.final.{name}" for name in ("x", "x0")[: len(state)]]
    steps = np.int64(settings.sampler.table.steps)
    outer.calls("Loop", steps, np.bool_(True), *state, outputs=results, body=body)
    outer.call("Identity", results[0] if settings.image == "float32" else _pixels(outer, results[0]), output="image")
    graph = helper.make_graph(outer.nodes, "chain", *_interface(network, settings.image), constants.tensors)
    model = helper.make_model(graph, opset_imports=network.model.opset_import, ir_version=network.model.ir_version)
    model.producer_name = "ddpm-rt"
    return model


def _keeps_x0(network: Network, terms: Terms) -> bool:
    """Whether a row uses the x0 of the row before: in the table, or as an input of the network."""
    return terms.prev_x0 or network.card.prev_x0 is not None


def _body(
    constants: Constants, network: Network, settings: ChainSettings, known: NoiseInputs, terms: Terms
) -> onnx.GraphProto:
    """One iteration: the state is x, and the x0 of the row before where anything uses it."""
    shape, body = network.card.image_shape, Nodes(constants, "step")
    names = ["chain.x", "chain.x0"][: 2 if _keeps_x0(network, terms) else 1]
    row = Row(body, "chain.iteration", settings.sampler)
    t = body.call("Gather", times(network, settings.sampler.table.t), row.iteration, axis=0)
    before = LoopValues("chain.x", "chain.x0" if len(names) == 2 else None)
    out, spread = evaluate(body, network, before, t, "chain.batch", guidance=settings.guidance)
    x0 = predicted_x0(row, "chain.x", out, settings.sampler.clip)
    x = next_x(row, terms, "chain.x", x0, before.x0 if terms.prev_x0 else None, out)
    if terms.noise:
        x = with_noise(row, known, x, spread if terms.spread else None, shape)
    values = [x, x0][: len(names)]
    results = [body.call("Identity", value, output=f"{name}.next") for name, value in zip(names, values, strict=True)]
    condition = body.call("Identity", "chain.condition", output="chain.condition.next")
    sides = [network.signature.static_batch or "batch", *shape]
    state = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in names]
    states = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in results]
    return helper.make_graph(
        body.nodes,
        "step",
        [
            helper.make_tensor_value_info(row.iteration, TensorProto.INT64, []),
            helper.make_tensor_value_info("chain.condition", TensorProto.BOOL, []),
            *state,
        ],
        [helper.make_tensor_value_info(condition, TensorProto.BOOL, []), *states],
        network.model.graph.initializer,
        value_info=network.model.graph.value_info,
        sparse_initializer=network.model.graph.sparse_initializer,
    )


def _pixels(outer: Nodes, x: str) -> str:
    """uint8 [batch, H, W, C]: (x + 1) 127.5, rounded with halves to even. NaN, which has no byte, becomes 0."""
    clipped = outer.call("Where", outer.call("GreaterOrEqual", x, np.float32(-1)), x, np.float32(-1))
    clipped = outer.call("Where", outer.call("LessOrEqual", clipped, np.float32(1)), clipped, np.float32(1))
    bytes_ = outer.call("Round", outer.mul(outer.add(clipped, np.float32(1)), np.float32(127.5)))
    return outer.call("Transpose", outer.cast(bytes_, TensorProto.UINT8), perm=[0, 2, 3, 1])


def _interface(network: Network, image: Image) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """The inputs and the outputs."""
    batch = network.signature.static_batch or "batch"
    channels, *rest = network.card.image_shape
    sides = [batch, channels, *rest] if image == "float32" else [batch, *rest, channels]
    inputs = [
        helper.make_tensor_value_info("seed", TensorProto.INT64, []),
        helper.make_tensor_value_info("sample", TensorProto.INT64, [batch]),
    ]
    if network.card.classes is not None:
        inputs.append(helper.make_tensor_value_info("y", TensorProto.INT64, [batch]))
    for name, facts in network.card.conditions.items():
        inputs.append(helper.make_tensor_value_info(input_name(name), TENSOR_TYPES[facts.dtype], [batch, *facts.shape]))
    return inputs, [helper.make_tensor_value_info("image", TENSOR_TYPES[image], sides)]
