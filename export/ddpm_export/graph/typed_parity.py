"""Measure the difference of a float16 or bfloat16 graph from PyTorch, on a CPU without kernels for the type.

ONNX Runtime has no bfloat16 convolution on a CPU. It computes float16 in float32 without rounding in between, which is
more exact than a GPU. Therefore the graph runs in float32 with every result rounded to its type, like an engine that
accumulates in float32.
"""

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.engines.cpu_threads import default_threads
from ddpm_rt.engines.onnx_runtime import onnx_runtime

from .inference import inferred
from .module_call import example
from .precision import LARGEST, TYPES, Precision

LOW = set(TYPES.values())
TIMES = 17  # timesteps, evenly over the whole range of t
LARGEST_VALUE = "ddpm_rt.largest_value"


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` in float32 with every result rounded to its type. A further output is the largest rounded magnitude."""
    low = low_values(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for tensor in graph.initializer:
        if tensor.data_type in LOW:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    nodes: list[onnx.NodeProto] = []
    sizes: list[str] = []
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in LOW:
                attribute.i = TensorProto.FLOAT
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in low:
                node.output[index] = f"{name}.exact"
                nodes += rounding(name, low[name])
                sizes.append(f"{name}.size")
    nodes.append(helper.make_node("Max", sizes, [LARGEST_VALUE]))
    made = [type(node)() for node in nodes]
    for target, source in zip(made, nodes, strict=True):
        target.CopyFrom(source)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(made)
    graph.output.append(helper.make_tensor_value_info(LARGEST_VALUE, TensorProto.FLOAT, []))
    return copy


def rounding(name: str, kind: int) -> list[onnx.NodeProto]:
    """Nodes that round NAME.exact to the type `kind` as NAME, and write its largest magnitude to NAME.size."""
    return [
        helper.make_node("Cast", [f"{name}.exact"], [f"{name}.low"], to=kind),
        helper.make_node("Cast", [f"{name}.low"], [name], to=TensorProto.FLOAT),
        helper.make_node("Abs", [name], [f"{name}.abs"]),
        helper.make_node("ReduceMax", [f"{name}.abs"], [f"{name}.size"], keepdims=0),
    ]


def low_values(model: onnx.ModelProto) -> dict[str, int]:
    """The float16 and bfloat16 outputs of the nodes, with their ONNX types."""
    types = {value.name: value.type.tensor_type.elem_type for value in inferred(model).value_info}
    made = [name for node in model.graph.node for name in node.output]
    return {name: types[name] for name in made if types.get(name) in LOW}


def noised_images(card: ModelCard, times: NDArray[Any]) -> NDArray[np.float32]:
    """x_t of random images of coarse squares, by DDPM eq. (4), float32 `[len(times), C, H, W]`: typical inputs."""
    generator, (channels, *sides) = np.random.default_rng(0), card.image_shape
    x0 = generator.uniform(-1.5, 1.5, (len(times), channels, *(max(sides, default=1) // 4 + 1 for _ in sides))).clip(
        -1, 1
    )
    for axis, side in enumerate(sides, 2):
        x0 = x0.repeat(4, axis=axis).take(np.arange(side), axis=axis)
    process = card.forward_process
    levels = process.level_of(times)
    alpha_bar, scale = process.alpha_bar_at(levels), process.scale_at(levels, card.prediction)
    each = (slice(None), *[None] * (x0.ndim - 1))
    noise = generator.standard_normal(x0.shape)
    return np.asarray(
        scale[each] * (np.sqrt(alpha_bar)[each] * x0 + np.sqrt(1.0 - alpha_bar)[each] * noise), np.float32
    )


def spread_times(card: ModelCard, count: int) -> NDArray[Any]:
    """`count` times that the network is told, evenly over their whole range."""
    if card.process is None:
        return np.linspace(0, len(card.betas) - 1, count).round().astype(np.int64)
    return card.process.time_at(card.process.spaced(count, card.spacing))[::-1].astype(np.float32)


def measure_typed(
    module: nn.Module,
    model: onnx.ModelProto,
    card: ModelCard,
    precision: Precision,
    *,
    static_batch: int | None,
    threads: int | None,
) -> dict[str, float]:
    """The errors against PyTorch in float32, and the largest value of the low type. Raises DdpmRtError on overflow."""
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or default_threads() or 0  # 0: all cores
    # Without fusion: a fused node would not round in between.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = rounded(model).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    batch = static_batch or 1
    times = spread_times(card, -(-TIMES // batch) * batch)
    images, names, generator = noised_images(card, times), card.names, np.random.default_rng(1)
    errors, largest, value = [], 0.0, 0.0
    for first in range(0, len(times), batch):
        x, t = images[first : first + batch], times[first : first + batch]
        feeds = example(card, len(x), generator, t.tolist()) | {names["x"]: x}
        if card.classes is not None:
            feeds[names["y"]] = np.arange(first, first + batch) % card.classes
        with torch.no_grad():
            expected = module(*(torch.from_numpy(feed) for feed in feeds.values())).numpy()
        found, size = session.run([names["out"], LARGEST_VALUE], feeds)
        if not (np.isfinite(found).all() and np.isfinite(size)):
            raise DdpmRtError(
                f"{precision} overflows: its largest value is {LARGEST[precision]:.3g}; export as bf16 or fp32"
            )
        errors.append(found - expected)
        largest, value = max(largest, float(np.abs(expected).max())), max(value, float(size))
    off = np.concatenate(errors).astype(np.float64)
    return {
        "max_abs_error": float(np.abs(off).max()),
        "rms_error": float(np.sqrt((off**2).mean())),
        "max_abs_out": largest,
        "largest_value": value,
        "images": len(times),
    }
