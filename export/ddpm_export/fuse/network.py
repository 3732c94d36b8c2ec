"""The network of a model as nodes of a loop's body: its inputs from the loop's values, labels and guidance."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.artifacts.bounded_read import failure
from ddpm_rt.artifacts.fused_chain import input_name
from ddpm_rt.denoiser import times_as
from ddpm_rt.engines.onnx_signature import Signature, read_signature
from ddpm_rt.engines.ort_cpu import open_session

from ..graph.onnx_file import load_onnx
from .nodes import Nodes

NETWORK_PREFIX = "network."  # of every name in the network, so that none is one of the chain's
OPSET = 18  # the first with bitwise operators
DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Network:
    """A network, whose names start with NETWORK_PREFIX, and what its inputs are."""

    model: onnx.ModelProto
    card: ModelCard
    signature: Signature

    def name(self, key: str) -> str:
        """The prefixed name of the tensor that the card calls x, t, y or out."""
        return NETWORK_PREFIX + self.card.names[key]


def read_network(path: Path, card: ModelCard) -> Network:
    """The network at `path`. Raises DdpmRtError for a graph that cannot run inside a loop with our nodes."""
    signature = read_signature(open_session(path, 1), path, card)
    model = load_onnx(path)
    opset = next((entry.version for entry in model.opset_import if entry.domain in DOMAINS), 0)
    if opset < OPSET:
        raise failure(path, f"is of opset {opset}; the noise needs the operators of opset {OPSET}", "export it again")
    if model.functions:
        raise failure(path, "has functions of its own", "inline them with onnx.inliner, and add the card again")
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model = onnx.shape_inference.infer_shapes(model)
    _free_batch(model.graph)
    onnx.compose.add_prefix(model, NETWORK_PREFIX, inplace=True)
    return Network(model, card, signature)


def _free_batch(graph: onnx.GraphProto) -> None:
    """Rename the free sides of all shapes: with guidance, the network's batch is not that of the chain.

    The shapes are kept because a Loop forgets the shape of its state, and ONNX Runtime fuses less without shapes: then
    the images would not be those of the network alone.
    """
    for value in graph.value_info:
        for side in value.type.tensor_type.shape.dim:
            if side.HasField("dim_param"):
                side.dim_param = f"{NETWORK_PREFIX}{side.dim_param}"


def inline(body: Nodes, network: Network, x: str, t: str, x0: str | None) -> str:
    """The nodes of the network for x, t and the previous x0, and the name of its output.

    `y` and the conditions are bound outside of the loop.
    """
    body.call("Identity", x, output=network.name("x"))
    body.call("Identity", t, output=network.name("t"))
    if network.card.prev_x0 is not None:
        body.call("Identity", x0, output=NETWORK_PREFIX + network.card.prev_x0)
    body.nodes.extend(network.model.graph.node)
    return network.name("out")


def times(network: Network, timesteps: NDArray[Any]) -> NDArray[Any]:
    """The column t in the type of the network's input: `[steps]`, or `[steps, 1]` where t is `[1]`."""
    column = times_as(timesteps, network.signature.time_type)
    shape = network.signature.time_shape
    return column if shape is None else column.reshape(-1, *shape)


class LoopValues(NamedTuple):
    """The values that an iteration begins with: x, and the x0 of the row before where anything uses it."""

    x: str
    x0: str | None


def evaluate(
    body: Nodes, network: Network, values: LoopValues, t: str, batch: str, *, guidance: float
) -> tuple[str, str | None]:
    """The first C channels of the network's output, and the rest for a learned variance, with guidance.

    t is one value of `times`; `batch` is the number of samples, `[1]`. The formulas are those of
    `ddpm_rt/requests/conditioned.py`.
    """
    guided = guidance != 1.0
    x, x0 = values
    if guided:
        x, x0 = _twice(body, x), None if x0 is None else _twice(body, x0)
    if not network.signature.one_time:
        count = body.mul(batch, np.int64(2)) if guided else batch
        t = body.call("Expand", t, count)
    output = inline(body, network, x, t, x0)
    channels = network.card.image_shape[0]
    if not guided:
        return _split(body, output, channels, network.card.output_channels)
    labelled, null = body.calls("Split", output, outputs=["chain.labelled", "chain.null"], axis=0, num_outputs=2)
    out, spread = _split(body, labelled, channels, network.card.output_channels)
    blank, _ = _split(body, null, channels, network.card.output_channels)
    scaled = body.mul(np.float32(guidance), body.sub(out, blank))
    return body.add(blank, scaled), spread


def bind_labels(outer: Nodes, network: Network, y: str, *, guidance: float) -> None:
    """The network's input y from the labels int64 `[batch]`: with guidance, the null class for a second batch."""
    null = network.card.null_class
    _bind(outer, y, network.name("y"), None if null is None else np.int64(null), guided=guidance != 1.0)


def bind_conditions(outer: Nodes, network: Network, null: Mapping[str, NDArray[Any]], *, guidance: float) -> None:
    """The network's conditions from the chain's inputs: with guidance, the values of `null` for a second batch.

    Each value of `null` is `[1, *shape]`. An input without one is the same in both halves.
    """
    for name in network.card.conditions:
        _bind(outer, input_name(name), NETWORK_PREFIX + name, null.get(name), guided=guidance != 1.0)


def _bind(outer: Nodes, value: str, target: str, null: Any, *, guided: bool) -> None:
    if guided:
        other = value if null is None else outer.call("Expand", null, outer.call("Shape", value))
        value = outer.call("Concat", value, other, axis=0)
    outer.call("Identity", value, output=target)


def _twice(body: Nodes, value: str) -> str:
    return body.call("Concat", value, value, axis=0)


def check_guidance(path: Path, network: Network, guidance: float) -> None:
    """Raises DdpmRtError where a graph of fixed batch would get twice the batch."""
    if guidance != 1.0 and network.signature.static_batch is not None:
        raise DdpmRtError(f"{path} has a fixed batch, and guidance needs twice the batch; export it without one")


def _split(body: Nodes, output: str, channels: int, total: int) -> tuple[str, str | None]:
    if total == channels:
        return output, None
    sizes = np.array([channels, total - channels], np.int64)
    out, spread = body.calls("Split", output, sizes, outputs=[f"{output}.mean", f"{output}.spread"], axis=1)
    return out, spread
