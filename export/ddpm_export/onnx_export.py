"""A denoiser in PyTorch to one ONNX file with its card inside, compared with PyTorch before it is kept."""

import contextlib
import dataclasses
import inspect
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.artifacts.bounded_read import parse_json
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.engines.ort_cpu import open_session

from .graph.module_call import check_inputs, check_network_output, example, first_line, run_module, typical_times
from .graph.onnx_file import load_onnx
from .graph.precision import TYPES, Precision, set_precision
from .graph.simplify import drop_unused, fuse_affine, make_reshapes_constant, name_parameters, strip_traces
from .graph.time_branch import TABLE, hoist_time
from .graph.typed_parity import measure_typed

OPSETS = (18, 19, 20, 21)  # GroupNorm and attention in plain operators, which TensorRT 10 and 11 both build
MAX_BATCH = 1 << 16
MERGED_KEY = "ddpm_rt.merged_weights"  # of metadata_props: weights that are in the file under an equal one's name
# Float32 sums of a few thousand terms in another order differ by some 1e-6 of the largest value; a wrong flag, layout
# or constant by 1e-2 and more. Between the two there is nothing.
TOLERANCE = 1e-4
# Rounding errors of half and an eighth of a thousandth, through some fifty layers. That the graph is right is known
# before its types are changed; this is that they were changed in the right places.
TYPED_TOLERANCE = {"fp16": 2e-2, "bf16": 1.5e-1}


def export_onnx(
    module: nn.Module,
    card: ModelCard,
    path: Path | str,
    *,
    opset: int = 18,
    static_batch: int | None = None,
    precision: Precision = "fp32",
    hoist: bool | None = None,
    tolerance: float | None = None,
    threads: int | None = None,
    report: Callable[[str], object] = lambda stage: None,
) -> ModelCard:
    """Write `module` as ONNX to `path`; returns the card in the file, with the error that was measured.

    module(x float32 [B, C, ...], t int64 [B]) -> float32 like x, in eval mode and on the CPU; t is float32 for a
    process of sigmas or a flow. With `card.classes` it takes y int64 [B] as well, and after that the inputs of
    `card.inputs` in their order. With a learned `card.variance` its output has 2 C channels, the variance's second.
    The graph's tensors are called as `card.names` says. The batch is dynamic unless `static_batch` fixes it. `hoist`:
    what depends on t alone is looked up in tables, by default unless fp32. `report` is called with the name of
    each stage.
    Raises DdpmRtError, and leaves no file, if ONNX Runtime's output is further than `tolerance` times the largest
    output from PyTorch's (by default the precision's limit), not finite, or not of the card's shape, or if `precision`
    overflows; ValueError for an opset that is not supported.
    """
    path = Path(path)
    if opset not in OPSETS:
        raise ValueError(f"opset must be one of {OPSETS}, not {opset}")
    if static_batch is not None and static_batch < 1:
        raise ValueError(f"static_batch must be at least 1, not {static_batch}")
    limit = tolerance if tolerance is not None else TYPED_TOLERANCE.get(precision, TOLERANCE)
    module.eval()
    check_inputs(module, card)
    check_network_output(module, card)
    report("tracing the graph")
    model = trace(module, card, opset, static_batch)
    parameters = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    make_reshapes_constant(model)
    fuse_affine(model)
    if hoist and card.process is not None:
        raise ValueError("only whole timesteps can be hoisted into tables; leave out hoist")
    if hoist if hoist is not None else precision != "fp32" and card.process is None:
        hoist_time(model, card.names["t"], len(card.betas), static_batch)
    drop_unused(model)
    merged = name_parameters(model, parameters)
    strip_traces(model)
    done: list[ModelCard] = []

    def write(temporary: Path) -> None:
        _save(model, card, merged, temporary)
        report("comparing with PyTorch")
        parity = measure_parity(module, card, temporary, static_batch=static_batch, threads=threads)
        check_parity(parity, limit if precision == "fp32" else TOLERANCE)
        if precision != "fp32":
            report(f"rounding to {precision}, and comparing again")
            exact = {"fp32_max_abs_error": parity["max_abs_error"]}
            set_precision(model, precision, keep=tuple(card.names[key] for key in ("t", "y") if key in card.names))
            typed = measure_typed(module, model, card, precision, static_batch=static_batch, threads=threads)
            parity = typed | exact
            check_parity(parity, limit)
        measured = dataclasses.replace(card.provenance, parity={**parity, "tolerance": limit})
        done.append(dataclasses.replace(card, provenance=measured, precision=precision))
        _save(model, done[0], merged, temporary)

    replace_file(path, write)
    return done[0]


def trace(module: nn.Module, card: ModelCard, opset: int, static_batch: int | None) -> onnx.ModelProto:
    """The graph as PyTorch's exporter makes it."""
    # Two different values: whatever the exporter would take for a constant shows up in the comparison.
    batch = static_batch or 2
    times = range(1, batch + 1) if card.process is None else typical_times(card, np.random.default_rng(1))[:batch]
    inputs = example(card, batch, np.random.default_rng(0), times)
    axis = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    with quiet():
        try:
            program = torch.onnx.export(
                module,
                tuple(map(torch.from_numpy, inputs.values())),
                dynamo=True,
                opset_version=opset,
                input_names=list(inputs),
                output_names=[card.names["out"]],
                dynamic_shapes=None if static_batch else packed(module, [{0: axis} for _ in inputs]),
                verbose=False,
            )
        except Exception as error:  # the exporter's errors are of many kinds, and long
            raise DdpmRtError(f"PyTorch cannot export this model: {first_line(error)}") from error
    assert program is not None  # with dynamo=True it is a program
    model: onnx.ModelProto = program.model_proto
    return model


def packed(module: nn.Module, sides: list[Any]) -> tuple[Any, ...]:
    """One entry for each argument, as torch.export wants them: those of `*more` together in a tuple."""
    kinds = [one.kind for one in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return tuple(sides)
    first = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*sides[:first], tuple(sides[first:]))


def measure_parity(
    module: nn.Module, card: ModelCard, path: Path, *, static_batch: int | None, threads: int | None = None
) -> dict[str, float]:
    """The largest difference between ONNX Runtime's output and PyTorch's, and the largest output.

    Random x, as at the noisy end, at the first, second, middle and last timesteps and a few between; each image of a
    batch at a timestep, and of a class, of its own; PyTorch's batches are of 3, and the exported model's of 3 and of 1.
    """
    session = open_session(path, threads)
    generator = np.random.default_rng(0)
    times = typical_times(card, generator)
    sizes = [static_batch] if static_batch else [3, 1]
    largest, difference, compared = 0.0, 0.0, 0
    for start in range(0, len(times), sizes[0]):
        inputs = example(card, sizes[0], generator, times[start:])
        with torch_threads(threads):
            expected = run_module(module, inputs)
        largest = max(largest, float(np.abs(expected).max()))
        for size in sizes:
            for row in range(0, len(expected), size):
                part = {name: value[row : row + size] for name, value in inputs.items()}
                found = session.run([card.names["out"]], part)[0]
                if found.shape != (size, *expected.shape[1:]) or not np.isfinite(found).all():
                    raise DdpmRtError(f"the exported model gives {list(found.shape)} or values that are not finite")
                difference = max(difference, float(np.abs(found - expected[row : row + size]).max()))
                compared += size
    return {"max_abs_error": difference, "max_abs_out": largest, "images": compared}


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """PyTorch on `count` threads, if that is said."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_parity(parity: dict[str, float], tolerance: float) -> None:
    """Raises DdpmRtError when the measured error is above `tolerance` times the largest output."""
    error, limit = parity["max_abs_error"], tolerance * parity["max_abs_out"]
    if not error <= limit:
        raise DdpmRtError(f"the exported model differs from PyTorch by {error:.2e}, more than {limit:.2e}; not written")


def weights_of_onnx(path: Path | str) -> dict[str, Tensor]:
    """The parameters of the module that `path` was exported from, under their names in PyTorch, float32.

    Shapes are those of the file: a scale that is used as [C, 1, 1] comes so. Raises DdpmRtError where the weights are
    not in the file as they were: rounded to another type, or hoisted into tables.
    """
    model, weights = load_onnx(path), {}
    for tensor in model.graph.initializer:
        if tensor.name.endswith(TABLE) or tensor.data_type in TYPES.values():
            lost = "hoisted out of it" if tensor.name.endswith(TABLE) else "rounded"
            raise DdpmRtError(f"{path}: weights were {lost}; read them from an export in fp32 with --no-hoist-time")
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
            weights[tensor.name.removesuffix(".T")] = value.T if tensor.name.endswith(".T") else value
    merged = next((entry.value for entry in model.metadata_props if entry.key == MERGED_KEY), "{}")
    return weights | {name: weights[twin] for name, twin in parse_json(merged).items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's progress, advice and warnings: what matters is checked afterwards."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _save(model: onnx.ModelProto, card: ModelCard, merged: dict[str, str], path: Path) -> None:
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json(), MERGED_KEY: json.dumps(merged)})
    path.write_bytes(model.SerializeToString(deterministic=True))
