"""From `unet.plan` and other weights to a plan with these, and its record, without building it again."""

import contextlib
import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.artifacts.plan_record import FLAVOURS, Graph, PlanRecord, Refit, names_in, read_plan
from ddpm_rt.device.gpus import gpus
from ddpm_rt.engines.tensorrt_log import make_log
from ddpm_rt.stopping import undone_on_stop

from ..graph.identity import graph_of
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
    """Write `plan` with other weights to `out`, which may be `plan` itself, and its record; returns it.

    `weights` is an .onnx with a card, or a checkpoint, which is exported as the plan's network was (`config` as for
    `ddpm-rt export`). Raises DdpmRtError, and leaves both files as they were, for weights of another network or
    another kind of model, a plan that takes none, and a machine without TensorRT or a GPU: in this order, so that all
    that a CPU can tell is told first.
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
    """What weights must fit. Raises DdpmRtError for a plan that takes no weights, or no more."""
    graph = record.build.graph
    if graph is None:
        raise DdpmRtError(f"{plan} takes no new weights; build it with --refittable")
    if record.build.options.get("strip_weights") and record.refit is not None:
        raise DdpmRtError(f"{plan} was stripped and has got its weights back; for others build it with --refittable")
    return graph


@contextlib.contextmanager
def as_onnx(
    weights: Path, record: PlanRecord, graph: Graph, config: Path | None, threads: int | None
) -> Iterator[Path]:
    """An ONNX file of `weights`: itself, or a checkpoint exported as the plan's network was, gone afterwards."""
    if weights.suffix == ".onnx":
        yield weights
        return
    if record.build.options.get("strip_weights"):
        raise DdpmRtError(f"a stripped plan takes back the file it was built from; name that .onnx, not {weights}")
    from ..onnx_export import OPSETS, export_onnx
    from ..sources import open_source
    from ..sources.checkpoint_card import card_of

    found = open_source(weights, config)
    card = card_of(found, weights)
    check_card(weights, dataclasses.replace(card, precision=record.card.precision), record)
    options: dict[str, Any] = {"precision": record.card.precision, "static_batch": graph.batch, "threads": threads}
    options["hoist"] = any(name.endswith(TABLE) for name in graph.weights)
    options["opset"] = graph.opset if graph.opset in OPSETS else OPSETS[0]  # bf16 has raised it
    with tempfile.TemporaryDirectory() as folder, undone_on_stop(lambda: shutil.rmtree(folder, ignore_errors=True)):
        path = Path(folder) / f"{card.provenance.source}.onnx"
        export_onnx(found.module, card, path, **options)
        yield path


def check_card(weights: Path, card: ModelCard, record: PlanRecord) -> None:
    """Raises DdpmRtError unless the cards agree in all but where the weights are from."""
    for field in dataclasses.fields(ModelCard):
        ours, theirs = getattr(card, field.name), getattr(record.card, field.name)
        if field.name == "provenance" or ours == theirs:
            continue
        if field.name == "precision":
            raise DdpmRtError(f"{weights} is in {ours}, the plan in {theirs}; export it with --precision {theirs}")
        values = "betas are not the plan's" if field.name == "betas" else f"{field.name} is {ours}, the plan's {theirs}"
        raise DdpmRtError(f"{weights} is another kind of model: its {values}; build a plan of it")


def check_graph(weights: Path, found: Graph, wanted: Graph) -> None:
    """Raises DdpmRtError that names the weights which do not fit, or says that they are of another graph."""
    ours, theirs = found.weights, wanted.weights
    shared = sorted(ours.keys() & theirs.keys())
    kinds = {
        "lacks": list(theirs.keys() - ours.keys()),
        "has besides": list(ours.keys() - theirs.keys()),
        "has in another form": [f"{n} ({ours[n]}, not {theirs[n]})" for n in shared if ours[n] != theirs[n]],
    }
    if texts := [f"{kind} {some(names)}" for kind, names in kinds.items() if names]:
        raise DdpmRtError(f"{weights} does not fit the plan: it {'; it '.join(texts)}; build a plan of it")
    if found.sha256 != wanted.sha256:
        opsets = f", its opset {found.opset}, the plan's {wanted.opset}" if found.opset != wanted.opset else ""
        raise DdpmRtError(
            f"{weights} has the plan's weights in another graph{opsets}; export it with the options and versions that "
            "the plan's was exported with, or build a plan of it"
        )


def check_stripped(weights: Path, digests: dict[str, str], record: PlanRecord) -> None:
    """A stripped plan is optimised for its weights: others would give anything. Raises DdpmRtError."""
    if record.build.options.get("strip_weights") and sorted(digests.values()) != sorted(record.build.onnx.values()):
        wanted = ", ".join(f"{name} {digest[:12]}" for name, digest in record.build.onnx.items())
        raise DdpmRtError(
            f"{weights} is not what the plan was built from, {wanted}; a stripped plan takes no other weights, for "
            "these build it with --refittable"
        )


def tensorrt_for(plan: Path, record: PlanRecord) -> Any:
    """The module that runs the plan. Raises DdpmRtError where it is not there, is another, or there is no GPU."""
    build = record.build
    _, trt = load_tensorrt(build.flavour)
    if trt.__version__ != build.version and not build.options.get("version_compatible"):
        name = FLAVOURS[build.flavour]
        raise DdpmRtError(f"{plan} is of {name} {build.version} and runs on no other, here is {trt.__version__}")
    if not gpus():
        raise DdpmRtError("a plan is refitted on the GPU that it is for, and there is none here; see `ddpm-rt doctor`")
    return trt


def check_name(content: bytes, record: PlanRecord) -> None:
    """Raises DdpmRtError unless TensorRT has kept the network's name, without which no record could be this plan's."""
    if names_in(content) != {record.name}:
        raise DdpmRtError("TensorRT has not kept the network's name in the refitted plan; build a plan instead")
