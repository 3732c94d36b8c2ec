"""The reverse process on a GPU: engine and step kernel on one stream, with no host work between the steps.

`device_engine.py` declares what the loop needs of a network; `loop.py` is the loop. CUDA itself is NVIDIA's
`cuda-core`, imported inside the functions that need it.
"""
