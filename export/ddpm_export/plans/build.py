"""Build `unet.plan` and its record `unet.plan.json` from `unet.onnx`: both files are written, or neither."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import onnx

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.fitted_tables import fitted_tables
from ddpm_rt.artifacts.fused_chain import read_network_card
from ddpm_rt.artifacts.onnx_types import contradiction, graph_precision
from ddpm_rt.artifacts.output_path import check_target
from ddpm_rt.artifacts.plan_build import Build, Flavour
from ddpm_rt.artifacts.plan_record import PlanRecord, network_name, read_plan
from ddpm_rt.device.gpus import gpus
from ddpm_rt.engines.tensorrt_log import make_log

from ..graph.identity import graph_of
from ..graph.onnx_file import load_onnx
from .build_options import BuildOptions
from .builder import build_network
from .pair import check_pair, settle_pair, write_pair
from .tensorrt_api import Report, load_tensorrt


def build_plan(
    source: Path,
    plan: Path,
    options: BuildOptions,
    *,
    flavour: Flavour | Literal["auto"] = "auto",
    timing_cache: Path | None = None,
    force: bool = False,
    report: Report = lambda share: None,
    show: Callable[[str], object] | None = None,
) -> tuple[PlanRecord, bool]:
    """Build `source`, an ONNX file with a card, into `plan` and its record. Returns the record, and whether it built.

    Without `force`, an existing plan is kept if the same ONNX file, options and TensorRT would build it. Raises
    ValueError for options that the flavour lacks, and DdpmRtError when the model or the machine does not
    allow the build. Both files then stay unchanged.
    """
    check_pair(plan)
    if timing_cache is not None:
        check_target(timing_cache)
    card, digests = read_source(source)
    chosen, trt = load_tensorrt(flavour)
    options.check_flavour(chosen)
    there = machine(chosen, options)
    wanted: dict[str, Any] = {"flavour": chosen, "version": str(trt.__version__), "compute_capabilities": there}
    wanted |= {"options": options.record(), "onnx": digests}
    if not force and (known := unchanged(plan, wanted)):
        settle_pair(plan)
        return known, False
    log = make_log(trt, show)
    name = network_name(card)
    network = build_network(trt, chosen, source, name, options, timing_cache, log=log)
    check_types(source, card, network.layers())
    built = network.build(report)
    content = bytes(built.content)
    graph = graph_of(source) if options.replaceable else None
    build = Build(**wanted, profiles=built.profiles, tensors=built.tensors, layers=built.layers, graph=graph)
    digest = hashlib.sha256(content).hexdigest()
    tables = {str(calls): text for calls, text in fitted_tables(source).items()}
    record = PlanRecord(card, build, len(content), digest, steps=tables)
    write_pair(plan, content, record)
    if timing_cache is not None:
        learnt = network.timing_cache()
        replace_file(timing_cache, lambda temporary: temporary.write_bytes(learnt))
    return record, True


def read_source(source: Path) -> tuple[ModelCard, dict[str, str]]:
    """The card in an ONNX file, and the SHA-256 of the file and of each external data file, by file name.

    Raises DdpmRtError if a file or the card is missing, or the ONNX file is damaged.
    """
    if not source.is_file():
        raise DdpmRtError(f"{source} is not a file; name an .onnx that `ddpm-rt export` wrote")
    card = read_network_card(source)
    model = load_onnx(source, external=False)
    digests = {source.name: file_sha256(source)}
    for name in sorted(set(external_files(model))):
        data = source.parent / name
        if not data.is_file():
            raise DdpmRtError(f"{source}: its weights are in {name}, which is missing; put {name} beside it")
        digests[name] = file_sha256(data)
    if wrong := contradiction(card.precision, graph_precision(source)):
        raise DdpmRtError(f"{source}: {wrong}, so it was changed after its card was written; run `ddpm-rt card`")
    return card, digests


def external_files(model: onnx.ModelProto) -> Iterator[str]:
    """The names of the external data files, with repeats."""
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def machine(flavour: Flavour, options: BuildOptions) -> tuple[str, ...]:
    """The compute capabilities of the plan. Raises DdpmRtError if the build needs a GPU and none is found."""
    found = gpus()
    if flavour == "tensorrt":
        if not found:
            raise DdpmRtError("TensorRT builds a plan on its target GPU, but no GPU was found; see `ddpm-rt doctor`")
        return ("8.0+" if options.hardware_compatible == "ampere+" else found[0].compute_capability,)
    if options.replaceable and not found:
        raise DdpmRtError("TensorRT-RTX needs a GPU to build a refittable or stripped plan; build it on such a machine")
    return options.compute_capability or ("8.0+",)  # TensorRT-RTX's default


def unchanged(plan: Path, wanted: dict[str, Any]) -> PlanRecord | None:
    """The record of `plan` if the plan is intact, not refitted, and has the build facts `wanted`, else None."""
    if not plan.is_file():
        return None
    try:
        record = read_plan(plan)
    except DdpmRtError:
        return None
    same = all(getattr(record.build, key) == value for key, value in wanted.items())
    return record if same and record.refit is None else None


def check_types(source: Path, card: ModelCard, layers: dict[str, dict[str, int]]) -> None:
    """Raises DdpmRtError unless all convolutions have a type of the card's precision, such as `fp32+int8`."""
    found = set(layers.get("convolution", ()))
    if found - set(card.precision.split("+")):
        types = " and ".join(sorted(found))
        raise DdpmRtError(
            f"{source}: the card says {card.precision}, but the convolutions are {types}; export it again"
        )
