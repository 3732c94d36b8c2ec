"""Quantise an exported float32 model to int8, calibrated on the samples that it draws itself.

1. What depends on t alone is looked up in tables (`graph.time_branch`).
2. The model draws samples with the table that will be used, and shows the values of its activations (`calibrate`).
3. Every activation gets a range (`ranges`), and every layer is quantised alone, to see what it does to the output
   (`sensitivity`). The layers that do most harm for their size stay float.
4. The others get QuantizeLinear and DequantizeLinear (`insert`).
5. The file is compared with the float model over whole chains, and its operators are read back from the graph that
   ONNX Runtime makes of it (`quantize`).
"""

from .quantize import Quantization, Quantized, quantize

__all__ = ["Quantization", "Quantized", "quantize"]
