"""New weights into a plan in memory, by TensorRT itself: on the GPU that the plan is for, and nowhere else.

Written from TensorRT's headers and the refitter of its ONNX parser; not yet run on a GPU by us.
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
    if not engine.refittable:  # asked first, because no refitter can be made of it
        raise DdpmRtError(f"{version} takes no new weights for this plan; build it with --refittable")
    refitter = trt.Refitter(engine, log)
    parser = trt.OnnxParserRefitter(refitter, log)  # holds the weights until they are on the GPU
    if not parser.refit_from_file(str(onnx)):
        raise DdpmRtError(f"{version} takes no weights from {onnx.name}: {reason(trt, parser, refitter)}")
    if missing := list(refitter.get_missing_weights()):
        raise DdpmRtError(f"{version} misses weights in {onnx.name}: {some(missing)}")
    if not refitter.refit_cuda_engine():
        raise DdpmRtError(f"{version} cannot put the weights in: {first_error(log)}")
    plan = engine.serialize_with_config(serialization(trt, engine, record))
    if plan is None:
        raise DdpmRtError(f"{version} cannot write the plan: {first_error(log)}")
    return bytes(plan)


def serialization(trt: Any, engine: Any, record: PlanRecord) -> Any:
    """With the weights; with the lean runtime only if it was in there before, and `ddpm-rt build` leaves it out."""
    config = engine.create_serialization_config()
    config.clear_flag(member(trt, "SerializationFlag", "EXCLUDE_WEIGHTS"))
    if record.build.options.get("version_compatible"):
        config.set_flag(member(trt, "SerializationFlag", "EXCLUDE_LEAN_RUNTIME"))
    return config


def reason(trt: Any, parser: Any, refitter: Any) -> str:
    """What the parser says, and which weights are still to come."""
    missing = list(refitter.get_missing_weights())
    return parser_error(trt, parser) + (f" (without {some(missing)})" if missing else "")


def some(names: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(sorted(names)[:SHOWN]) + (f" and {more} more" if more > 0 else "")
