"""Noise and exponential of the kernels, compiled for the host, are bit-equal to NumPy's."""

from itertools import product

import numpy as np
import pytest
from step_loop import MAX32, MAX64, same_bits

from ddpm_rt import noise
from ddpm_rt.exponential import exp

# Noise and the exponential


@pytest.mark.slow
def test_ten_million_normals_have_numpy_s_bits(step_host):
    rng = np.random.default_rng(0)
    count = 0
    for _ in range(40):
        seed, sample = (int(rng.integers(0, MAX64, dtype=np.uint64, endpoint=True)) for _ in range(2))
        step = int(rng.integers(0, MAX32, endpoint=True))
        expected = noise.normal(seed, [sample], step, 1 << 18)[0]
        same_bits(step_host.normals(seed, sample, step, 0, 1 << 16), expected)
        count += expected.size
    assert count >= 10_000_000


def test_normals_have_numpy_s_bits_at_every_edge_of_every_counter(step_host):
    edges = (0, 1, 2**31, MAX32 - 1, MAX32)
    wide = (*edges, 2**32, 2**63, MAX64)
    quads = np.array([[0, 1], [2**31 - 1, 2**31], [MAX32 - 1, MAX32]], np.uint64)
    for seed, sample, step in product(wide, wide, edges):
        for pair in quads:
            counter = tuple(np.full(2, word, np.uint64) for word in (step, sample & MAX32, sample >> 32))
            w0, w1, w2, w3 = noise.philox4x32((pair, *counter), (seed & MAX32, seed >> 32))
            expected = np.stack([*box_muller(w0, w1), *box_muller(w2, w3)], axis=1).reshape(-1)
            same_bits(step_host.normals(seed, sample, step, int(pair[0]), 2), expected)


def box_muller(top, turn):
    u = ((top >> np.uint64(8)) + np.uint64(1)).astype(np.float32) * np.float32(2.0**-24)
    radius = np.sqrt(np.float32(-2) * noise.ln(u))
    cosine, sine = noise.cos_sin((turn >> np.uint64(8)).astype(np.int32))
    return radius * cosine, radius * sine


def some_of_all_floats():
    """Every 997th of the 2^32 bit patterns, and the values near the limits of exp."""
    patterns = np.arange(0, 2**32, 997, dtype=np.uint64).astype(np.uint32).view(np.float32)
    ends = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, 89, -104, 88.72284, 88.722834, -87.33655, -103.97208], np.float32
    )
    return np.concatenate([patterns, ends, np.nextafter(ends, np.float32(0)), np.nextafter(ends, np.float32(-np.inf))])


def test_exp_is_within_1_05_units_in_the_last_place(step_host):
    x = some_of_all_floats()
    x = x[~np.isnan(x)]
    found = exp(x)
    with np.errstate(over="ignore", under="ignore"):
        exact = np.exp(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isinf(found), np.isinf(rounded))
    finite = np.isfinite(rounded)
    ulp = np.maximum(np.spacing(rounded[finite]), np.float32(2.0**-149)).astype(np.float64)
    assert (np.abs(found[finite] - exact[finite]) / ulp).max() < 1.05
    assert exp(np.float32([0.0]))[0] == 1.0
    assert np.isnan(exp(np.float32([np.nan]))[0])


def test_exp_has_numpy_s_bits(step_host):
    x = some_of_all_floats()
    same_bits(step_host.exp(x), exp(x))
