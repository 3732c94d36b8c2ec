"""The parts of `scripts/gpu_check.py`: functions of `Ask` that yield `Check`s, for tests/scripts/test_gpu.py too."""
