"""From `unet.onnx` to `unet.plan` and `unet.plan.json`, together or not at all."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import onnx

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.card import METADATA_KEY
from ddpm_rt.device.tensorrt_log import make_log
from ddpm_rt.doctor import gpus
from ddpm_rt.files import check_writable, file_sha256, replace_file
from ddpm_rt.onnx_card import no_card
from ddpm_rt.onnx_types import contradiction, graph_precision
from ddpm_rt.plan import Build, Flavour, PlanRecord, network_name, read_plan, sidecar_path

from .build_options import BuildOptions
from .graph_identity import graph_of
from .plan_builder import build_network
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
    """Build `source`, an ONNX file with a card, into `plan` and its record; returns it, and whether it was built.

    What is there already is kept if ONNX, options and TensorRT are those it was built with, unless `force`. Raises
    ValueError for options that the flavour lacks, DdpmRtError for a model or a machine that does not do it; then both
    files are as they were.
    """
    check_writable(plan.parent)
    card, digests = read_model(source)
    chosen, trt = load_tensorrt(flavour)
    options.check_flavour(chosen)
    there = machine(chosen, options)
    wanted: dict[str, Any] = {"flavour": chosen, "version": str(trt.__version__), "compute_capabilities": there}
    wanted |= {"options": options.record(), "onnx": digests}
    if not force and (known := unchanged(plan, wanted)):
        return known, False
    log = make_log(trt, show)
    name = network_name(card)
    network = build_network(trt, chosen, source, name, options, timing_cache, log=log)
    check_types(source, card, network.layers())
    built = network.build(report)
    content = bytes(built.content)
    graph = graph_of(source) if options.replaceable else None
    build = Build(**wanted, profiles=built.profiles, tensors=built.tensors, layers=built.layers, graph=graph)
    record = PlanRecord(card, build, len(content), hashlib.sha256(content).hexdigest())
    write_pair(plan, content, record)
    if timing_cache is not None:
        learnt = network.timing_cache()
        replace_file(timing_cache, lambda temporary: temporary.write_bytes(learnt))
    return record, True


def read_model(source: Path) -> tuple[ModelCard, dict[str, str]]:
    """The card in an ONNX file; SHA-256 of it and of its external data. Raises DdpmRtError if one is missing."""
    if not source.is_file():
        raise DdpmRtError(f"{source} is not a file; name an .onnx that `ddpm-rt export` wrote")
    try:
        model = onnx.load(source, load_external_data=False)
    except Exception as error:  # of protobuf's kind, which is not ours to import
        raise DdpmRtError(f"{source} is no ONNX file, or only a part of one; export the model again") from error
    if not model.HasField("graph"):
        raise DdpmRtError(f"{source} is not a whole ONNX model; export the model again")
    cards = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    if not cards:
        raise no_card(source)
    digests = {source.name: file_sha256(source)}
    for name in sorted(set(external_files(model))):
        data = source.parent / name
        if not data.is_file():
            raise DdpmRtError(f"{source}: its weights are in {name}, which is missing; put it beside it")
        digests[name] = file_sha256(data)
    card = ModelCard.from_json(cards[0], source=str(source))
    if wrong := contradiction(card.precision, graph_precision(source)):
        raise DdpmRtError(
            f"{source}: {wrong}: it was changed after its card was written; write one with `ddpm-rt card`"
        )
    return card, digests


def external_files(model: onnx.ModelProto) -> Iterator[str]:
    """Names of the files that hold weights outside of the ONNX file."""
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def machine(flavour: Flavour, options: BuildOptions) -> tuple[str, ...]:
    """The compute capabilities that a plan will be for. Raises DdpmRtError where a GPU is needed and there is none."""
    found = gpus()
    if flavour == "tensorrt":
        if not found:
            raise DdpmRtError("TensorRT builds on the GPU that it is for, and there is none here; see `ddpm-rt doctor`")
        return ("8.0+" if options.hardware_compatible == "ampere+" else found[0].compute_capability,)
    if options.replaceable and not found:
        raise DdpmRtError("TensorRT-RTX makes a refittable or stripped plan only where there is a GPU")
    return options.compute_capability or ("8.0+",)  # what it builds for when it is not told


def unchanged(plan: Path, wanted: dict[str, Any]) -> PlanRecord | None:
    """The record of `plan` if it is whole and building it again would make the same."""
    if not plan.is_file():
        return None
    try:
        record = read_plan(plan)
    except DdpmRtError:
        return None
    same = all(getattr(record.build, key) == value for key, value in wanted.items())
    return record if same and record.refit is None else None


def check_types(source: Path, card: ModelCard, layers: dict[str, dict[str, int]]) -> None:
    """Raises DdpmRtError unless the convolutions are of the precision that the card says."""
    found = set(layers.get("convolution", ()))
    if found - {card.precision}:
        types = " and ".join(sorted(found))
        raise DdpmRtError(f"{source}: the card says {card.precision}, its convolutions are {types}; export it again")


def write_pair(plan: Path, content: bytes, record: PlanRecord) -> None:
    """Both files whole before either has its name."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)
        replace_file(sidecar_path(plan), lambda other: other.write_text(record.to_json(), encoding="utf-8"))

    replace_file(plan, write)
