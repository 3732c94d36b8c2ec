"""Imports onnxruntime without its telemetry, and translates its errors."""

import os
from pathlib import Path
from typing import Any

from ..errors import DdpmRtError

REINSTALL = "pip uninstall onnxruntime onnxruntime-gpu, then pip install one of 'ddpm-rt[cpu]' and 'ddpm-rt[gpu]'"
DAMAGED = (
    "INVALID_PROTOBUF",
    "No graph was found",
)  # parts of its messages for text, truncated and empty files


def onnx_runtime() -> Any:
    """The module onnxruntime. Raises DdpmRtError for a broken installation.

    Its telemetry (on by default since 1.32, with an identifier in the user's cache) is off unless the user has set
    the variable.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):  # onnxruntime and onnxruntime-gpu share their files
        raise DdpmRtError(f"the installation of onnxruntime is broken: {REINSTALL}")
    return onnxruntime


def not_a_model(path: Path, error: Exception) -> DdpmRtError:
    """The error for a file that ONNX Runtime cannot open."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if any(sign in reason for sign in DAMAGED):
        return DdpmRtError(f"{path} is not a whole ONNX model ({reason}); export the model again")
    return DdpmRtError(f"{path} is not a whole ONNX model, or one that ONNX Runtime cannot run: {reason}")
