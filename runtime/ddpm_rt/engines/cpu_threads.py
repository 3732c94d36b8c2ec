"""The number of threads of an engine on the CPU.

ONNX Runtime counts the machine's cores, but a container or `taskset` may allow this process fewer.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
TOPOLOGY = Path("/sys/devices/system/cpu")


def default_threads() -> int | None:
    """The number of threads, at least 1; None if the process may use the whole machine, so that the engine decides."""
    allowed, quota = allowed_processors(), cpu_quota()
    if quota is None and (not allowed or len(allowed) == os.cpu_count()):
        return None
    cores = physical_cores(allowed) if allowed else os.cpu_count() or 1
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def allowed_processors() -> set[int]:
    """The processors that this process may run on; empty if the system does not report them."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def physical_cores(processors: set[int], topology: Path = TOPOLOGY) -> int:
    """The number of physical cores of these processors. Two threads of one core share its arithmetic and count once."""
    siblings = set()
    for number in processors:
        try:
            siblings.add((topology / f"cpu{number}" / "topology" / "thread_siblings_list").read_text().strip())
        except OSError:
            siblings.add(f"alone {number}")
    return len(siblings)


def cpu_quota(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float | None:
    """The CPU quota of the control groups (version 2 or 1), in processors; None without a limit."""
    quotas = [quota for folder in _groups(root, own) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """The folders of the process's groups, up to the root. In a container the group's own folder may be the root."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        folder = top / path.strip("/")
        yield folder
        while folder not in (top, folder.parent):
            folder = folder.parent
            yield folder
        if controllers:
            yield root / "cpu"


def _quota_of(folder: Path) -> float | None:
    try:
        if (limit := folder / "cpu.max").exists():  # version 2: "max 100000" or "150000 100000"
            quota, period = limit.read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
