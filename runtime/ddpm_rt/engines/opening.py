"""Which engine runs a model, and opening it on a device."""

import importlib.util
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ..artifacts.onnx_card import read_onnx_card
from ..artifacts.plan_record import is_plan, read_plan
from ..device.device_denoiser import DeviceDenoiser
from ..device.device_engine import DeviceEngine
from ..device.driver import open_gpu
from ..errors import DdpmRtError
from .onnx_runtime import onnx_runtime

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]
Chosen = Literal["cpu", "cuda", "tensorrt"]


def provider_for(path: Path, asked: Provider, device: int = 0) -> Chosen:
    """What `auto` is: TensorRT for a plan; else CUDA where it is in onnxruntime and there is a GPU, else the CPU.

    Raises ValueError for what does not go together.
    """
    if device < 0:
        raise ValueError(f"device must be at least 0, not {device}")
    if asked not in get_args(Provider):
        raise ValueError(f"provider must be one of {', '.join(get_args(Provider))}, not {asked!r}")
    if is_plan(path):
        if asked in ("cpu", "cuda"):
            raise ValueError(f"{path} is a TensorRT plan, and none of {asked}; name the .onnx it was built from")
        return "tensorrt"
    if asked == "auto":
        asked = "cuda" if device > 0 or lacking_cuda() is None else "cpu"
    if asked == "cpu" and device > 0:
        raise ValueError(f"the CPU has no device {device}; leave it out")
    return asked


def lacking_cuda() -> str | None:
    """What keeps ONNX Runtime from the GPU here, as far as can be known without trying, or None."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed"
    from ..device.gpus import gpus

    onnxruntime = onnx_runtime()

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return f"the onnxruntime {onnxruntime.__version__} here was built without CUDA"
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.core") is None:
        return "cuda-core is not installed"
    return None if gpus() else "there is no GPU that NVIDIA's driver knows"


class Opened(NamedTuple):
    """An engine, and the `cuda.core.Device` that it is on."""

    engine: DeviceEngine
    gpu: object


def open_device_engine(path: Path, provider: Provider = "auto", device: int = 0) -> Opened:
    """Open a plan in TensorRT, or an ONNX file in ONNX Runtime's CUDA or TensorRT provider, on GPU number `device`.

    Raises DdpmRtError when the file, the GPU or what is installed does not do it, ValueError for the CPU.
    """
    chosen = provider_for(path, provider, device)
    if chosen == "cpu":
        raise ValueError(f"{path} would run on the CPU; ask for --provider cuda or tensorrt")
    if is_plan(path):
        from .tensorrt import TensorRtEngine

        record = read_plan(path)
        try:
            gpu = open_gpu(device)
        except DdpmRtError as error:
            source, reason = next(iter(record.build.onnx), "an .onnx"), str(error).split(";")[0]
            advice = f"{source}, of which it was built, runs on the CPU too"
            raise DdpmRtError(f"{path} is a TensorRT plan, which needs a GPU ({reason}); {advice}") from error
        return Opened(TensorRtEngine(path, record, gpu), gpu)
    from .ort_gpu import OrtEngine, usable_runtime

    read_onnx_card(path)
    gpu = open_gpu(device)
    usable_runtime(chosen)
    return Opened(OrtEngine(path, chosen, gpu), gpu)


def open_device_denoiser(path: Path, provider: Provider, device: int, *, stream_steps: bool) -> DeviceDenoiser:
    """The same as a plain engine, `(x, t) -> out`, which runs whole chains on the device where it can.

    Raises DdpmRtError as well where its kernels cannot be compiled or are not taken.
    """
    from ..device.loop import DeviceLoop  # which a machine without a GPU need not wait for

    engine, gpu = open_device_engine(path, provider, device)
    try:
        loop = DeviceLoop(gpu, engine, mode="stream" if stream_steps else "replay")
        loop.kernels()  # now, when there is still another provider to go to
        return DeviceDenoiser(engine, gpu, loop)
    except BaseException:
        engine.close()
        raise
