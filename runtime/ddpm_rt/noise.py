"""Gaussian noise as a function of (seed, sample, step, element), without state, with the same bits in every language.

    normal(seed, samples, step, size)

An image therefore depends neither on its batch, nor on its machine, nor on earlier draws. The definition below is
complete. All integers are unsigned and wrap at 32 bits; all floats are IEEE-754 binary32. Every `+ - * / sqrt` is one
operation, rounded once to nearest-even, in the order written; none is fused (in C: -ffp-contract=off).

1.  Words. Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
    key     = (seed mod 2^32, seed div 2^32)
    counter = (element div 4, step, sample mod 2^32, sample div 2^32)
    `element` is the flat index into one image [C, H, W]; `step` is the row of the step table, from 0, or
    INITIAL_STEP for x_T. Repeat ten times:
        p0 = 0xD2511F53 * c0, p1 = 0xCD9E8D57 * c2          (64-bit products)
        (c0, c1, c2, c3) = (high(p1) ^ c1 ^ k0, low(p1), high(p0) ^ c3 ^ k1, low(p0))
        k0 += 0x9E3779B9, k1 += 0xBB67AE85
    The final c0 .. c3 are four words, w0 .. w3, for four elements.
2.  Normals. Elements 0 and 1 of the four come from (w0, w1), elements 2 and 3 from (w2, w3), by Box and Muller 1958:
        radius = sqrt(-2 * ln(u)), u = float((w0 >> 8) + 1) * 2^-24, in (0, 1]
        first  = radius * cos(angle), second = radius * sin(angle), angle = 2 pi n / 2^24, n = w1 >> 8
3.  ln(u). bits(u) is the bit pattern of u as an integer.
        i = bits(u) + (0x3F800000 - 0x3F3504F3); k = float(int(i >> 23) - 127)
        m = the float with the bits (i & 0x7FFFFF) + 0x3F3504F3, in [sqrt(1/2), sqrt(2))
        f = m - 1; s = f / (2 + f); z = s * s
        p = L0 + z * (L1 + z * L2);  ln(u) = k * LN2_HIGH + (k * LN2_LOW + s * (2 + z * p))
4.  cos and sin of the angle.
        q = (n + 2^21) >> 22; r = float(int(n) - int(q << 22)) * TURN, in [-pi/4, pi/4]; z = r * r
        sine   = r + (r * z) * (S0 + z * (S1 + z * S2))
        cosine = 1 + z * (C0 + z * (C1 + z * (C2 + z * C3)))
        by q mod 4:  0 -> (cosine, sine)  1 -> (-sine, cosine)  2 -> (-cosine, -sine)  3 -> (sine, -cosine)

`scripts/fit_noise.py` fits the polynomials. Over all 2^24 inputs, ln is within 2.6 units in the last place, and
sine and cosine are within 1e-7. |normal| is at most sqrt(48 ln 2) = 5.77; a Gaussian exceeds it with probability 8e-9.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .limits import as_integer, check_count

Float32Array = NDArray[np.float32]
Words = NDArray[np.uint32]
Key = int | NDArray[np.uint64]  # half of a seed, or `[lanes, 1]` of them

INITIAL_STEP = 0xFFFFFFFF  # the step of x_T
UINT64_END = 1 << 64  # seeds and sample numbers are below it, because they are uint64

_F = np.float32
L0, L1, L2 = _F(0.66666687), _F(0.39988527), _F(0.29587513)
S0, S1, S2 = _F(-0.16666664), _F(0.008332662), _F(-0.00019570084)
C0, C1, C2, C3 = _F(-0.5), _F(0.041666623), _F(-0.0013885986), _F(2.4267682e-05)
LN2_HIGH, LN2_LOW = _F(0.693359375), _F(-2.1219444e-4)  # LN2_HIGH has 10 bits, so that k * LN2_HIGH is exact
TURN = _F(3.7450704e-07)  # 2 pi / 2^24

_LOW32 = 0xFFFFFFFF
_LOW = np.uint64(_LOW32)
_SHIFT = np.uint64(32)
_BIAS = np.uint32(0x3F800000 - 0x3F3504F3)
_ROOT_HALF = np.uint32(0x3F3504F3)
_CHUNK = 1 << 13  # blocks of four elements at a time: the temporaries stay in the L2 cache


def normal(seed: int, samples: Sequence[int] | NDArray[np.integer], step: int, size: int) -> Float32Array:
    """Standard normals, float32 `[len(samples), size]`, for one step of the samples with these numbers.

    >>> normal(7, range(64), 0, 784)[40].tobytes() == normal(7, [40], 0, 784)[0].tobytes()
    True

    Raises ValueError unless seed and sample numbers lie in [0, 2^64) and step in [0, 2^32).
    """
    one: Float32Array = normals(seed, samples, [step], size)[0]
    return one


def normals(seed: int, samples: Sequence[int] | NDArray[np.integer], steps: Sequence[int], size: int) -> Float32Array:
    """`normal` for several steps at once, float32 `[len(steps), len(samples), size]`. Raises ValueError as `normal`."""
    seed, numbers = as_integer("seed", seed), [as_integer("a sample number", sample) for sample in samples]
    rows, size = [as_integer("a step", step) for step in steps], check_count("size", size, UINT64_END, least=0)
    _check_address([seed], numbers, rows)
    counters = [_counter(step, sample) for step in rows for sample in numbers]
    return _drawn(counters, (seed & _LOW32, seed >> 32), size).reshape(len(rows), len(numbers), size)


def lane_normals(seeds: Sequence[int], samples: Sequence[int], steps: Sequence[int], size: int) -> Float32Array:
    """`normal` for lanes that each have their own seed, sample and step: float32 `[lanes, size]`.

    Raises ValueError as `normal`, and for sequences of different lengths.
    """
    _check_address(seeds, samples, steps)
    counters = [_counter(step, sample) for step, sample in zip(steps, samples, strict=True)]
    keys = np.array([(seed & _LOW32, seed >> 32) for seed in seeds], np.uint64).reshape(-1, 2)
    if len(keys) != len(counters):
        raise ValueError(f"{len(keys)} seeds for {len(counters)} samples")
    return _drawn(counters, (keys[:, :1], keys[:, 1:]), size)


def _check_address(seeds: Sequence[int], samples: Sequence[int], steps: Sequence[int]) -> None:
    if wrong := [seed for seed in seeds if not 0 <= seed < UINT64_END]:
        raise ValueError(f"seed must lie in [0, 2^64), not {wrong[0]}")
    if any(not 0 <= step <= INITIAL_STEP for step in steps):
        raise ValueError(f"steps must lie in [0, 2^32), not {list(steps)}")
    if any(not 0 <= sample < UINT64_END for sample in samples):
        raise ValueError("sample numbers must lie in [0, 2^64)")


def _counter(step: int, sample: int) -> tuple[int, int, int]:
    return step, sample & _LOW32, sample >> 32


def _drawn(counters: list[tuple[int, int, int]], key: tuple[Key, Key], size: int) -> Float32Array:
    """Normals, float32 `[len(counters), size]`; the halves of `key` are numbers, or `[len(counters), 1]`."""
    blocks = -(-size // 4)
    rows = np.array(counters, np.uint64).reshape(-1, 3)
    out = np.empty((len(rows), blocks * 4), np.float32)
    many = max(1, _CHUNK // max(blocks, 1))
    for first in range(0, len(rows), many):
        here = rows[first : first + many, :, None]
        low, high = (half if isinstance(half, int) else half[first : first + many] for half in key)
        for start in range(0, blocks, _CHUNK):
            quads = np.arange(start, min(start + _CHUNK, blocks), dtype=np.uint64)
            words = philox4x32((quads[None], here[:, 0], here[:, 1], here[:, 2]), (low, high))
            out[first : first + many, 4 * start : 4 * start + 4 * len(quads)] = _box_muller(words)
    return out[:, :size]


def rows_of_noise(
    seed: int, samples: Sequence[int] | NDArray[np.integer], steps: Sequence[int], size: int
) -> Iterator[Float32Array]:
    """`normal` for each of `steps` in turn. Small images are drawn many steps at a time, which is faster."""
    ahead = max(1, (8 * _CHUNK) // max(1, size * len(samples)))
    for first in range(0, len(steps), ahead):
        yield from normals(seed, samples, steps[first : first + ahead], size)


def philox4x32(counter: tuple[NDArray[np.uint64], ...], key: tuple[Key, Key]) -> list[NDArray[np.uint64]]:
    """Ten rounds of Philox over four 32-bit words, each in the low half of a uint64; all arrays broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (p1 >> _SHIFT) ^ c1 ^ _word(k0), p1 & _LOW
        c2, c3 = (p0 >> _SHIFT) ^ c3 ^ _word(k1), p0 & _LOW
        k0, k1 = _next(k0, 0x9E3779B9), _next(k1, 0xBB67AE85)
    return [c0, c1, c2, c3]


def _next(key: Key, increment: int) -> Key:
    return (key + increment) & _LOW32 if isinstance(key, int) else (key + np.uint64(increment)) & _LOW


def _word(key: Key) -> np.uint64 | NDArray[np.uint64]:
    return np.uint64(key) if isinstance(key, int) else key


def _box_muller(words: list[NDArray[np.uint64]]) -> Float32Array:
    """Standard normals, float32 `[rows, 4 * blocks]`, from four arrays of words `[rows, blocks]`."""
    w0, w1, w2, w3 = words
    top, turn = np.empty((2, *w0.shape, 2), np.int32)  # shifted to 24 bits, which int32 and float32 hold exactly
    for part, (even, odd) in ((top, (w0, w2)), (turn, (w1, w3))):
        part[..., 0], part[..., 1] = even >> np.uint64(8), odd >> np.uint64(8)
    top += np.int32(1)
    u = top.astype(np.float32)
    u *= np.float32(2.0**-24)
    radius = ln(u)
    radius *= np.float32(-2.0)
    np.sqrt(radius, out=radius)
    cosine, sine = cos_sin(turn)
    out = np.empty((*radius.shape, 2), np.float32)
    np.multiply(radius, cosine, out=out[..., 0])
    np.multiply(radius, sine, out=out[..., 1])
    return out.reshape(len(radius), -1)


# The arrays below are changed in place, which saves a third of the time; the operations and their order are those of
# the definition.


def ln(u: Float32Array) -> Float32Array:
    """The natural logarithm of u in (0, 1], by part 3 of the definition."""
    i = u.view(np.uint32) + _BIAS
    k = ((i >> np.uint32(23)).astype(np.int32) - np.int32(127)).astype(np.float32)
    i &= np.uint32(0x7FFFFF)
    i += _ROOT_HALF
    f = i.view(np.float32)  # m
    f -= np.float32(1)
    s = f + np.float32(2)
    np.divide(f, s, out=s)
    z = s * s
    p = _polynomial(z, L2, L1, L0)
    p *= z
    p += np.float32(2)
    p *= s
    p += np.multiply(k, LN2_LOW, out=z)
    k *= LN2_HIGH
    k += p
    return k


def cos_sin(n: NDArray[np.int32]) -> tuple[Float32Array, Float32Array]:
    """Cosine and sine of 2 pi n / 2^24, n in [0, 2^24), by part 4 of the definition."""
    q = (n + np.int32(1 << 21)) >> np.int32(22)
    r = (n - (q << np.int32(22))).astype(np.float32)
    r *= TURN
    z = r * r
    sine = _polynomial(z, S2, S1, S0)
    sine *= r * z
    sine += r
    cosine = _polynomial(z, C3, C2, C1, C0)
    cosine *= z
    cosine += np.float32(1)
    odd = (q & np.int32(1)).astype(bool)
    first, second = np.where(odd, sine, cosine), np.where(odd, cosine, sine)
    sign = first.view(np.int32), second.view(np.int32)  # negated by their highest bit
    sign[0][...] ^= ((q + np.int32(1)) & np.int32(2)) << np.int32(30)  # quadrants 1 and 2
    sign[1][...] ^= (q & np.int32(2)) << np.int32(30)  # quadrants 2 and 3
    return first, second


def _polynomial(z: Float32Array, highest: np.float32, *rest: np.float32) -> Float32Array:
    """Horner's scheme, from the highest coefficient down."""
    value = z * highest
    for coefficient in rest[:-1]:
        value += coefficient
        value *= z
    value += rest[-1]
    return value
