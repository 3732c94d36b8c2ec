"""The chains of tests/golden, run by the loop in NumPy, by the CUDA kernels on the host and by fused graphs."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ddpm_rt import ModelCard
from ddpm_rt.artifacts.steps_file import read_steps
from ddpm_rt.device.lanes import lanes_of, rows_of
from ddpm_rt.samplers.compiled_sampler import CompiledSampler

ROOT = Path(__file__).parents[2]
FOLDERS = {1: ROOT / "tests/golden", 2: ROOT / "tests/golden/format2"}  # by the format of cards and steps files
INT64, FLOAT32 = 0, 2  # types of t in the kernels


def counts() -> dict[int, int]:
    """The number of chains, by format."""
    return {number: len(_known(folder)) for number, folder in FOLDERS.items()}


class GoldenChain(NamedTuple):
    """A chain, and the bits of its last x and x0."""

    script: ModuleType  # scripts/make_golden.py
    card: ModelCard
    compiled: CompiledSampler
    x: list[int]
    x0: list[int]

    @property
    def labels(self) -> Any:
        return None if self.card.classes is None else np.array(self.script.LABELS)

    @property
    def samples(self) -> range:
        return range(self.script.FIRST, self.script.FIRST + self.script.COUNT)

    @property
    def guidance(self) -> float:
        return 1.0 if self.card.classes is None else float(self.script.GUIDANCE)

    @property
    def is_whole(self) -> bool:
        """Whether the network can take integer times."""
        return bool(self.card.betas) and bool((self.compiled.table.t == np.trunc(self.compiled.table.t)).all())


def tally(same: Callable[[GoldenChain], bool], number: int) -> str:
    """How many golden chains of a format end in the golden bits."""
    found = [same(chain) for chain in golden_chains(number)]
    return f"{sum(found)} of {len(found)}"


def golden_chains(number: int) -> Iterator[GoldenChain]:
    from repository import load_script

    script = load_script("make_golden")
    kinds = script.CHAINS if number == 1 else script.CHAINS_2
    for known in _known(FOLDERS[number]):
        card = script.golden_card(**kinds[known["name"]][0])
        compiled = read_steps(FOLDERS[number] / f"{known['name']}.steps.json", card)
        yield GoldenChain(script, card, compiled, known["x"], known["x0"])


def _known(folder: Path) -> list[dict[str, Any]]:
    chains: list[dict[str, Any]] = json.loads((folder / "chains.json").read_text())["chains"]
    return chains


def same_in_numpy(chain: GoldenChain) -> bool:
    x, x0 = chain.script.run(chain.card, chain.compiled)
    return bool(chain.script.bits(x) == chain.x and chain.script.bits(x0) == chain.x0)


def same_on_kernels(host: Any, chain: GoldenChain) -> bool:
    """With the source of the CUDA kernels: `host` is a StepHost."""
    from step_host import HostChain

    script, card, table = chain.script, chain.card, chain.compiled.table
    guided, shape = chain.labels is not None, card.image_shape
    lanes = lanes_of(
        script.SEED, chain.samples, end=table.steps, guidance=chain.guidance, initial_scale=chain.compiled.initial_scale
    )
    learned = card.variance.startswith("learned")
    rows, t = rows_of(table, chain.compiled.clip), INT64 if chain.is_whole else FLOAT32
    run = HostChain(host, rows, lanes, math.prod(shape), learned=learned, guided=guided, t=t)
    engine, before = script.Answers(card), np.zeros_like(run.x0)
    labels = None if not guided else np.concatenate([chain.labels, np.full(script.COUNT, card.null_class)])
    run.run("ddpm_rt_begin")
    for row in range(table.steps):
        x = run.x.reshape(-1, *shape)
        inputs = {card.prev_x0: before.reshape(x.shape)} if card.prev_x0 else None
        run.out[:] = engine(x, run.t, labels, inputs).reshape(run.out.shape)
        run.run("ddpm_rt_step", shuffle=row)
        before = run.x0.copy()
    x, x0 = run.x[: script.COUNT], run.x0[: script.COUNT]
    return bool(script.bits(x) == chain.x and script.bits(x0) == chain.x0)


def same_when_fused(folder: Path, chain: GoldenChain) -> bool:
    """With a graph of ddpm-rt fuse, whose output is x alone."""
    from ddpm_export.fuse.fuse import fuse
    from ddpm_rt.engines.fused import FusedRunner

    model, fused = folder / "golden.onnx", folder / "golden.chain.onnx"
    write_answers(model, chain)
    fuse(model, chain.compiled, fused, guidance=chain.guidance, threads=1)
    x = FusedRunner(fused, threads=1)(chain.script.SEED, chain.samples, chain.labels)
    return bool(chain.script.bits(x) == chain.x)


def write_answers(path: Path, chain: GoldenChain) -> None:
    """The network of the golden chains as a graph: a table of its answers by row, image and label."""
    from condition_files import FLOAT, save_graph
    from condition_files import INT64 as LONG
    from onnx import helper

    script, card, table = chain.script, chain.card, chain.compiled.table
    channels = card.image_shape[0] * (2 if card.variance.startswith("learned") else 1)
    sides, classes = (channels, *card.image_shape[1:]), card.classes or 1
    row, image, label, place = np.mgrid[: table.steps, : script.COUNT, :classes, : math.prod(sides)]
    answers = script.answer(row, image, place, label)
    constants = {
        "answers": answers.reshape(-1, answers.shape[-1]), "times": table.t.astype(np.float32)[None],
        "column": np.array([1]), "count": np.array(script.COUNT), "classes": np.array(classes), "zero": np.array(0),
        "one": np.array(1), "sides": np.array([-1, *sides]), "half": np.array(0.5, np.float32),
    }  # fmt: skip
    lines = [
        ("Cast", "t", "time", {"to": FLOAT}), ("Unsqueeze", "time column", "rows", {}),
        ("Equal", "rows times", "is row", {}), ("Cast", "is_row", "found", {"to": FLOAT}),
        ("ArgMax", "found", "row", {"axis": 1, "keepdims": 0}), ("Shape", "x", "shape", {}),
        ("Gather", "shape zero", "batch", {}), ("Range", "zero batch one", "places", {}),
        ("Mod", "places count", "image", {}), ("Mul", "row count", "first", {}), ("Add", "first image", "entry", {}),
        ("Mul", "entry classes", "classed", {}),
        ("Add", "classed " + ("y" if card.classes else "zero"), "index", {}),
        ("Gather", "answers index", "flat", {}), ("Reshape", "flat sides", "answer", {}),
    ]  # fmt: skip
    lines += [("Mul", "before half", "kept", {})] if card.prev_x0 else []
    lines += [("Add", "answer kept", "out", {}) if card.prev_x0 else ("Identity", "answer", "out", {})]
    nodes = [helper.make_node(kind, given.split(), [out.replace(" ", "_")], **more) for kind, given, out, more in lines]
    batch = ["batch", *card.image_shape]
    inputs = [("x", FLOAT, batch), ("t", LONG if chain.is_whole else FLOAT, ["batch"])]
    inputs += [("y", LONG, ["batch"])] if card.classes else []
    inputs += [("before", FLOAT, batch)] if card.prev_x0 else []
    save_graph(path, nodes, inputs, ("out", FLOAT, ["batch", *sides]), constants, card)
