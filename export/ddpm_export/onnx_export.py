"""Export a PyTorch denoiser to one ONNX file that contains its card. The file is kept only if it matches PyTorch."""

import contextlib
import dataclasses
import inspect
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from ddpm_rt.collection import uncollected
from ddpm_rt.engines.ort_cpu import open_session

from .graph.module_call import check_module_inputs, check_network_output, example, first_line, run_module, typical_times
from .graph.onnx_file import load_onnx
from .graph.precision import TYPES, LowPrecision, Precision, embedding_inputs, set_precision
from .graph.simplify import drop_unused, fuse_affine, make_reshapes_constant, name_parameters, strip_traces
from .graph.time_branch import TABLE, hoist_time
from .graph.typed_parity import measure_typed

OPSETS = (18, 19, 20, 21)  # GroupNorm and attention become plain operators, which TensorRT 10 and 11 both build
MAX_BATCH = 1 << 16
MERGED_KEY = "ddpm_rt.merged_weights"  # in metadata_props: weights that the file stores as another, equal weight
# Relative to the largest output. Float32 sums of a few thousand terms in another order differ by about 1e-6; a wrong
# flag, layout or constant causes an error of at least 1e-2.
TOLERANCE = 1e-4
# fp16 rounds by up to 1/2048 and bf16 by up to 1/256, in about fifty layers. The float32 graph has already passed
# TOLERANCE, so this limit only has to find types that were changed in the wrong places.
TYPED_TOLERANCE = {"fp16": 2e-2, "bf16": 1.5e-1}

Report = Callable[[str], object]  # called with the name of each stage


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of an export. Raises ValueError for an unsupported opset or batch."""

    opset: int = 18
    static_batch: int | None = None  # None: the batch is dynamic
    precision: Precision = "fp32"
    hoist: bool | None = None  # precompute values that depend only on t, as tables; None: unless fp32
    tolerance: float | None = None  # largest error, relative to the largest output; None: the limit of the precision
    threads: int | None = None  # CPU threads of the comparison; None: all cores

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ValueError(f"opset must be one of {OPSETS}, not {self.opset}")
        if self.static_batch is not None and self.static_batch < 1:
            raise ValueError(f"static_batch must be at least 1, not {self.static_batch}")

    @property
    def hoists(self) -> bool:
        return self.hoist if self.hoist is not None else self.precision != "fp32"

    @property
    def limit(self) -> float:
        """The tolerance on the error of the file."""
        return self.tolerance if self.tolerance is not None else TYPED_TOLERANCE.get(self.precision, TOLERANCE)


def export_onnx(
    module: nn.Module,
    card: ModelCard,
    path: Path | str,
    options: ExportOptions | None = None,
    *,
    report: Report = lambda stage: None,
) -> ModelCard:
    """Write `module` as ONNX to `path`. Returns the card in the file, which contains the measured error.

    `module` maps x float32 [B, C, ...] and t int64 [B] to a float32 tensor like x. It runs in eval mode on the CPU. t
    is float32 for a process of sigma or a flow. With `card.classes` it also takes y int64 [B]. The inputs of
    `card.inputs` follow in their order. With a learned `card.variance` its output has 2 C channels, the variance in
    the second half. `card.names` gives the names of the graph's inputs and output.

    Raises DdpmRtError, and writes no file, if the output of ONNX Runtime differs from PyTorch's by more than the
    tolerance, has another shape or is not finite, or if the precision overflows; ValueError for `hoist` without betas.
    """
    path, chosen = Path(path), options or ExportOptions()
    if chosen.hoist and card.process is not None:
        raise ValueError(f"tables of t need whole timesteps, and the model's process is {card.process.kind}")
    module.eval()
    check_module_inputs(module, card)
    check_network_output(module, card)
    report("tracing the graph")
    model = trace(module, card, chosen.opset, chosen.static_batch)
    merged = optimize(model, module, card, chosen)
    done: list[ModelCard] = []

    def write(temporary: Path) -> None:
        _save(model, card, merged, temporary)
        report("comparing with PyTorch")
        parity = measure_parity(module, card, temporary, static_batch=chosen.static_batch, threads=chosen.threads)
        check_parity(parity, chosen.limit if chosen.precision == "fp32" else TOLERANCE)
        if chosen.precision != "fp32":
            report(f"rounding to {chosen.precision}, and comparing again")
            typed = change_precision(model, module, card, chosen.precision, chosen)
            parity = {**typed, "fp32_max_abs_error": parity["max_abs_error"]}
            check_parity(parity, chosen.limit)
        measured = dataclasses.replace(card.provenance, parity={**parity, "tolerance": chosen.limit})
        done.append(dataclasses.replace(card, provenance=measured, precision=chosen.precision))
        _save(model, done[0], merged, temporary)

    replace_file(path, write)
    return done[0]


def optimize(model: onnx.ModelProto, module: nn.Module, card: ModelCard, options: ExportOptions) -> dict[str, str]:
    """Simplify a traced model in place. Returns the merged weights: name: name of the equal weight in the file."""
    parameters = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    make_reshapes_constant(model)
    fuse_affine(model)
    if options.hoists and card.process is None:
        hoist_time(model, card.names["t"], len(card.betas), options.static_batch)
    drop_unused(model)
    merged = name_parameters(model, parameters)
    strip_traces(model)
    return merged


def change_precision(
    model: onnx.ModelProto, module: nn.Module, card: ModelCard, precision: LowPrecision, options: ExportOptions
) -> dict[str, float]:
    """Convert a float32 model to `precision` in place. Returns its errors against PyTorch."""
    set_precision(model, precision, keep=embedding_inputs(card))
    return measure_typed(module, model, card, precision, static_batch=options.static_batch, threads=options.threads)


def trace(module: nn.Module, card: ModelCard, opset: int, static_batch: int | None) -> onnx.ModelProto:
    """Trace `module` with PyTorch's exporter."""
    # Each image of the example has another timestep. If the exporter stored t as a constant, the comparison would fail.
    batch = static_batch or 2
    times = range(1, batch + 1) if card.process is None else typical_times(card, np.random.default_rng(1))[:batch]
    inputs = example(card, batch, np.random.default_rng(0), times)
    axis = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    with quiet(), uncollected():  # the collector would scan the tracer's many objects again and again
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
        except Exception as error:  # the exporter raises long errors of many kinds
            raise DdpmRtError(f"PyTorch cannot export this model: {first_line(error)}") from error
    assert program is not None  # torch.onnx.export returns a program if dynamo=True
    model: onnx.ModelProto = program.model_proto
    return model


def packed(module: nn.Module, sides: list[Any]) -> tuple[Any, ...]:
    """One entry for each argument, as torch.export wants them: those of `*more` together in a tuple."""
    kinds = [one.kind for one in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return tuple(sides)
    first = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    if len(sides) <= first:  # nothing is given to `*more`
        return tuple(sides)
    return (*sides[:first], tuple(sides[first:]))


def measure_parity(
    module: nn.Module, card: ModelCard, path: Path, *, static_batch: int | None, threads: int | None = None
) -> dict[str, float]:
    """Measure the largest difference between the outputs of ONNX Runtime and PyTorch, and the largest output.

    x is random noise. The timesteps are the first, second, middle and last ones and four random ones. Every image of a
    batch has its own timestep and class. PyTorch runs batches of 3, and the exported model batches of 3 and of 1.
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
    """Run PyTorch on `count` threads; None keeps the present number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_parity(parity: dict[str, float], tolerance: float) -> None:
    """Raises DdpmRtError if the measured error exceeds `tolerance` times the largest output."""
    error, limit = parity["max_abs_error"], tolerance * parity["max_abs_out"]
    if not error <= limit:
        raise DdpmRtError(f"the exported model differs from PyTorch by {error:.2e}, more than {limit:.2e}; not written")


def weights_of_onnx(path: Path | str) -> dict[str, Tensor]:
    """Read the float32 parameters of the exported module from an ONNX file, under their names in PyTorch.

    A parameter has its shape in the file, which may differ from the module's: for example [C, 1, 1] instead of [C].
    Raises DdpmRtError if the file lacks the original weights, because they were rounded or hoisted into tables.
    """
    model, weights = load_onnx(path), {}
    for tensor in model.graph.initializer:
        if tensor.name.endswith(TABLE) or tensor.data_type in (*TYPES.values(), onnx.TensorProto.INT8):
            lost = "hoisted into tables" if tensor.name.endswith(TABLE) else "rounded"
            raise DdpmRtError(f"{path}: weights were {lost}; read them from an export in fp32 with --no-hoist-time")
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
            weights[tensor.name.removesuffix(".T")] = value.T if tensor.name.endswith(".T") else value
    merged = next((entry.value for entry in model.metadata_props if entry.key == MERGED_KEY), "{}")
    return weights | {name: weights[twin] for name, twin in parse_json(merged).items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter's progress, advice and warnings. The comparison with PyTorch finds every real fault."""
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
