"""Rows of NumPy, the CUDA kernels as host code, and fused graphs."""

import json
import tempfile
from pathlib import Path

import numpy as np
from node_runs import run_nodes
from step_host import StepHost, compile_step_host
from step_loop import TABLES, check_chain

from ddpm_export.fuse.exponential_nodes import exponential
from ddpm_export.fuse.fuse import fuse
from ddpm_export.fuse.nodes import Constants, Nodes
from ddpm_export.fuse.noise_nodes import noise_inputs, normals, step_words
from ddpm_rt import Request
from ddpm_rt.artifacts.steps_file import read_steps
from ddpm_rt.engines.fused import FusedRunner, signed
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.samplers import SAMPLERS

from .measured import (
    FIRST,
    MODEL_STEPS,
    SAMPLES,
    SEED,
    SIZE,
    STEP,
    Cells,
    distance,
    exp_inputs,
    expected_exp,
    expected_noise,
    milliseconds,
    same_bits,
    without,
)  # fmt: skip
from .world import World


def numpy_row(world: World) -> Cells:
    def chains() -> str:
        golden = world.golden_script
        known = json.loads((world.root / "tests/golden/chains.json").read_text())["chains"]
        same = 0
        for chain in known:
            card = golden.golden_card(**golden.CHAINS[chain["name"]][0])
            x, x0 = golden.run(card, read_steps(world.root / f"tests/golden/{chain['name']}.steps.json", card))
            same += golden.bits(x) == chain["x"] and golden.bits(x0) == chain["x0"]
        return f"{same} of {len(known)} golden"

    def step() -> str:
        return milliseconds(world.draw, MODEL_STEPS)

    return Cells("NumPy", _reference, _reference, chains, _reference, step)


def _reference() -> str:
    return "the reference"


def host_kernels_row(world: World) -> Cells:
    """The source of the CUDA kernels, compiled by g++ as tests/support does."""
    folder = Path(tempfile.mkdtemp(dir=world.folder))
    compile_step_host(folder)
    host = StepHost(folder / "step_host.so")

    def noise() -> str:
        found = [host.normals(SEED, FIRST + sample, STEP, 0, SIZE // 4) for sample in range(SAMPLES)]
        return same_bits(np.concatenate(found), expected_noise())

    def chains() -> str:
        same = 0
        for table in TABLES.values():
            learned = bool(table.log_sigma_from_spread.any())
            try:
                check_chain(host, table, 15, clip=(-1.0, 1.0), learned=learned, guided=False)
                same += 1
            except AssertionError:
                continue
        return f"{same} of {len(TABLES)} tables"

    no_network = without("no GPU here: a stand-in runs no network")
    return Cells(
        "CUDA kernels on the host", noise, lambda: same_bits(host.exp(exp_inputs()), expected_exp()), chains,
        no_network, no_network,
    )  # fmt: skip


def fused_row(world: World) -> Cells:
    def noise() -> str:
        nodes = Nodes(Constants(), "table")
        known = noise_inputs(nodes, "seed", "sample", nodes.call("Shape", "sample"), SIZE)
        z = normals(nodes, known, step_words([STEP])[0], (1, 1, SIZE))
        inputs = {"seed": signed([SEED]).reshape(()), "sample": signed(range(FIRST, FIRST + SAMPLES))}
        return same_bits(run_nodes(nodes, inputs, z), expected_noise())

    def exponentials() -> str:
        nodes = Nodes(Constants(), "table")
        return same_bits(run_nodes(nodes, {"x": exp_inputs()}, exponential(nodes, "x")), expected_exp())

    def chains() -> str:
        same = 0
        for name in SAMPLERS:
            sampler, model = world.toy(name)
            fuse(model, sampler, world.folder / "toy.onnx", threads=1)
            with OrtDenoiser(model, threads=1) as engine:
                expected = Request(seed=SEED, first=FIRST, count=3, compiled=sampler).drawn(engine)
            found = FusedRunner(world.folder / "toy.onnx", threads=1)(SEED, range(FIRST, FIRST + 3))
            same += found.tobytes() == expected.tobytes()
        return f"{same} of {len(SAMPLERS)} samplers"

    def chain() -> FusedRunner:
        path = world.folder / "chain.onnx"
        fuse(world.model, world.sampler, path)
        return FusedRunner(path)

    def step() -> str:
        runner = chain()
        return milliseconds(lambda: runner(SEED, world.samples), MODEL_STEPS)

    return Cells(
        "fused ONNX", noise, exponentials, chains, lambda: distance(chain()(SEED, world.samples), world.images), step
    )
