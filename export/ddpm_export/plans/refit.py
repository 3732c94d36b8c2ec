"""Replace the weights of a plan, and update its record, without a new build."""

import contextlib
import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.artifacts.plan_build import FLAVOURS, Graph, Refit
from ddpm_rt.artifacts.plan_record import PlanRecord, names_in, read_plan
from ddpm_rt.device.gpus import gpus
from ddpm_rt.engines.tensorrt_log import make_log
from ddpm_rt.stopping import undone_on_stop

from ..graph.identity import graph_of
from ..graph.precision import Precision
from ..graph.time_branch import TABLE
from .build import read_source
from .pair import check_pair, write_pair
from .refitter import refit_engine, some
from .tensorrt_api import load_tensorrt


def refit_plan(
    plan: Path,
    weights: Path,
    out: Path,
    *,
    config: Path | None = None,
    threads: int | None = None,
    show: Callable[[str], object] | None = None,
) -> PlanRecord:
    """Write `plan` with other weights to `out`, which may be `plan` itself, with its record. Returns the record.

    `weights` is an .onnx with a card, or a checkpoint, which is exported with the options of the plan's model (`config`
    is that of `ddpm-rt export`). Raises DdpmRtError, and leaves both files unchanged, for a plan that accepts no
    weights, for weights of another network or another kind of model, and without TensorRT or a GPU. The checks that
    need no GPU run first.
    """
    check_pair(out)
    record = read_plan(plan)
    graph = replaceable(plan, record)
    with as_onnx(weights, record, graph, config, threads) as source:
        card, digests = read_source(source)
        check_card(weights, card, record)
        check_graph(weights, graph_of(source), graph)
        check_stripped(weights, digests, record)
        trt = tensorrt_for(plan, record)
        content = refit_engine(trt, plan.read_bytes(), record, source, log=make_log(trt, show))
    check_name(content, record)
    refit = Refit(record.name.split()[1], card.sha256, digests)
    digest = hashlib.sha256(content).hexdigest()
    written = dataclasses.replace(record, card=card, bytes=len(content), sha256=digest, refit=refit, steps={})
    write_pair(out, content, written)
    return written


def replaceable(plan: Path, record: PlanRecord) -> Graph:
    """The identity of the plan's graph, which new weights must match. Raises DdpmRtError if it takes no weights."""
    graph = record.build.graph
    if graph is None:
        raise DdpmRtError(f"{plan} takes no new weights; build it with --refittable")
    if record.build.options.get("strip_weights") and record.refit is not None:
        raise DdpmRtError(f"{plan} already has the weights it was stripped of; for others build it with --refittable")
    return graph


@contextlib.contextmanager
def as_onnx(
    weights: Path, record: PlanRecord, graph: Graph, config: Path | None, threads: int | None
) -> Iterator[Path]:
    """An ONNX file with `weights`: the file itself, or a temporary export of the checkpoint with the plan's options."""
    if weights.suffix == ".onnx":
        yield weights
        return
    if record.build.options.get("strip_weights"):
        raise DdpmRtError(f"a stripped plan needs the .onnx it was built from; pass that file, not {weights}")
    from ..onnx_export import OPSETS, ExportOptions, export_onnx
    from ..sources import open_source
    from ..sources.checkpoint_card import card_of

    found = open_source(weights, config)
    latents = record.card.latents
    card = card_of(found, weights, None if latents is None else latents.decoder)
    check_card(weights, dataclasses.replace(card, precision=record.card.precision), record)
    options = ExportOptions(
        opset=graph.opset if graph.opset in OPSETS else OPSETS[0],  # an export in bf16 raises the opset
        static_batch=graph.batch,
        precision=cast(Precision, record.card.precision),
        hoist=any(name.endswith(TABLE) for name in graph.weights),
        threads=threads,
    )
    with tempfile.TemporaryDirectory() as folder, undone_on_stop(lambda: shutil.rmtree(folder, ignore_errors=True)):
        path = Path(folder) / f"{card.provenance.source}.onnx"
        export_onnx(found.module, card, path, options)
        yield path


def check_card(weights: Path, card: ModelCard, record: PlanRecord) -> None:
    """Raises DdpmRtError unless the cards agree in everything except the provenance."""
    for field in dataclasses.fields(ModelCard):
        ours, theirs = getattr(card, field.name), getattr(record.card, field.name)
        if field.name == "provenance" or ours == theirs:
            continue
        if field.name == "precision":
            raise DdpmRtError(f"{weights} is {ours}, but the plan is {theirs}; export it with --precision {theirs}")
        values = "betas are not the plan's" if field.name == "betas" else f"{field.name} is {ours}, the plan's {theirs}"
        raise DdpmRtError(f"{weights} is another kind of model: its {values}; build a plan of it")


def check_graph(weights: Path, found: Graph, wanted: Graph) -> None:
    """Raises DdpmRtError, naming the weights, unless `found` has the plan's weights and the plan's graph."""
    ours, theirs = found.weights, wanted.weights
    shared = sorted(ours.keys() & theirs.keys())
    kinds = {
        "lacks": list(theirs.keys() - ours.keys()),
        "has the extra": list(ours.keys() - theirs.keys()),
        "has another type or shape of": [f"{n} ({ours[n]}, not {theirs[n]})" for n in shared if ours[n] != theirs[n]],
    }
    if texts := [f"{kind} {some(names)}" for kind, names in kinds.items() if names]:
        raise DdpmRtError(f"{weights} does not fit the plan: it {'; it '.join(texts)}; build a plan of it")
    if found.sha256 != wanted.sha256:
        opsets = f" (opset {found.opset}, not {wanted.opset})" if found.opset != wanted.opset else ""
        raise DdpmRtError(
            f"{weights} has the plan's weights in another graph{opsets}; export it with the same options and versions "
            "as the plan's model, or build a plan of it"
        )


def check_stripped(weights: Path, digests: dict[str, str], record: PlanRecord) -> None:
    """Raises DdpmRtError if the plan is stripped and `weights` are not its own, for which TensorRT optimised it.

    With other weights the output of such a plan is undefined.
    """
    if record.build.options.get("strip_weights") and sorted(digests.values()) != sorted(record.build.onnx.values()):
        wanted = ", ".join(f"{name} {digest[:12]}" for name, digest in record.build.onnx.items())
        raise DdpmRtError(
            f"{weights} is not the model that the plan was built from ({wanted}); a stripped plan takes no other "
            "weights, so build the plan with --refittable"
        )


def tensorrt_for(plan: Path, record: PlanRecord) -> Any:
    """The TensorRT module for the plan. Raises DdpmRtError if it is missing or another version, or without a GPU."""
    build = record.build
    _, trt = load_tensorrt(build.flavour)
    if trt.__version__ != build.version and not build.options.get("version_compatible"):
        name = FLAVOURS[build.flavour]
        raise DdpmRtError(f"{plan} needs {name} {build.version}, but {trt.__version__} is installed")
    if not gpus():
        raise DdpmRtError("a refit needs the plan's target GPU, but no GPU was found; see `ddpm-rt doctor`")
    return trt


def check_name(content: bytes, record: PlanRecord) -> None:
    """Raises DdpmRtError unless TensorRT kept the network's name, which ties the record to the plan."""
    if names_in(content) != {record.name}:
        raise DdpmRtError("TensorRT did not keep the network's name in the refitted plan; build a new plan instead")
