"""The reverse process on a GPU: engine and step kernel on one stream, with no host work between the steps.

`engine.py` is what the loop asks of a network, `loop.py` runs it. CUDA itself is NVIDIA's `cuda-core`, imported inside
the functions that need it.
"""
