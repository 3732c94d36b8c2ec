"""The parts by name, in their order, and the code that runs one part in its own process."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ddpm_rt.errors import DdpmRtError

from .check import Ask, Check, run_part
from .machine import describe

PARTS = {  # the function of each part, imported only when it runs: torch is slow to import. What tells most is first
    "noise": "noise:checks",
    "step": "step:checks",
    "toy": "modes:checks",
    "unet": "unet:checks",
    "times": "race:checks",
    "fitted": "fitted:checks",
    "ort": "providers:ort_checks",
    "tensorrt": "providers:tensorrt_checks",
    "int8": "int8:checks",
    "sanitizer": "sanitizer:checks",
    "kernel": "timing:checks",
    "memory": "memory:checks",
    "compiled": "race:compiled_checks",
}
INNER = {"sanitized": "sanitizer:sanitized"}  # the run that the part sanitizer examines

Open = Callable[[], Any]  # the device; raises DdpmRtError where there is none


def checks_of(name: str, open_device: Open, *, quick: bool, batches: tuple[int, ...]) -> Iterator[Check]:
    """All checks of a part. Without a GPU, one check with the state "not run"."""
    try:
        device = open_device()
    except DdpmRtError as error:
        reason = str(error).split(";")[0]  # the rest is advice for sampling
        yield Check(f"{name}: everything", "not run", reason, {})
        return

    def part(ask: Ask) -> Iterator[Check]:
        module, function = {**PARTS, **INNER}[name].split(":")
        yield from getattr(import_module(f"{__package__}.{module}"), function)(ask)

    yield from run_part(name, part, Ask(device, quick, batches))


def write_rows(path: Path, name: str, open_device: Open, *, quick: bool, batches: tuple[int, ...]) -> bool:
    """Run a part and write lines of JSON as it runs: the machine, then the checks. Returns whether none failed."""
    failed = False
    with path.open("w") as file:

        def write(line: object) -> None:
            print(json.dumps(line), file=file, flush=True)

        def opened() -> Any:
            device = open_device()
            write({"machine": describe(device)})
            return device

        for check in checks_of(name, opened, quick=quick, batches=batches):
            write({"check": check._asdict()})
            print(f"{name}: {check.name}: {check.state}", file=sys.stderr, flush=True)
            failed |= check.state == "FAIL"
    return not failed
