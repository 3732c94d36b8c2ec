"""What ONNX Runtime makes of a graph: the operators that it really runs, by their number."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ..artifacts.onnx_types import operators
from ..engines.ort_cpu import open_session

CONVOLUTIONS, PRODUCTS = ("QLinearConv", "Conv", "FusedConv"), ("QLinearMatMul", "MatMulIntegerToFloat", "QGemm")
FLOAT_PRODUCTS = ("MatMul", "FusedMatMul", "Gemm")


def optimised_operators(path: Path) -> Counter[str]:
    """The operators in the graph at `path` after ONNX Runtime has optimised it for the CPU.

    Raises DdpmRtError when ONNX Runtime cannot open the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        open_session(path, optimised=optimised)
        return operators(optimised)


def operators_text(found: Mapping[str, int]) -> str:
    """The convolutions and products of both kinds, as text: `36 QLinearConv, 6 Conv; 24 QLinearMatMul`."""
    groups = (CONVOLUTIONS, (*PRODUCTS, *FLOAT_PRODUCTS))
    texts = (", ".join(f"{found[name]} {name}" for name in group if found.get(name)) for group in groups)
    return "; ".join(text for text in texts if text) or "no convolution and no product"
