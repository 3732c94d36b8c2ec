"""Reads ONNX files within limits."""

from pathlib import Path

import onnx

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.bounded_read import POINTER, failure, open_regular, refuse_pointer, size_of
from ddpm_rt.artifacts.onnx_metadata import PROTOBUF_BYTES

from .outside_weights import read_outside

ADVICE = "name a complete ONNX file"


def load_onnx(path: Path | str, *, external: bool = True) -> onnx.ModelProto:
    """Load the model at `path`; `external` includes its external weights.

    Raises DdpmRtError, which is one line, unless `path` is a regular file that protobuf and onnx can read.
    """
    path = Path(path)
    with open_regular(path, ADVICE) as file:
        if size_of(file) >= PROTOBUF_BYTES:
            raise failure(path, f"exceeds the protobuf limit of {PROTOBUF_BYTES} bytes", ADVICE)
        refuse_pointer(path, file.read(len(POINTER)))
    try:
        model: onnx.ModelProto = onnx.load(path, load_external_data=False)
    except Exception as error:  # errors of protobuf, of the file system and of onnx
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise failure(path, f"cannot be read as ONNX: {reason}", ADVICE) from error
    if not model.HasField("graph"):
        raise DdpmRtError(f"{path} is not a whole ONNX model; export the model again")
    if external:
        read_outside(model, path.parent)
    return model


def drop_domain(model: onnx.ModelProto) -> None:
    """Name the domain of ONNX's own operators "", in place, where it is "ai.onnx": onnx's evaluator knows one name."""
    for entry in (*model.opset_import, *model.graph.node):
        if entry.domain == "ai.onnx":
            entry.domain = ""


def raise_opset(model: onnx.ModelProto, least: int) -> None:
    """Let the model use the operators of ONNX of at least this version, in place."""
    entry = opset_entry(model)
    entry.version = max(entry.version, least)


def opset_entry(model: onnx.ModelProto) -> onnx.OperatorSetIdProto:
    """The model's own entry for the operators of ONNX: a change of its version changes the model."""
    found: onnx.OperatorSetIdProto = next(one for one in model.opset_import if one.domain in ("", "ai.onnx"))
    return found
