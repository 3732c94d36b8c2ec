"""The models that come with the package."""

from pathlib import Path

from ..errors import DdpmRtError

BUNDLED = Path(__file__).parent / "mnist.onnx"


def bundled_model() -> Path:
    """The path of the MNIST model. Raises DdpmRtError if this installation lacks it."""
    if not BUNDLED.exists():
        raise DdpmRtError(f"{BUNDLED} is missing; install ddpm-rt again, or name a model of your own with --engine")
    return BUNDLED
