"""Parts ort and tensorrt: the package's engines, if their libraries are installed."""

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ddpm_rt import open_denoiser
from ddpm_rt.errors import DdpmRtError
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.request import Request

from .check import Ask, Check, NotHereError, Outcome, attempt, noted
from .unet import STEP_LIMIT, parity

PROVIDER = "CUDAExecutionProvider"


def runtime_with_cuda() -> Any:
    """The module `onnxruntime`. Raises NotHereError if it lacks the CUDA provider."""
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        raise NotHereError(f"onnxruntime {onnxruntime.__version__} here was built without CUDA")
    return onnxruntime


def session_on_gpu(path: Path) -> Any:
    """A session opened as in the documentation. Raises NotHereError if it silently fell back to the CPU."""
    runtime = runtime_with_cuda()
    session = runtime.InferenceSession(str(path), providers=[PROVIDER])
    if PROVIDER not in session.get_providers():
        raise NotHereError("onnxruntime's CUDA provider does not start: its libraries are not there")
    return session


def chain_of(device: Any, engine: Any, steps: int, limit: float = STEP_LIMIT, model: Path | None = None) -> Outcome:
    """Compare every step of a model, the bundled one by default, with ONNX Runtime on the CPU."""
    try:
        batch = engine.batch_for(4)
        request = Request(sampler="ddpm", steps=steps, count=batch, batch=batch, seed=1)
        return parity(device, engine, open_denoiser(model), request, limit)
    finally:
        engine.close()


def ort_checks(ask: Ask) -> Iterator[Check]:
    """ONNX Runtime's CUDA provider as our engine."""

    def run() -> Outcome:
        runtime_with_cuda()
        from ddpm_rt.engines.ort_gpu import OrtDeviceEngine

        return chain_of(ask.device, OrtDeviceEngine(bundled_model(), "cuda", ask.device), 20 if ask.quick else 50)

    yield attempt("bundled: every step is that of ONNX Runtime on the CPU", run)


def tensorrt_checks(ask: Ask) -> Iterator[Check]:
    """For each flavour of TensorRT: build, open and run a plan of the bundled model, or give the reason why not."""

    for module, flavour in FLAVOURS.items():
        words = f"{module}: a plan of the bundled model is built here and runs"
        yield attempt(words, lambda module=module, flavour=flavour: plan_outcome(
            ask, module, flavour, bundled_model()))  # fmt: skip


FLAVOURS: dict[str, Any] = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}


def plan_outcome(ask: Ask, module: str, flavour: Any, model: Path, limit: float = STEP_LIMIT) -> Outcome:
    """Build, open and run a plan of a model. Raises NotHereError where this TensorRT is not installed."""
    if importlib.util.find_spec(module) is None:
        raise NotHereError(f"{module} is not installed")
    from ddpm_export.plans.build import build_plan
    from ddpm_export.plans.build_options import BuildOptions
    from ddpm_rt.artifacts.plan_record import read_plan
    from ddpm_rt.engines.tensorrt import TensorRtDeviceEngine

    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "unet.plan"
        try:
            build_plan(model, plan, BuildOptions(), flavour=flavour)
            engine = TensorRtDeviceEngine(plan, read_plan(plan), ask.device)
        except DdpmRtError as error:  # such as a GPU that this TensorRT does not support
            return noted(f"no: {error}")
        return chain_of(ask.device, engine, 20 if ask.quick else 50, limit, model)
