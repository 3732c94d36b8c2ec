"""Which extra of this package brings a module: the one table that messages and `doctor` read."""

from typing import Literal

Extra = Literal["cpu", "cuda", "datasets", "export", "gpu", "ray", "rtx", "serve", "tensorrt", "train"]
EXTRAS: dict[str, Extra] = {
    "onnxruntime": "cpu",
    "cuda": "cuda",
    "cuda.core": "cuda",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "rtx",
    "torch": "export",
    "onnx": "export",
    "onnxscript": "export",
    "safetensors": "export",
    "accelerate": "train",
    "tensorboard": "train",
    "tqdm": "train",
    "tomli": "train",
    "datasets": "datasets",
    "python_multipart": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "ray": "ray",
}


def install_command(extra: Extra) -> str:
    """The command that installs an extra, for messages."""
    return f"pip install 'ddpm-rt[{extra}]'"
