"""The parts of `scripts/gpu_check.py`, functions of `Ask` that yield `Check`s; `tests/test_gpu.py` uses them too."""
