"""A model and a steps file to one ONNX file that draws whole images, compared with the loop before it is kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.artifacts.bounded_read import failure
from ddpm_rt.artifacts.card import METADATA_KEY, ModelCard
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.fused_chain import FusedChain, FusedFacts, is_fused, not_a_network
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.engines.fused import FusedRunner
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.images.write import to_pixels
from ddpm_rt.requests.labels import check_labels
from ddpm_rt.requests.request import Request
from ddpm_rt.samplers.compiled_sampler import CompiledSampler
from ddpm_rt.samplers.table import StepTable

from ..graph.outside_weights import LIMIT
from .chain import Asked, Image, chain_model
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
    image: Image = "float32",
    threads: int | None = None,
    report: Report = lambda stage: None,
) -> float:
    """Write the chain of `sampler`, compiled for `model`, to `out`. Returns the largest difference from the loop.

    The comparison runs two samples over at most ROWS rows of the table, those of both ends among them.
    Raises ValueError for guidance or a type of image that the model does not allow, DdpmRtError, and leaves no file,
    where the network cannot be part of a chain or the images differ.
    """
    if is_fused(model):
        raise not_a_network(model)
    card = read_onnx_card(model)
    if image == "uint8" and not card.is_picture:
        raise ValueError("the model draws no pictures of 1 or 3 channels; leave out --uint8")
    check_labels(card, None if card.classes is None else (0,), guidance)
    network = read_network(model, card)
    check_guidance(model, network, guidance)
    facts = FusedFacts(image, guidance, file_sha256(model))
    measured: list[float] = []

    def write(temporary: Path) -> None:
        report("comparing with the loop")
        few = sampler._replace(table=_some_rows(sampler.table))
        _save(network, few, facts, temporary)
        measured.append(_difference(model, temporary, few, facts, threads))
        report("writing")
        _save(network, sampler, facts, temporary)

    replace_file(out, write)
    return measured[0]


def _some_rows(table: StepTable) -> StepTable:
    rows = np.unique(np.linspace(0, table.steps - 1, min(table.steps, ROWS)).round().astype(int))
    return StepTable(*(column[rows] for column in table))


def _save(network: Network, sampler: CompiledSampler, facts: FusedFacts, path: Path) -> None:
    image: Image = "uint8" if facts.image == "uint8" else "float32"
    chain = chain_model(network, Asked(sampler, facts.guidance, image))
    texts = FusedChain(network.card, sampler, facts).metadata()
    onnx.helper.set_model_props(chain, {METADATA_KEY: network.card.to_json(), **texts})
    if chain.ByteSize() >= LIMIT:
        raise failure(path, f"would be larger than one ONNX file can be, {LIMIT} bytes", "use a smaller network")
    path.write_bytes(chain.SerializeToString(deterministic=True))


def _difference(model: Path, chain: Path, sampler: CompiledSampler, facts: FusedFacts, threads: int | None) -> float:
    """The largest difference between the images of loop and graph. Raises DdpmRtError for too large a one."""
    runner = FusedRunner(chain, threads=threads)
    with OrtDenoiser(model, threads=threads) as engine:
        request = _request(engine.card, sampler, facts.guidance)
        bound = request.bind(engine.card)
        expected = bound.drawn(engine)
        found = runner(request.seed, request.samples, bound.labels(request.samples))
    if facts.image == "uint8":
        off = float(np.abs(found.astype(int) - to_pixels(expected)).max()) / 127.5
        limit = TOLERANCE + 1 / 127.5  # a value at the edge between two bytes may go either way
    else:
        off, limit = float(np.abs(found - expected).max()), TOLERANCE
    if not off <= limit * max(1.0, float(np.abs(expected).max())):
        raise DdpmRtError(f"the fused chain differs from the loop by {off:.2e}, more than {limit:.1e}; not written")
    return off


def _request(card: ModelCard, sampler: CompiledSampler, guidance: float) -> Request:
    request = Request(seed=SEED, first=FIRST, count=2, batch=2, compiled=sampler, guidance=guidance)
    return request if card.classes is None else replace(request, label=(0, card.classes - 1))
