import ctypes
import math
import shutil
import subprocess

import numpy as np
import pytest
from repository import ROOT

from ddpm_rt import noise

MAX64 = 2**64 - 1


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # the published known answers of Random123
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, words):
    found = noise.philox4x32(tuple(np.array([word], np.uint64) for word in counter), key)
    assert tuple(int(word[0]) for word in found) == words


def compile_reference(folder):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler on this machine, so there is no second language to compare with")
    source = ROOT / "tests" / "support" / "noise_reference.c"
    flags = ["-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Werror"]
    subprocess.run([compiler, *flags, source, "-o", folder / "noise.so", "-lm"], check=True)


@pytest.fixture(scope="module")
def c_normal(shared):
    """The compiled C definition of the noise."""
    function = ctypes.CDLL(str(shared.folder("noise_reference", compile_reference) / "noise.so")).normal
    function.argtypes = [*[ctypes.c_uint64] * 2, *[ctypes.c_uint32] * 3, ctypes.c_void_p]

    def normal(seed, sample, step, size, first_block=0):
        blocks = -(-size // 4)
        out = np.empty(4 * blocks, np.float32)
        function(seed, sample, step, first_block, blocks, out.ctypes.data)
        return out[:size]

    return normal


def test_c_draws_the_same_bits_over_a_million_values(c_normal):
    ours = noise.normals(1234, [7, 2**40 + 5], [0, 1], 1 << 18)
    for i, step in enumerate((0, 1)):
        for j, sample in enumerate((7, 2**40 + 5)):
            theirs = c_normal(1234, sample, step, 1 << 18)
            np.testing.assert_array_equal(ours[i, j].view(np.uint32), theirs.view(np.uint32))


@pytest.mark.parametrize("seed", [0, 1, 0xFFFFFFFF, 1 << 32, MAX64])
@pytest.mark.parametrize("sample", [0, 0xFFFFFFFF, 1 << 32, MAX64])
@pytest.mark.parametrize("step", [0, 999, noise.INITIAL_STEP])
def test_c_draws_the_same_bits_at_the_ends_of_the_counters(c_normal, seed, sample, step):
    ours, theirs = noise.normal(seed, [sample], step, 1023)[0], c_normal(seed, sample, step, 1023)
    np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32))


def test_the_noise_of_a_sample_does_not_depend_on_its_batch():
    together = noise.normal(7, range(64), 3, 3072)
    np.testing.assert_array_equal(noise.normal(7, [40], 3, 3072)[0], together[40])
    np.testing.assert_array_equal(noise.normals(7, [40, 2], range(5), 3072)[3], together[[40, 2]])
    ahead = list(noise.rows_of_noise(7, [40, 2], range(5), 3072))
    np.testing.assert_array_equal(ahead[3], together[[40, 2]])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 784, 3 * 256 * 256])
def test_the_noise_of_a_small_image_is_a_prefix_of_that_of_a_large_image(size):
    assert noise.normal(0, [5], 1, size).shape == (1, size)
    np.testing.assert_array_equal(noise.normal(0, [5], 1, size), noise.normal(0, [5], 1, size + 9)[:, :size])


def test_the_noise_is_standard_normal_and_independent_between_addresses():
    z = noise.normals(11, range(64), range(16), 1024).astype(np.float64)
    count = z.size  # a million: standard errors 1e-3 for the mean, 1.4e-3 for the variance, 5e-3 for the kurtosis
    assert abs(z.mean()) < 5 / math.sqrt(count)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / count)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / count)
    flat = z.reshape(16, 64, 1024)
    for a, b in ((flat[:-1], flat[1:]), (flat[:, :-1], flat[:, 1:]), (flat[..., :-1], flat[..., 1:])):
        assert abs((a * b).mean()) < 5 / math.sqrt(a.size)  # neighbours in step, sample and element
    other = noise.normals(12, range(64), range(16), 1024)
    assert abs((z * other).mean()) < 5 / math.sqrt(count)


def test_the_distribution_is_the_normal_one_everywhere():
    """Kolmogorov-Smirnov: the largest distance to the normal distribution function; 1.95 / sqrt(n) is p = 0.001."""
    z = np.sort(noise.normal(5, range(100), 0, 5000).ravel().astype(np.float64))
    expected = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z[::50]])
    found = (np.arange(len(z))[::50] + 0.5) / len(z)
    assert np.abs(found - expected).max() < 1.95 / math.sqrt(len(z))


@pytest.mark.slow
def test_logarithm_and_sine_are_as_accurate_as_the_module_says():
    """Checks the bounds of the module's docstring for every 7th of the 2^24 inputs and for the first and last."""
    n = np.unique(np.append(np.arange(1, 1 << 24, 7), [1, 2, (1 << 24) - 1, 1 << 24]))
    u = n.astype(np.float32) * np.float32(2.0**-24)
    exact = np.log(u.astype(np.float64))
    ulp = np.spacing(np.maximum(np.abs(exact), 1e-30).astype(np.float32)).astype(np.float64)
    assert (np.abs(noise.ln(u) - exact) / ulp)[exact != 0].max() < 2.6
    assert noise.ln(np.float32([1.0]))[0] == 0.0
    cosine, sine = noise.cos_sin((n - 1).astype(np.int32))
    angle = (n - 1) * (2 * np.pi / (1 << 24))
    assert np.abs(cosine - np.cos(angle)).max() < 1e-7
    assert np.abs(sine - np.sin(angle)).max() < 1e-7


@pytest.mark.parametrize(
    ("seed", "sample", "step"), [(-1, 0, 0), (2**64, 0, 0), (0, -1, 0), (0, 2**64, 0), (0, 0, -1), (0, 0, 2**32)]
)
def test_an_address_out_of_range_is_refused(seed, sample, step):
    with pytest.raises(ValueError, match="must lie in"):
        noise.normal(seed, [sample], step, 4)
