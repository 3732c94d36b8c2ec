"""Replace the weights of a plan in memory with TensorRT's refitter, which needs the plan's target GPU.

The code follows TensorRT's headers and the refitter of its ONNX parser. We have not yet run it on a GPU.
"""

from pathlib import Path
from typing import Any

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.plan_record import PlanRecord

from .builder import first_error, parser_error
from .tensorrt_api import member

SHOWN = 3  # names in a message


def refit_engine(trt: Any, content: bytes, record: PlanRecord, onnx: Path, *, log: Any) -> bytes:
    """The plan `content` with the weights of `onnx`. Raises DdpmRtError with TensorRT's reason."""
    version = f"{trt.__name__} {trt.__version__}"
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        raise DdpmRtError(f"{version} cannot open the plan here: {first_error(log)}; see `ddpm-rt doctor`")
    if not engine.refittable:  # the constructor of the refitter would fail
        raise DdpmRtError(f"{version} takes no new weights for this plan; build it with --refittable")
    refitter = trt.Refitter(engine, log)
    parser = trt.OnnxParserRefitter(refitter, log)  # holds the weights until they are on the GPU
    if not parser.refit_from_file(str(onnx)):
        raise DdpmRtError(f"{version} cannot take weights from {onnx.name}: {reason(trt, parser, refitter)}")
    if missing := list(refitter.get_missing_weights()):
        raise DdpmRtError(f"{version} needs weights that {onnx.name} lacks: {some(missing)}")
    if not refitter.refit_cuda_engine():
        raise DdpmRtError(f"{version} cannot replace the weights: {first_error(log)}")
    plan = engine.serialize_with_config(serialization(trt, engine, record))
    if plan is None:
        raise DdpmRtError(f"{version} cannot write the plan: {first_error(log)}")
    return bytes(plan)


def serialization(trt: Any, engine: Any, record: PlanRecord) -> Any:
    """A serialization config that includes the weights, and excludes the lean runtime as `ddpm-rt build` does."""
    config = engine.create_serialization_config()
    config.clear_flag(member(trt, "SerializationFlag", "EXCLUDE_WEIGHTS"))
    if record.build.options.get("version_compatible"):
        config.set_flag(member(trt, "SerializationFlag", "EXCLUDE_LEAN_RUNTIME"))
    return config


def reason(trt: Any, parser: Any, refitter: Any) -> str:
    """The parser's first error, and the weights that are still missing."""
    missing = list(refitter.get_missing_weights())
    return parser_error(trt, parser) + (f" (without {some(missing)})" if missing else "")


def some(names: list[str]) -> str:
    """The first `SHOWN` names, and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(sorted(names)[:SHOWN]) + (f" and {more} more" if more > 0 else "")
