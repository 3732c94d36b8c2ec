"""Where and how a network runs: the options shared by the command line, the Python interface, `verify` and edits."""

from dataclasses import dataclass
from typing import Literal, get_args

from ..limits import as_integer

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]
MAX_THREADS = 1024  # more would only exhaust the machine


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """The options of an engine. Raises ValueError for values out of range."""

    provider: Provider = "auto"  # auto: TensorRT for a plan; for an ONNX file CUDA if it works, else the CPU
    device: int = 0  # number of the GPU
    threads: int | None = None  # CPU threads of one operation; None: every core that this process may use
    stream_steps: bool = False  # launch each step of a chain separately, without a CUDA graph

    def __post_init__(self) -> None:
        if self.provider not in get_args(Provider):
            raise ValueError(f"provider must be one of {', '.join(get_args(Provider))}, not {self.provider!r}")
        as_integer("device", self.device)
        if self.device < 0:
            raise ValueError(f"device must be at least 0, not {self.device}")
        if self.threads is not None:
            as_integer("threads", self.threads)
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"threads must lie in [1, {MAX_THREADS}], not {self.threads}")
