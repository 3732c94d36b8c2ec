"""The parts of `scripts/gpu_check.py`: functions from `Ask` to `Check`s, which tests/scripts/test_gpu.py also runs."""
