"""Where and how a network runs: one object for the command line, the Python interface, `verify` and every edit."""

from dataclasses import dataclass
from typing import Literal, get_args

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]
MAX_THREADS = 1024  # more would only exhaust the machine


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Options of an engine, for any model. Raises ValueError for values out of range."""

    provider: Provider = "auto"  # TensorRT for a plan; for an ONNX file CUDA where that works, else the CPU
    device: int = 0  # number of the GPU
    threads: int | None = None  # of the CPU, inside one operation; None is every core that this process may use
    stream_steps: bool = False  # launch each step of a chain by itself, without a CUDA graph

    def __post_init__(self) -> None:
        if self.provider not in get_args(Provider):
            raise ValueError(f"provider must be one of {', '.join(get_args(Provider))}, not {self.provider!r}")
        if self.device < 0:
            raise ValueError(f"device must be at least 0, not {self.device}")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"threads must lie in [1, {MAX_THREADS}], not {self.threads}")
