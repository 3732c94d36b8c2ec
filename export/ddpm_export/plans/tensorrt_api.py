"""TensorRT 10, TensorRT 11 and TensorRT-RTX behind one import, and their progress monitor.

Enum members are looked up by name, because their values differ between TensorRT 10 and 11.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any, Literal

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.plan_build import Flavour

MODULES: dict[Flavour, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
EXTRAS: dict[Flavour, str] = {"tensorrt": "tensorrt", "rtx": "rtx"}
SM = re.compile(r"SM\d{2,}")  # the name of a compute capability: SM89 is 8.9
OLDEST = (10, 0)  # the first with every feature that we use; every release of TensorRT-RTX has them
TYPES = {
    **{"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "FP8": "fp8", "FP4": "fp4"},
    **{"INT64": "int64", "INT32": "int32", "INT8": "int8", "INT4": "int4", "UINT8": "uint8", "BOOL": "bool"},
}
Report = Callable[[float], object]  # takes the progress, 0 to 1


def load_tensorrt(asked: Flavour | Literal["auto"]) -> tuple[Flavour, Any]:
    """The flavour and its module. `auto` is TensorRT if it is installed, and otherwise TensorRT-RTX.

    Raises DdpmRtError, which names the extra to install, when no module can be imported or TensorRT is too old.
    """
    candidates: tuple[Flavour, ...] = ("tensorrt", "rtx") if asked == "auto" else (asked,)
    for flavour in candidates:
        try:
            module = importlib.import_module(MODULES[flavour])
        except (ImportError, OSError, RuntimeError):  # the package, or the library that it loads, is missing
            continue
        version = str(getattr(module, "__version__", "0"))
        if flavour == "tensorrt" and tuple(map(int, version.split(".")[:2])) < OLDEST:
            raise DdpmRtError(f"TensorRT {version} is too old; install 10.3 or newer")
        return flavour, module
    extras = " or ".join(f"'ddpm-rt[{EXTRAS[flavour]}]'" for flavour in candidates)
    raise DdpmRtError(f"{' or '.join(MODULES[name] for name in candidates)} cannot be imported: pip install {extras}")


def member(trt: Any, kind: str, name: str) -> Any:
    """`trt.kind.name`. Raises DdpmRtError if this release lacks it."""
    found = getattr(getattr(trt, kind, None), name, None)
    if found is None:
        raise DdpmRtError(f"{trt.__name__} {trt.__version__} has no {kind}.{name}; use another release or option")
    return found


def compute_capability(trt: Any, asked: str) -> Any:
    """The enum member for a compute capability such as 8.9. Raises DdpmRtError, listing the known ones, otherwise."""
    members = getattr(getattr(trt, "ComputeCapability", None), "__members__", {})
    known = {f"{name[2:-1]}.{name[-1]}": found for name, found in members.items() if SM.fullmatch(name)}
    if asked not in known:
        there = ", ".join(sorted(known, key=lambda name: float(name)))
        raise DdpmRtError(f"{trt.__name__} {trt.__version__} has no compute capability {asked!r}; it has {there}")
    return known[asked]


def make_monitor(trt: Any, report: Report) -> Any:
    """A progress monitor that reports the progress, and cancels the build once its `cancelled` is set."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.cancelled = False
            self.phases: dict[str, tuple[str | None, int, int]] = {}  # name: parent, number of steps, steps done

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases[phase_name] = (parent_phase, max(num_steps, 1), 0)

        def phase_finish(self, phase_name: str) -> None:
            self.phases.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.phases:
                parent, steps, _ = self.phases[phase_name]
                self.phases[phase_name] = (parent, steps, min(step + 1, steps))
            report(max((share(self.phases, name) for name in roots(self.phases)), default=0.0))
            return not self.cancelled

    return Monitor()


def roots(phases: dict[str, tuple[str | None, int, int]]) -> list[str]:
    """The phases without a running parent phase."""
    return [name for name, (parent, _, _) in phases.items() if parent not in phases]


def share(phases: dict[str, tuple[str | None, int, int]], name: str) -> float:
    """The progress of a phase, 0 to 1. The phases inside it give the progress of its current step."""
    _, steps, done = phases[name]
    inside = [share(phases, other) for other, (parent, _, _) in phases.items() if parent == name]
    return min(1.0, (done + max(inside, default=0.0)) / steps)
