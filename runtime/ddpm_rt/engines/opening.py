"""Opens engines: chooses the provider for a model, and creates its engine. No other module does this."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..artifacts.onnx_card import read_onnx_card
from ..artifacts.plan_record import is_plan, read_plan
from ..device.device_denoiser import DeviceDenoiser
from ..device.device_engine import DeviceEngine
from ..device.driver import open_gpu
from ..engine import Engine, as_engine
from ..errors import DdpmRtError
from ..models import bundled_model
from .engine_options import EngineOptions, Provider
from .onnx_runtime import onnx_runtime
from .ort_cpu import OrtDenoiser

Chosen = Literal["cpu", "cuda", "tensorrt"]
Model = Engine | Path | str | None  # an open engine, a path, or None for the bundled model
DEFAULT = EngineOptions()


@contextmanager
def opened(model: Model = None, options: EngineOptions = DEFAULT) -> Iterator[Engine]:
    """The engine of `model`. If `model` is a path, the engine is opened here and closed at the end of the context.

    An open engine is returned unchanged and not closed; `options` are ignored then.
    """
    if model is None or isinstance(model, str | Path):
        with open_engine(model, options) as engine:
            yield engine
    else:
        yield as_engine(model)


def open_engine(model: Path | str | None = None, options: EngineOptions = DEFAULT) -> Engine:
    """Open an exported model, by default the bundled one.

    Raises DdpmRtError if the file is not a model of `ddpm-rt export` or `build`, or cannot run here, ValueError for
    options that exclude each other.
    """
    path = bundled_model() if model is None else Path(model)
    chosen = provider_for(path, options.provider, options.device)
    if chosen != "cpu":
        try:
            return _open_device_denoiser(path, chosen, options)
        except DdpmRtError:
            if options.provider != "auto" or options.device > 0 or is_plan(path):
                raise  # auto falls back to the CPU; `ddpm-rt doctor` names the library that is missing
    return OrtDenoiser(path, threads=options.threads)


def provider_for(path: Path, asked: Provider, device: int = 0) -> Chosen:
    """The provider that `auto` means: TensorRT for a plan; for an ONNX file CUDA if it works, else the CPU.

    Raises ValueError for options that exclude each other.
    """
    EngineOptions(provider=asked, device=device)
    if is_plan(path):
        if asked in ("cpu", "cuda"):
            raise ValueError(f"{path} is a TensorRT plan; --provider {asked} cannot run it, but can run its .onnx")
        return "tensorrt"
    if asked == "auto":
        asked = "cuda" if device > 0 or lacking_cuda() is None else "cpu"
    if asked == "cpu" and device > 0:
        raise ValueError(f"the CPU has no device {device}; leave out --device")
    return asked


def lacking_cuda() -> str | None:
    """The reason why ONNX Runtime cannot use the GPU, as far as it is known without opening a session, or None."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed"
    from ..device.gpus import gpus

    onnxruntime = onnx_runtime()
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return f"the installed onnxruntime {onnxruntime.__version__} was built without CUDA"
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.core") is None:
        return "cuda-core is not installed"
    return None if gpus() else "NVIDIA's driver finds no GPU"


class Opened(NamedTuple):
    """An engine, and the `cuda.core.Device` that it is on."""

    engine: DeviceEngine
    gpu: Any


def open_device_engine(path: Path, provider: Provider = "auto", device: int = 0) -> Opened:
    """Open a plan in TensorRT, or an ONNX file in ONNX Runtime's CUDA or TensorRT provider, on GPU number `device`.

    Raises DdpmRtError if the file, the GPU or an installed package does not allow this, ValueError for the CPU.
    """
    chosen = provider_for(path, provider, device)
    if chosen == "cpu":
        raise ValueError(f"{path} would run on the CPU; ask for --provider cuda or tensorrt")
    return _open_on_device(path, chosen, device)


def _open_on_device(path: Path, chosen: Literal["cuda", "tensorrt"], device: int) -> Opened:
    if is_plan(path):
        return _open_plan(path, device)
    from .ort_gpu import OrtDeviceEngine, usable_runtime

    read_onnx_card(path)
    gpu = open_gpu(device)
    usable_runtime(chosen)
    return Opened(OrtDeviceEngine(path, chosen, gpu), gpu)


def _open_plan(path: Path, device: int) -> Opened:
    from .tensorrt import TensorRtDeviceEngine

    record = read_plan(path)
    try:
        gpu = open_gpu(device)
    except DdpmRtError as error:
        source, reason = next(iter(record.build.onnx), "an .onnx"), str(error).split(";")[0]
        advice = f"{source}, from which it was built, also runs on the CPU"
        raise DdpmRtError(f"{path} is a TensorRT plan, which needs a GPU ({reason}); {advice}") from error
    return Opened(TensorRtDeviceEngine(path, record, gpu), gpu)


def _open_device_denoiser(path: Path, chosen: Literal["cuda", "tensorrt"], options: EngineOptions) -> DeviceDenoiser:
    """A plain engine, `(x, t) -> out`, with a loop that runs whole chains on the device.

    Also raises DdpmRtError if the loop's kernels cannot be compiled or loaded.
    """
    from ..device.loop import DeviceLoop  # a slow import, which machines without a GPU do not need

    engine, gpu = _open_on_device(path, chosen, options.device)
    try:
        loop = DeviceLoop(gpu, engine, mode="stream" if options.stream_steps else "replay")
        loop.kernels()  # now, while `auto` can still fall back to another provider
        return DeviceDenoiser(engine, gpu, loop)
    except BaseException:
        engine.close()
        raise
