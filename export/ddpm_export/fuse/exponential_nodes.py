"""`ddpm_rt.exponential` as nodes of a graph, with the same bits, also for NaN and infinities."""

import numpy as np
from onnx import TensorProto

from ddpm_rt.exponential import E0, E1, E2, E3, E4, HIGHEST, LOG2_E, LOWEST, MAGIC
from ddpm_rt.noise import LN2_HIGH, LN2_LOW

from .nodes import Nodes

F = np.float32
LEAST, MOST = -151, 130  # of k = v / ln 2, rounded, for v in [LOWEST, HIGHEST]; a little wider


def exponential(graph: Nodes, x: str) -> str:
    """e to the power of each element of x, float32; the symbols are those of `ddpm_rt/exponential.py`."""
    above = graph.call("Where", graph.call("GreaterOrEqual", x, LOWEST), x, LOWEST)  # NaN becomes a number here
    v = graph.call("Where", graph.call("LessOrEqual", above, HIGHEST), above, HIGHEST)
    k = graph.sub(graph.add(graph.mul(v, LOG2_E), MAGIC), MAGIC)
    r = graph.sub(graph.sub(v, graph.mul(k, LN2_HIGH)), graph.mul(k, LN2_LOW))
    p = graph.polynomial(r, (E0, E1, E2, E3, E4))
    p = graph.add(F(1), graph.add(r, graph.mul(graph.mul(r, r), p)))
    place = graph.cast(graph.sub(k, F(LEAST)), TensorProto.INT64)
    j = np.arange(LEAST, MOST + 1) + 256
    for exponent in (j // 2 - 128, j - j // 2 - 128):
        p = graph.mul(p, graph.call("Gather", np.ldexp(F(1), exponent).astype(np.float32), place))
    return graph.call("Where", graph.call("IsNaN", x), x, p)
