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
ROUNDING = 16 << 20  # bytes; Linux counts the memory of each thread in steps
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


class PeakMemory:
    """The most memory that this process holds from now on.

    Linux can begin the peak of a process anew. Where the system only has the peak since the start of the process, that
    peak is the answer if it rises from now on.
    """

    def __init__(self) -> None:
        with suppress(OSError):
            CLEAR.write_text(RESET_PEAK)
        self._before = _peak_since_start()
        held = _status("VmRSS")  # some systems take the write above, and keep the peak
        self._fresh = held is not None and self._before is not None and self._before <= held + ROUNDING

    def read(self) -> int | None:
        """The peak in bytes; None where the system does not tell it."""
        peak = _peak_since_start()
        known = self._fresh or (peak is not None and self._before is not None and peak > self._before)
        return peak if known else None


def _peak_since_start() -> int | None:
    """The most memory that this process has held, in bytes; None where the system does not tell."""
    found = _status("VmHWM")
    if found is not None or sys.platform == "win32":
        return found
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)  # macOS counts bytes


def _status(key: str) -> int | None:
    """The bytes of a key of /proc/self/status; None where the system does not tell."""
    with suppress(OSError):
        found = re.search(rf"^{key}:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    return None
