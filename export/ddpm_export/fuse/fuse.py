"""A model and a steps file to one ONNX file that draws whole images, compared with the loop before it is kept."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.artifacts.bounded_read import failure
from ddpm_rt.artifacts.card import METADATA_KEY, ModelCard
from ddpm_rt.artifacts.digest import array_sha256, file_sha256
from ddpm_rt.artifacts.fused_chain import FusedChain, FusedFacts, read_network_card
from ddpm_rt.artifacts.onnx_metadata import PROTOBUF_BYTES
from ddpm_rt.engines.fused import FusedRunner
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.images.write import to_pixels
from ddpm_rt.requests.inputs import as_inputs
from ddpm_rt.requests.request import Request
from ddpm_rt.samplers.compiled_sampler import CompiledSampler
from ddpm_rt.samplers.table import StepTable

from .chain import ChainSettings, Image, chain_model
from .network import Network, check_guidance, read_network

ROWS = 8  # of the table that the comparison runs
SEED, FIRST = (1 << 64) - 2, (1 << 63) - 1  # of the comparison: both exceed what a careless int64 could hold
# Both sides run the same network on the same rows. What remains is the order of sums in another batch or in another
# optimisation of the graph, which eight rows of a sharp table may amplify; a wrong formula is off by 1e-2 and more.
TOLERANCE = 1e-3

Report = Callable[[str], object]


def fuse(
    model: Path,
    sampler: CompiledSampler,
    out: Path,
    *,
    guidance: float = 1.0,
    null_inputs: Mapping[str, Any] | None = None,
    image: Image = "float32",
    threads: int | None = None,
    report: Report = lambda stage: None,
) -> float:
    """Write the chain of `sampler`, compiled for `model`, to `out`. Returns the largest difference from the loop.

    `null_inputs`, for guidance, has one value for each input, a number or an array of its shape, which is fixed in the
    file. The comparison runs two samples over at most ROWS rows of the table, those of both ends among them, with
    random numbers as conditions, or 0 and 1 where they are integers.
    Raises ValueError for guidance, null inputs or a type of image that the model does not allow, DdpmRtError, and
    leaves no file, where the network cannot be part of a chain or the images differ.
    """
    card = read_network_card(model)
    if image == "uint8" and not card.is_picture:
        raise ValueError("the model draws no pictures of 1 or 3 channels; leave out --uint8")
    request = _request(card, sampler, guidance, null_inputs)
    request.bind(card)
    null = {name: as_inputs(null_inputs).entries(name, card.inputs[name]) for name in null_inputs or {}}
    if several := [name for name, value in null.items() if len(value) > 1]:
        raise ValueError(f"the null input {several[0]!r} is fixed in the file and must be one entry")
    network = read_network(model, card)
    check_guidance(model, network, guidance)
    hashes = {name: array_sha256(value) for name, value in null.items()}
    facts = FusedFacts(image, guidance, file_sha256(model), hashes)
    settings = ChainSettings(sampler, guidance, image, null)
    measured: list[float] = []

    def write(temporary: Path) -> None:
        report("comparing with the loop")
        few = sampler._replace(table=_some_rows(sampler.table))
        _save(network, settings._replace(sampler=few), facts, temporary)
        measured.append(_difference(model, temporary, replace(request, compiled=few), image, threads))
        report("writing")
        _save(network, settings, facts, temporary)

    replace_file(out, write)
    return measured[0]


def _some_rows(table: StepTable) -> StepTable:
    rows = np.unique(np.linspace(0, table.steps - 1, min(table.steps, ROWS)).round().astype(int))
    return StepTable(*(column[rows] for column in table))


def _save(network: Network, settings: ChainSettings, facts: FusedFacts, path: Path) -> None:
    chain = chain_model(network, settings)
    texts = FusedChain(network.card, settings.sampler, facts).metadata()
    onnx.helper.set_model_props(chain, {METADATA_KEY: network.card.to_json(), **texts})
    if chain.ByteSize() >= PROTOBUF_BYTES:
        raise failure(
            path, f"would be larger than one ONNX file can be, {PROTOBUF_BYTES} bytes", "use a smaller network"
        )
    path.write_bytes(chain.SerializeToString(deterministic=True))


def _difference(model: Path, chain: Path, request: Request, image: Image, threads: int | None) -> float:
    """The largest difference between the images of loop and graph. Raises DdpmRtError for too large a one."""
    runner = FusedRunner(chain, threads=threads)
    with OrtDenoiser(model, threads=threads) as engine:
        bound = request.bind(engine.card).for_engine(engine)
        expected = bound.drawn(engine)
        found = runner(request.seed, request.samples, bound.labels(request.samples), bound.inputs(request.samples))
    if image == "uint8":
        off = float(np.abs(found.astype(int) - to_pixels(expected)).max()) / 127.5
        limit = TOLERANCE + 1 / 127.5  # a value at the edge between two bytes may go either way
    else:
        off, limit = float(np.abs(found - expected).max()), TOLERANCE
    if not off <= limit * max(1.0, float(np.abs(expected).max())):
        raise DdpmRtError(f"the fused chain differs from the loop by {off:.2e}, more than {limit:.1e}; not written")
    return off


def _request(
    card: ModelCard, sampler: CompiledSampler, guidance: float, null_inputs: Mapping[str, Any] | None
) -> Request:
    """The samples of the comparison."""
    generator = np.random.default_rng(0)
    inputs = {}
    for name, facts in card.conditions.items():
        shape = (2, *facts.shape)
        inputs[name] = generator.standard_normal(shape) if facts.dtype == "float32" else np.indices(shape)[0]
    request = Request(
        seed=SEED, first=FIRST, count=2, batch=2, compiled=sampler, guidance=guidance, inputs=inputs,
        null_inputs=null_inputs or {},
    )  # fmt: skip
    return request if card.classes is None else replace(request, label=(0, card.classes - 1))
