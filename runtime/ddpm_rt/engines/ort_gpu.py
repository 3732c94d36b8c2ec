"""An ONNX file as an engine on a device: ONNX Runtime's CUDA and TensorRT providers, on the caller's buffers."""

import contextlib
import io
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..artifacts.digest import file_sha256
from ..artifacts.onnx_card import read_onnx_card
from ..device.cache import cache_folder
from ..device.device_engine import Buffers
from ..device.driver import cuda_core
from ..errors import DdpmRtError
from ..extras import install_command
from .onnx_runtime import not_a_model, onnx_runtime
from .onnx_signature import read_signature

GpuProvider = Literal["cuda", "tensorrt"]
PROVIDERS: dict[GpuProvider, str] = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
TITLES: dict[GpuProvider, str] = {"cuda": "CUDA", "tensorrt": "TensorRT"}
# The two packages share their files.
INSTALL = f"pip uninstall onnxruntime onnxruntime-gpu, then {install_command('gpu')}"
LIBRARIES: dict[GpuProvider, str] = {
    "cuda": "pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "tensorrt": "pip install 'onnxruntime-gpu[cuda,cudnn]' and the TensorRT that it names",
}
RECORD = "session.record_ep_graph_assignment_info"
# Operators that do the work of a network. Other nodes on the CPU compute shapes, and belong there.
WORK = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Softmax", "Resize", "Attention", "MultiHeadAttention"}
WORK |= {"InstanceNormalization", "GroupNormalization", "LayerNormalization", "FusedConv", "FusedMatMul", "FusedGemm"}


class OrtDeviceEngine:
    """The DeviceEngine of an ONNX file with a card inside, on the GPU that is current: a `cuda.core.Device`.

    A session runs on the stream that it was opened with. Therefore the engine has its own stream: events order it
    after the caller's queued work, and the caller's later work after it. The host waits for neither. The CUDA provider
    computes float32 products in float32; the TensorRT provider has no option that excludes TF32.
    Raises DdpmRtError when the provider is missing, leaves work to the CPU, or the file is no model with a card.
    """

    capturable = False  # not yet shown on a GPU

    def __init__(self, path: Path, provider: GpuProvider, gpu: Any) -> None:
        self.path, self._number = path, int(gpu.device_id)
        runtime = usable_runtime(provider)
        card = read_onnx_card(path)
        self.stream = gpu.create_stream()  # a caller that enqueues on this stream needs no events
        try:
            options = provider_options(provider, self._number, int(self.stream.handle), card.precision)
            self._session: Any = open_gpu_session(runtime, path, provider, options)
            known = read_signature(self._session, path, card)
        except BaseException:
            self.stream.close()
            raise
        self.card, self._static_batch = known.card, known.static_batch
        self.time_type: np.dtype[Any] = np.dtype(known.time_type)
        self.one_time, self._time_shape = known.one_time, known.time_shape
        self._run_options = runtime.RunOptions()
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def model_sha256(self) -> str:
        return file_sha256(self.path)

    def batch_for(self, count: int) -> int:
        return self._static_batch or count

    def scratch_bytes(self, batch: int) -> int:
        return 0  # ONNX Runtime has its own arena

    def bind(self, batch: int, buffers: Buffers) -> "OrtBound":
        if self._session is None:
            raise ValueError(f"{self.path} has been closed")
        if batch != self.batch_for(batch):
            raise ValueError(f"{self.path} is of batch {self._static_batch} and of no other")
        binding, card = self._session.io_binding(), self.card
        channels, *sides = card.image_shape
        shapes = {
            "x": [batch, channels, *sides],
            "t": [batch] if self._time_shape is None else list(self._time_shape),
            "y": [batch],
        }
        types = {"x": np.float32, "t": self.time_type.type, "y": np.int64}
        for key, name in card.names.items():
            address = getattr(buffers, key)
            if key == "out":
                shape = [batch, card.output_channels, *sides]
                binding.bind_output(name, "cuda", self._number, np.float32, shape, address)
            else:
                binding.bind_input(name, "cuda", self._number, types[key], shapes[key], address)
        for name, facts in card.inputs.items():
            kind, shape = np.dtype(facts.dtype).type, [batch, *facts.shape]
            binding.bind_input(name, "cuda", self._number, kind, shape, buffers.inputs[name])
        return OrtBound(self, binding)

    def run(self, binding: Any, stream: int) -> None:
        """One call of the session, ordered between the earlier and the later work on `stream`."""
        own = int(self.stream.handle) == stream
        caller = None if own else cuda_core().Stream.from_handle(stream)
        if caller is not None:
            self.stream.wait(caller)
        try:
            self._session.run_with_iobinding(binding, self._run_options)
        except Exception as error:  # its exceptions share no base class of their own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DdpmRtError(f"{self.path}: ONNX Runtime did not take a call: {reason}") from error
        finally:
            if caller is not None:
                caller.wait(self.stream)  # also after a failed call, which may have queued work

    def close(self) -> None:
        if self._session is not None:
            self._session = None
            self.stream.close()


class OrtBound:
    """A session bound to its buffers."""

    def __init__(self, engine: OrtDeviceEngine, binding: Any) -> None:
        self._engine, self._binding = engine, binding

    def enqueue(self, stream: int) -> None:
        if self._binding is None:
            raise ValueError(f"{self._engine.path}: the network has been unbound")
        self._engine.run(self._binding, stream)

    def close(self) -> None:
        self._binding = None


def usable_runtime(provider: GpuProvider) -> Any:
    """The module onnxruntime. Raises DdpmRtError when it was built without the provider."""
    try:
        onnxruntime = onnx_runtime()
    except ImportError as error:
        raise DdpmRtError(f"onnxruntime is not installed: {install_command('gpu')}") from error
    if PROVIDERS[provider] not in onnxruntime.get_available_providers():
        version = onnxruntime.__version__
        raise DdpmRtError(f"the onnxruntime {version} here was built without {TITLES[provider]}: {INSTALL}")
    return onnxruntime


def provider_options(provider: GpuProvider, number: int, stream: int, precision: str) -> list[tuple[str, Any]]:
    """The providers in their order of priority, with the options of each."""
    place = {"device_id": str(number), "user_compute_stream": str(stream)}
    cuda = (PROVIDERS["cuda"], {**place, "use_tf32": "0"})
    if provider == "cuda":
        return [cuda]
    caches: dict[str, str] = {}
    if (folder := cache_folder("onnxruntime-tensorrt")) is not None:
        for kind in ("engine", "timing"):
            caches |= {f"trt_{kind}_cache_enable": "1", f"trt_{kind}_cache_path": str(folder)}
    types = {f"trt_{precision}_enable": "1"} if precision in ("fp16", "bf16") else {}
    return [(PROVIDERS["tensorrt"], {**place, **caches, **types}), cuda]


def open_gpu_session(runtime: Any, path: Path, provider: GpuProvider, providers: list[tuple[str, Any]]) -> Any:
    """An InferenceSession that runs entirely on the GPU. Raises DdpmRtError where ONNX Runtime would use the CPU."""
    runtime.set_default_logger_severity(4)  # the errors below report a failure once, in one line
    if hasattr(runtime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the names of missing libraries
            runtime.preload_dlls()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry(RECORD, "1")
    lacking = f"ONNX Runtime's {TITLES[provider]} provider does not start: its libraries or the driver are not there"
    try:
        session = runtime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:
        if "install" in str(error).lower() and "librar" in str(error).lower():
            raise DdpmRtError(f"{lacking}: {LIBRARIES[provider]}") from error
        raise not_a_model(path, error) from error
    if PROVIDERS[provider] not in session.get_providers():
        raise DdpmRtError(f"{lacking}: {LIBRARIES[provider]}")
    if left := work_on_cpu(session):
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
        raise DdpmRtError(f"{path}: {TITLES[provider]} leaves {counts} to the CPU; use --provider cpu, or build a plan")
    return session


def work_on_cpu(session: Any) -> Counter[str]:
    """Operator counts that ONNX Runtime keeps on the CPU; empty where a release cannot tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return Counter()
    parts = [part for part in session.get_provider_graph_assignment_info() if part.ep_name == "CPUExecutionProvider"]
    return Counter(node.op_type for part in parts for node in part.get_nodes() if node.op_type in WORK)
