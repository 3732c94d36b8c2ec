"""Which extra of this package brings a module: the one table that messages and `doctor` read."""

EXTRAS = {
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


def install_line(module: str) -> str:
    """The command that installs the extra which brings `module`. Raises KeyError for a module of no extra."""
    return f"pip install 'ddpm-rt[{EXTRAS[module]}]'"
