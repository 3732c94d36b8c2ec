"""What each layer does to the output of the network when it alone is quantised, and which layers stay float for it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from ddpm_rt.engines.ort_cpu import OrtDenoiser

from ..graph.simplify import drop_unused
from .calibrate import Probe
from .insert import Style, insert
from .layers import Layer
from .ranges import Range

FLOAT_SHARE = 0.05  # of all multiply-adds that may stay float because of the measurement
LEAST_HARM = 0.01  # of all squared errors; a layer that does less is quantised


class Sensitivity(NamedTuple):
    """One line of the table."""

    layer: Layer
    error: float | None  # RMS error of the output over its RMS, with this layer alone quantised; None: not measured
    stays: str | None  # the reason why it stays float


def sensitivities(
    model: onnx.ModelProto, layers: Sequence[Layer], ranges: Mapping[str, Range], style: Style, probes: Sequence[Probe],
    path: Path, *, threads: int | None, called: Callable[[], object] = lambda: None,
) -> list[Sensitivity]:  # fmt: skip
    """Quantise every layer alone that may be, and decide. `path` is where the trials are written."""
    errors: list[float | None] = []
    for layer in layers:
        error = None
        if layer.stays is None:
            trial = quantised(model, [layer], (), ranges, style)
            onnx.save(trial, path)
            with OrtDenoiser(path, threads=threads) as engine:
                error = output_error(engine, probes)
            called()
        errors.append(error)
    return decided(layers, errors)


def quantised(
    model: onnx.ModelProto, layers: Sequence[Layer], passing: Sequence[str], ranges: Mapping[str, Range], style: Style
) -> onnx.ModelProto:
    """A copy of the float model in which `layers` are quantised, and the nodes that make `passing`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    insert(copy, layers, passing, ranges, style)
    drop_unused(copy)
    return copy


def output_error(engine: OrtDenoiser, probes: Sequence[Probe]) -> float:
    """The RMS error over all probes, over the RMS of the float outputs."""
    error = power = 0.0
    for x, t, y, inputs, out in probes:
        error += float(np.sum(np.square(engine(x, t, y, inputs) - out, dtype=np.float64)))
        power += float(np.sum(np.square(out, dtype=np.float64)))
    return float(np.sqrt(error / max(power, 1e-300)))


def decided(layers: Sequence[Layer], errors: Sequence[float | None]) -> list[Sensitivity]:
    """The layers that do most harm for their multiply-adds stay float, up to FLOAT_SHARE of all multiply-adds.

    A layer that adds less than LEAST_HARM of the sum of all squared errors is quantised whatever its size.
    """
    work = sum(layer.multiply_adds for layer in layers)
    harm = {index: error**2 for index, error in enumerate(errors) if error is not None}
    whole, left = sum(harm.values()), FLOAT_SHARE * work
    stay = set()
    for index in sorted(harm, key=lambda one: harm[one] / max(layers[one].multiply_adds, 1), reverse=True):
        if harm[index] >= LEAST_HARM * whole and layers[index].multiply_adds <= left:
            left -= layers[index].multiply_adds
            stay.add(index)
    return [
        Sensitivity(layer, error, layer.stays or ("sensitive" if index in stay else None))
        for index, (layer, error) in enumerate(zip(layers, errors, strict=True))
    ]
