"""From a checkpoint to ONNX: the only place that knows both PyTorch and the runtime."""
