"""Part sanitizer: NVIDIA's compute-sanitizer over a small run of the loop."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ddpm_rt.requests.request import Request

from .check import Ask, Check, NotHereError, Outcome, attempt, held
from .modes import MODES, in_mode
from .step import cases, compare

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
SCRIPT = Path(__file__).parents[1] / "gpu_check.py"
TOOL_SECONDS = 240  # of one tool


def sanitizer() -> str:
    """The path of compute-sanitizer. Raises NotHereError if it is not installed."""
    for folder in (None, *PLACES):
        if found := shutil.which("compute-sanitizer", path=folder):
            return found
    raise NotHereError("compute-sanitizer is not installed; it comes with the CUDA toolkit")


def run(tool: str) -> Outcome:
    """Run the part sanitized under one tool, which exits with 77 if it finds errors."""
    with tempfile.TemporaryDirectory() as folder:
        here = [sys.executable, str(SCRIPT), "--part", "sanitized", "--rows", str(Path(folder) / "rows"), "--quick"]
        command = [sanitizer(), "--tool", tool, "--error-exitcode", "77", *here]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS)
    said = [line.strip("= ") for line in done.stdout.splitlines() if " SUMMARY: " in line]
    return held(done.returncode == 0, said[-1] if said else f"exit code {done.returncode}: {done.stderr[-200:]!r}")


def checks(ask: Ask) -> Iterator[Check]:
    """Every tool of compute-sanitizer; with --quick, only memcheck."""
    for tool in TOOLS if not ask.quick else TOOLS[:1]:
        yield attempt(f"{tool} has nothing to say", lambda tool=tool: run(tool))


def sanitized(ask: Ask) -> Iterator[Check]:
    """The run under the sanitizer: step tables of all kinds and all modes, at small sizes."""
    for one in list(cases())[::4]:
        yield attempt(one.name, lambda one=one: compare(ask.device, one))
    request = Request(sampler="ddpm", steps=20, count=3, batch=2)
    for mode in MODES:
        yield attempt(mode, lambda mode=mode: in_mode(ask.device, request, (1, 5, 5), mode, streams=2))
