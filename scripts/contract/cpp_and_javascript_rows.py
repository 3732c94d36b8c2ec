"""Rows of C++ and of JavaScript."""

import json
import re
import shutil
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_rt.include import include_folder

from .golden import counts
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
)  # fmt: skip
from .world import World

ARM_COMPILER = "aarch64-linux-gnu-gcc"
PRINTED = re.compile(r"(\d+\.\d+) s")


def cpp_rows(world: World, build: Path) -> list[Cells]:
    """`build` is where scripts/cpp_test.sh built: the bits come from the headers, the chains from its tests."""
    emulator = [build / "deps/bin/qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
    arm = _cpp(world, "C++, aarch64", build / "arm", ARM_COMPILER, emulator)
    return [_cpp(world, "C++, x86-64", build / "gcc", "gcc", []), arm]


def _cpp(world: World, name: str, build: Path, compiler: str, emulator: list[Any]) -> Cells:
    program, out = build / "ddpm-rt-cpp", world.folder / f"{build.name}.npy"

    @cache
    def drawn() -> str:
        if not program.is_file():
            raise Missing("run scripts/cpp_test.sh, with the word arm, first")
        steps = world.folder / "model.steps.json"
        asked = ["--seed", SEED, "--first", FIRST, "--count", MODEL_COUNT, "--out", out]
        asked += [word for label in world.asked for word in ("--label", label)]
        return output_of(["sh", "-c", '"$@" 2>&1', "sh", *emulator, program, world.model, steps, *asked])

    def images() -> str:
        drawn()
        return distance(np.load(out), world.images)

    def step() -> str:
        if emulator:
            raise Missing("an emulator's time means nothing")
        seconds = PRINTED.search(drawn())
        if seconds is None:
            raise Missing("ddpm-rt-cpp printed no time")
        return f"{1000 * float(seconds[1]) / MODEL_STEPS:.2f}"

    chains = partial(_golden, [*emulator, build / "tests/test_core"])
    return Cells(name, *_headers(world, compiler, emulator), chains, images, step)


def _headers(world: World, compiler: str, emulator: list[Any]) -> tuple[Any, Any]:
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


def _golden(command: list[Any], number: int) -> str:
    """Whether the test of runtime/cpp on the golden chains of both formats passes."""
    if not Path(command[-1]).is_file():
        raise Missing("run scripts/cpp_test.sh, with the word arm, first")
    said = output_of([*command, "--test-case=given the same answers*"])
    passed = re.search(r"test cases:\s+(\d+) \|\s+\1 passed", said)
    if passed is None or passed[1] == "0":
        raise Missing("the test of the golden chains did not pass")
    return f"{counts()[number]} of {counts()[number]}"


def javascript_rows(world: World) -> list[Cells]:
    """Both run runtime/js/test/contract.mjs, which prints one JSON object."""
    return [_javascript(world, "Node", "node"), _javascript(world, "Chromium", "chromium")]


def _javascript(world: World, name: str, where: str) -> Cells:
    out = world.folder / f"{where}.f32"

    @cache
    def said() -> dict[str, Any]:
        if shutil.which("node") is None:
            raise Missing("Node.js is not installed")
        labels = ",".join(map(str, world.asked))
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
        lambda number: f"{said()['chains'][number - 1]} of {counts()[number]}",
        images,
        lambda: f"{said()['ms'] / MODEL_STEPS:.2f} ({said()['noiseMs']:.2f})",
    )
