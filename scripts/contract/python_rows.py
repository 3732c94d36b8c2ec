"""Rows of NumPy, the CUDA kernels as host code, and fused graphs."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from node_runs import run_nodes
from step_host import StepHost, compile_step_host

from ddpm_export.fuse.exponential_nodes import exponential
from ddpm_export.fuse.fuse import fuse
from ddpm_export.fuse.nodes import Constants, Nodes
from ddpm_export.fuse.noise_nodes import noise_inputs, normals, step_words
from ddpm_rt.engines.fused import FusedRunner, signed
from ddpm_rt.noise import normal

from .golden import same_in_numpy, same_on_kernels, same_when_fused, tally
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
    def step() -> str:
        def noise() -> None:
            for step in range(100):
                normal(SEED, world.samples, step, world.images[0].size)

        return f"{milliseconds(world.draw, MODEL_STEPS):.2f} ({milliseconds(noise, 100):.2f})"

    return Cells("NumPy", _reference, _reference, partial(tally, same_in_numpy), _reference, step)


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

    def chains(number: int) -> str:
        return tally(partial(same_on_kernels, host), number)

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

    def chains(number: int) -> str:
        return tally(partial(same_when_fused, world.folder), number)

    def chain() -> FusedRunner:
        path = world.folder / "chain.onnx"
        fuse(world.model, world.sampler, path)
        return FusedRunner(path)

    def step() -> str:
        runner = chain()
        return f"{milliseconds(lambda: runner(SEED, world.samples, world.labels), MODEL_STEPS):.2f}"

    return Cells(
        "fused ONNX",
        noise,
        exponentials,
        chains,
        lambda: distance(chain()(SEED, world.samples, world.labels), world.images),
        step,
    )
