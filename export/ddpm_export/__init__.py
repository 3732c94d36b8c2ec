"""Export of checkpoints to ONNX and TensorRT: the only package that imports both PyTorch and the runtime."""
