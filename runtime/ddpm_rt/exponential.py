"""exp(x) in float32 with the same bits in every language; the bits of library functions differ.

All floats are IEEE-754 binary32, as in `noise.py`. Every `+ - *` is one operation, rounded once, in the order written;
none is fused. The definition holds for every x, and NaN gives NaN:

    v = x clamped to [-104, 89]                         (exp(-104) rounds to 0, exp(89) to infinity)
    n = v * LOG2_E + MAGIC; k = n - MAGIC               (MAGIC = 1.5 * 2^23: k is v / ln 2, rounded to an integer)
    r = (v - k * LN2_HIGH) - k * LN2_LOW                (the first difference is exact; |r| is about ln 2 / 2 at most)
    p = 1 + (r + (r * r) * (E0 + r * (E1 + r * (E2 + r * (E3 + r * E4)))))
    j = bits(n) - bits(MAGIC) + 256; h = j div 2        (j = k + 256, so that neither half is negative)
    exp(x) = (p * 2^(h - 128)) * 2^(j - h - 128)        (the first product is exact; the second may overflow to
                                                         infinity, or round to a subnormal number or to 0)

`scripts/fit_noise.py` fits the polynomial. Over all float32, the result is within 1.05 units in the last place of exp,
subnormal numbers included. A result above the largest finite float32 is infinity.
"""

import numpy as np
from numpy.typing import NDArray

from .noise import LN2_HIGH, LN2_LOW, Float32Array

_F = np.float32
E0, E1, E2, E3, E4 = _F(0.5), _F(0.16666578), _F(0.041666444), _F(0.008363102), _F(0.0013937084)
LOG2_E, MAGIC = _F(1.442695), _F(12582912.0)
LOWEST, HIGHEST = _F(-104.0), _F(89.0)


def exp(x: Float32Array) -> Float32Array:
    """e to the power of each element, float32, by the definition above."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _exp(np.clip(x, LOWEST, HIGHEST))


def _exp(v: Float32Array) -> Float32Array:
    n = v * LOG2_E
    n += MAGIC
    k = n - MAGIC
    r = v - k * LN2_HIGH
    r -= np.multiply(k, LN2_LOW, out=k)
    p = r * E4
    for coefficient in (E3, E2, E1):
        p += coefficient
        p *= r
    p += E0
    p *= r * r
    p += r
    p += _F(1)
    j = n.view(np.uint32) - (MAGIC.view(np.uint32) - np.uint32(256))
    h = j >> np.uint32(1)
    p *= _power(h - np.uint32(1))
    p *= _power(j - h - np.uint32(1))
    return p


def _power(biased: NDArray[np.uint32]) -> Float32Array:
    """2^(biased - 127), float32, for biased in [1, 254]."""
    out: Float32Array = (biased << np.uint32(23)).view(np.float32)
    return out
