"""What a measurement was made on: the processor, the versions, and the memory of this process."""

import os
import platform
import re
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from ..engines.cpu_threads import default_threads

PACKAGES = ("ddpm-rt", "numpy", "onnxruntime", "onnxruntime-gpu")
CPU_FACTS = Path("/proc/cpuinfo")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # what Linux takes to forget the peak of a process (proc_pid_clear_refs(5))
INT8_FLAGS = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "i8mm": "I8MM",
    "asimddp": "SDOT",
}


def cpu_name(facts: Path = CPU_FACTS) -> str:
    """The name of the processor, as the system has it."""
    found = _cpu_fact("model name", facts)
    return found or platform.processor() or platform.machine()


def int8_instructions(facts: Path = CPU_FACTS) -> list[str] | None:
    """The dot products of 8-bit integers that the processor has; None where the system does not tell."""
    text = _cpu_fact("flags", facts) or _cpu_fact("Features", facts)
    if text is None:
        return None
    flags = set(text.split())
    return [name for flag, name in INT8_FLAGS.items() if flag in flags]


def _cpu_fact(key: str, facts: Path) -> str | None:
    """The first value of a key of /proc/cpuinfo."""
    with suppress(OSError):
        found = re.search(rf"^{key}\s*:\s*(.+)$", facts.read_text(errors="replace"), re.MULTILINE)
        return found[1].strip() if found else None
    return None


def thread_count(asked: int | None) -> int:
    """The threads inside one operation that an engine on the CPU gets."""
    return asked or default_threads() or os.cpu_count() or 1


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide the speed, as far as they are installed."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {"numpy": np.__version__}


def forget_peak_memory() -> None:
    """Begin the peak of this process anew, where the system can (Linux); elsewhere it is that since its start."""
    with suppress(OSError):
        CLEAR.write_text(RESET_PEAK)


def peak_memory() -> int | None:
    """The most memory that this process has held, in bytes; None where the system does not tell."""
    with suppress(OSError):
        found = re.search(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)  # macOS counts bytes
