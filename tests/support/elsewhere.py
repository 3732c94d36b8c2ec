"""Runs a function in a new thread, and code in a new process."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def in_new_thread(function: Callable[[], Any]) -> Any:
    """The result of a function in a new thread, in which cuda.core has not yet cached the devices' properties."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def run_python(code: str, setup: str = "") -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process, on a stand-in `stand_in` that `setup` has prepared."""
    begin = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom cuda_stand_in import StandIn\n"
    begin += "stand_in = StandIn.load()\n"
    command = [sys.executable, "-c", "\n".join([begin, setup, code])]
    return subprocess.run(command, capture_output=True, text=True)
