"""`ddpm_rt.noise` as nodes of a graph, with the same bits: Philox4x32-10 on uint64, then Box and Muller.

The formulas and the symbols are those of `ddpm_rt/noise.py`. Standard ONNX has no cast of bits before opset 26, so the
exponent and the mantissa of ln's argument come from comparisons with powers of two, which are exact.
"""

from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto

from ddpm_rt.noise import C0, C1, C2, C3, INITIAL_STEP, L0, L1, L2, LN2_HIGH, LN2_LOW, S0, S1, S2, TURN

from .nodes import Nodes

F, U = np.float32, np.uint64
MASK, HALF = 0xFFFFFFFF, U(32)
PAIR = (2, 1, 1)  # broadcasts two words over [2, batch, quads]
MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], U).reshape(PAIR)  # of c0 and c2
WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.int64)
ROUNDS = 10
ROOT_HALF = np.array(0x3F3504F3, np.uint32).view(np.float32)  # the least mantissa m of part 3
EXPONENTS = (16, 8, 4, 2, 1)  # their sums are 0 .. 31; k needs 0 .. 24


class NoiseInputs(NamedTuple):
    """What does not depend on the step, computed before the loop: values of uint64 `[2, batch, quads]` and keys."""

    words: str  # c0 and c2 after the first round, without the step
    low: str  # c1 and c3 after the first round
    keys: list[str]  # of the rounds after the first, uint64 [2, 1, 1]


def noise_inputs(outer: Nodes, seed: str, sample: str, batch: str, size: int) -> NoiseInputs:
    """Nodes for the seed int64 `[]` and the sample numbers int64 `[batch]`; `batch` is the number of samples, `[1]`.

    Both are two's complement: -1 is 2^64 - 1.
    """
    quads = -(-size // 4)
    keys = _keys(outer, seed)
    low, high = _halves(outer, sample)
    shape = outer.call("Concat", np.array([1], np.int64), batch, np.array([quads], np.int64), axis=0)
    element = outer.call("Range", np.int64(0), np.int64(quads), np.int64(1))
    c0 = outer.call("Expand", outer.cast(element, TensorProto.UINT64), shape)
    column = np.array([1, -1, 1], np.int64)
    c2 = outer.call("Expand", outer.call("Reshape", outer.cast(low, TensorProto.UINT64), column), shape)
    product = _product(outer, outer.call("Concat", c0, c2, axis=0))
    c3 = outer.call("Reshape", outer.cast(high, TensorProto.UINT64), column)
    c1_c3 = outer.call("Concat", outer.call("BitwiseXor", c3, c3), c3, axis=0)  # c1 is the step: 0 here
    words = _xor(outer, _shift(outer, product, HALF), _xor(outer, c1_c3, keys[0]))
    return NoiseInputs(words, outer.call("BitwiseAnd", product, U(MASK)), keys[1:])


def step_words(steps: list[int]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """What the steps add to the words of `NoiseInputs`, uint64 `[len(steps), 2, 1, 1]`: `normals` takes a row."""
    return np.array([(step, 0) for step in steps], U).reshape(len(steps), *PAIR)


INITIAL_WORDS = step_words([INITIAL_STEP])[0]


def normals(graph: Nodes, known: NoiseInputs, step: Any, shape: tuple[int, ...]) -> str:
    """Standard normals float32 `[batch, C, ...]` of a step, which is a row of `step_words`."""
    even, odd = _xor(graph, known.words, step), known.low
    for key in known.keys:
        product = _product(graph, even)
        even = _xor(graph, _xor(graph, _shift(graph, product, HALF), odd), key)
        odd = graph.call("BitwiseAnd", product, U(MASK))
    top = graph.cast(_shift(graph, even, U(8)), TensorProto.FLOAT)
    turn = graph.cast(_shift(graph, odd, U(8)), TensorProto.FLOAT)
    radius = graph.call("Sqrt", graph.mul(F(-2), ln(graph, top)))
    cosine, sine = cos_sin(graph, turn)
    last = np.array([3], np.int64)
    both = [graph.call("Unsqueeze", graph.mul(radius, value), last) for value in (cosine, sine)]
    pairs = graph.call("Concat", *both, axis=3)  # [pair, batch, quads, first or second]
    rows = graph.call("Transpose", pairs, perm=[1, 2, 0, 3])
    size = int(np.prod(shape))
    if size % 4:
        flat = graph.call("Reshape", rows, np.array([0, -1], np.int64))
        rows = graph.call("Slice", flat, *(np.array([end], np.int64) for end in (0, size, 1)))
    return graph.call("Reshape", rows, np.array([0, *shape], np.int64))


def ln(graph: Nodes, n: str) -> str:
    """ln((n + 1) 2^-24) for n float32 of whole numbers in [0, 2^24), by part 3 of the definition."""
    m = graph.add(n, F(1))  # exact
    parts = []
    for exponent in EXPONENTS:  # m 2^-exponent wherever that is at least sqrt(1/2): a product with a power is exact
        large = graph.call("GreaterOrEqual", m, F(ROOT_HALF * F(2.0**exponent)))
        m = graph.call("Where", large, graph.mul(m, F(2.0**-exponent)), m)
        parts.append(graph.call("Where", large, F(exponent), F(0)))
    k = graph.sub(graph.call("Sum", *parts), F(24))
    f = graph.sub(m, F(1))
    s = graph.call("Div", f, graph.add(F(2), f))
    z = graph.mul(s, s)
    p = graph.polynomial(z, (L0, L1, L2))
    rest = graph.add(graph.mul(k, LN2_LOW), graph.mul(s, graph.add(F(2), graph.mul(z, p))))
    return graph.add(graph.mul(k, LN2_HIGH), rest)


def cos_sin(graph: Nodes, n: str) -> tuple[str, str]:
    """Cosine and sine of 2 pi n / 2^24 for n float32 of whole numbers in [0, 2^24), by part 4 of the definition."""
    # n + 2^21 may be rounded above 2^24, but not to another multiple of 2^22
    q = graph.call("Floor", graph.mul(graph.add(n, F(2**21)), F(2.0**-22)))
    r = graph.mul(graph.sub(n, graph.mul(q, F(2**22))), TURN)
    z = graph.mul(r, r)
    sine = graph.add(r, graph.mul(graph.mul(r, z), graph.polynomial(z, (S0, S1, S2))))
    cosine = graph.add(F(1), graph.mul(z, graph.polynomial(z, (C0, C1, C2, C3))))
    quadrant = graph.cast(q, TensorProto.INT64)  # 0 .. 4
    odd = graph.call("Gather", np.array([False, True, False, True, False]), quadrant)
    first = graph.call("Where", odd, sine, cosine)
    second = graph.call("Where", odd, cosine, sine)
    return _signed(graph, (1, -1, -1, 1, 1), quadrant, first), _signed(graph, (1, 1, -1, -1, 1), quadrant, second)


def _signed(graph: Nodes, signs: tuple[int, ...], quadrant: str, value: str) -> str:
    """The value times the sign of its quadrant, which is exact."""
    return graph.mul(graph.call("Gather", np.array(signs, np.float32), quadrant), value)


def _keys(outer: Nodes, seed: str) -> list[str]:
    """The keys of the ten rounds, each uint64 [2, 1, 1]."""
    one = np.array([1], np.int64)
    halves = [outer.call("Reshape", half, one) for half in _halves(outer, seed)]
    key = outer.call("Concat", *halves, axis=0)
    rounds = outer.add(key, np.arange(ROUNDS, dtype=np.int64)[:, None] * WEYL)  # below 2^36
    wrapped = outer.cast(outer.call("BitwiseAnd", rounds, np.int64(MASK)), TensorProto.UINT64)
    table = outer.call("Reshape", wrapped, np.array([ROUNDS, *PAIR], np.int64))
    return [outer.call("Gather", table, np.int64(row), axis=0) for row in range(ROUNDS)]


def _halves(outer: Nodes, value: str) -> tuple[str, str]:
    """The low and the high 32 bits of an int64 in two's complement, as int64 in [0, 2^32)."""
    low = outer.call("BitwiseAnd", value, np.int64(MASK))
    high = outer.call("Div", outer.sub(value, low), np.int64(1 << 32))  # exact, so rounding does not matter
    return low, outer.call("BitwiseAnd", high, np.int64(MASK))


def _product(graph: Nodes, even: str) -> str:
    """(p1, p0): the 64-bit products of c0 and c2, in the order in which the next words need them."""
    return graph.call("Gather", graph.mul(even, MULTIPLIERS), np.array([1, 0], np.int64), axis=0)


def _shift(graph: Nodes, value: str, by: np.uint64) -> str:
    return graph.call("BitShift", value, by, direction="RIGHT")


def _xor(graph: Nodes, a: str, b: Any) -> str:
    return graph.call("BitwiseXor", a, b)
