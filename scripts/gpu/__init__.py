"""The parts of `scripts/gpu_check.py`: functions of `Ask` that yield `Check`s.

tests/scripts/test_gpu.py uses them too.
"""
