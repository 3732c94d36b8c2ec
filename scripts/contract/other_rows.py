"""Rows of C++ and of JavaScript."""

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_rt.include import include_folder

from .measured import (
    FIRST,
    MODEL_COUNT,
    MODEL_STEPS,
    SEED,
    Cells,
    Missing,
    distance,
    expected_exp,
    expected_noise,
    floats,
    output_of,
    same_bits,
    same_hash,
    without,
)  # fmt: skip
from .world import World

ARM = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
ORT_ON_ARM = "qemu-user crashes when ONNX Runtime starts"


def cpp_rows(world: World, build: Path) -> list[Cells]:
    """`build` is where scripts/cpp_test.sh built: the bits come from the headers, the chains from its tests."""
    program = build / "gcc" / "ddpm-rt-cpp"
    out = world.folder / "cpp.npy"

    @cache
    def drawn() -> str:
        if not program.is_file():
            raise Missing("run scripts/cpp_test.sh first")
        steps = world.folder / "model.steps.json"
        asked = ["--seed", SEED, "--first", FIRST, "--count", MODEL_COUNT, "--out", out]
        return output_of(["sh", "-c", '"$@" 2>&1', "sh", program, world.model, steps, *asked])

    def images() -> str:
        drawn()
        return distance(np.load(out), world.images)

    def step() -> str:
        seconds = re.search(r"(\d+\.\d+) s", drawn())
        if seconds is None:
            raise Missing("ddpm-rt-cpp printed no time")
        return f"{1000 * float(seconds[1]) / MODEL_STEPS:.2f}"

    return [
        Cells(
            "C++, x86-64", *_headers(world, "gcc", []), lambda: _golden([build / "gcc/tests/test_core"]), images, step
        ),
        Cells(
            "C++, aarch64", *_headers(world, ARM[0], [ARM[1], "-L", "/usr/aarch64-linux-gnu"]),
            lambda: _golden([ARM[1], "-L", "/usr/aarch64-linux-gnu", build / "arm/tests/test_core"]),
            without(ORT_ON_ARM), without("an emulator's time means nothing"),
        ),
    ]  # fmt: skip


def _headers(world: World, compiler: str, emulator: list[str]) -> tuple[Any, Any]:
    """The cells of noise and exponential, from a program that has the headers alone."""

    @cache
    def made() -> tuple[Path, Path]:
        if missing := [tool for tool in (compiler, *emulator[:1]) if shutil.which(tool) is None]:
            raise Missing(f"{missing[0]} is not installed")
        program, files = world.folder / f"headers-{compiler}", [world.folder / f"{kind}-{compiler}" for kind in "ne"]
        source = Path(__file__).with_name("headers.c")
        output_of([compiler, "-O2", "-std=c11", f"-I{include_folder()}", source, "-o", program, "-lm"])
        output_of([*emulator, program, *files])
        return files[0], files[1]

    return (
        lambda: same_bits(floats(made()[0]), expected_noise()),
        lambda: same_bits(floats(made()[1]), expected_exp()),
    )


def _golden(command: list[Any]) -> str:
    """Whether the tests of runtime/cpp on the golden chains pass."""
    if not Path(command[-1]).is_file():
        raise Missing("run scripts/cpp_test.sh, with the word arm, first")
    said = output_of([*command, "--test-case=given the same answers*"])
    passed = re.search(r"test cases:\s+(\d+) \|\s+\1 passed", said)
    if passed is None or passed[1] == "0":
        raise Missing("the test of the golden chains did not pass")
    return "15 of 15 golden"


def javascript_rows(world: World) -> list[Cells]:
    """Both run runtime/js/test/contract.mjs, which prints one JSON object."""
    return [_javascript(world, "Node", "node"), _javascript(world, "Chromium", "chromium")]


def _javascript(world: World, name: str, where: str) -> Cells:
    out = world.folder / f"{where}.f32"

    @cache
    def said() -> dict[str, Any]:
        if shutil.which("node") is None:
            raise Missing("Node.js is not installed")
        labels = "" if world.labels is None else ",".join(map(str, world.labels))
        asked = [world.model, world.folder / "model.steps.json", SEED, FIRST, MODEL_COUNT, labels, out]
        script = world.root / "runtime/js/test/contract.mjs"
        found: dict[str, Any] = json.loads(output_of(["node", script, where, *asked]).splitlines()[-1])
        return found

    def images() -> str:
        said()
        return distance(floats(out), world.images)

    return Cells(
        name,
        lambda: same_hash(said()["noise"], expected_noise()),
        lambda: same_hash(said()["exp"], expected_exp()),
        lambda: f"{said()['chains']} of 15 golden",
        images,
        lambda: f"{said()['ms'] / MODEL_STEPS:.2f}",
    )
