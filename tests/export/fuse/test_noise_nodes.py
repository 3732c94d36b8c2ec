"""The noise and the exponential in a graph, against ddpm_rt's, bit by bit."""

import json

import numpy as np
import pytest
from node_runs import bits, run_nodes
from repository import ROOT

from ddpm_export.fuse.exponential_nodes import exponential
from ddpm_export.fuse.nodes import Constants, Nodes
from ddpm_export.fuse.noise_nodes import cos_sin, ln, noise_inputs, normals, step_words
from ddpm_rt import noise
from ddpm_rt.engines.fused import signed
from ddpm_rt.exponential import exp

OPTIMISED = pytest.mark.parametrize("optimised", [True, False], ids=["optimised", "plain"])


def nodes():
    return Nodes(Constants(), "test")


def drawn(seed, samples, step, shape, *, optimised=True):
    graph = nodes()
    batch = graph.call("Shape", "sample")
    known = noise_inputs(graph, "seed", "sample", batch, int(np.prod(shape)))
    z = normals(graph, known, step_words([step])[0], shape)
    return run_nodes(graph, {"seed": signed([seed]).reshape(()), "sample": signed(samples)}, z, optimised=optimised)


@OPTIMISED
def test_normals_have_the_bits_of_the_golden_file(optimised):
    for known in json.loads((ROOT / "tests/golden/noise.json").read_text())["normals"]:
        shape = (1, 1, len(known["bits"]))
        found = drawn(known["seed"], [known["sample"]], known["step"], shape, optimised=optimised)
        assert bits(found).ravel().tolist() == known["bits"]


@OPTIMISED
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 4, 8)])
def test_a_batch_has_the_normals_of_its_samples_in_the_shape_of_images(shape, optimised):
    samples = [0, (1 << 64) - 1, 1 << 32, (1 << 63) + 5, 7]
    for seed, step in ((0, 0), ((1 << 64) - 1, 999), (1 << 63, noise.INITIAL_STEP), (0x123456789ABCDEF0, 1)):
        found = drawn(seed, samples, step, shape, optimised=optimised)
        expected = noise.normal(seed, samples, step, int(np.prod(shape))).reshape(-1, *shape)
        np.testing.assert_array_equal(bits(found), bits(expected))


@pytest.mark.slow
@OPTIMISED
def test_a_million_normals_have_equal_bits(optimised):
    found = drawn(11, range(4), 5, (1, 512, 512), optimised=optimised)
    np.testing.assert_array_equal(bits(found).reshape(4, -1), bits(noise.normal(11, range(4), 5, 1 << 18)))


@OPTIMISED
def test_ln_has_the_bits_of_the_definition_at_every_threshold_and_between(optimised):
    powers = 2.0 ** np.arange(25)
    near = np.concatenate([powers * edge for edge in (1, 0.5**0.5, 2**0.5)]).astype(np.int64)
    n = np.concatenate([near + shift for shift in (-2, -1, 0, 1)] + [np.arange(0, 1 << 24, 997)])
    n = np.unique(np.clip(n, 0, (1 << 24) - 1))
    graph = nodes()
    found = run_nodes(graph, {"n": n.astype(np.float32)}, ln(graph, "n"), optimised=optimised)
    expected = noise.ln((n + 1).astype(np.float32) * np.float32(2.0**-24))
    np.testing.assert_array_equal(bits(found), bits(expected))


@OPTIMISED
def test_cosine_and_sine_have_the_bits_of_the_definition_at_every_quadrant_s_edge_and_between(optimised):
    edges = np.arange(0, 9) << 21
    n = np.concatenate([edges + shift for shift in (-1, 0, 1)] + [np.arange(0, 1 << 24, 1009)])
    n = np.unique(np.clip(n, 0, (1 << 24) - 1)).astype(np.int32)
    for which, expected in enumerate(noise.cos_sin(n)):
        graph = nodes()
        found = run_nodes(graph, {"n": n.astype(np.float32)}, cos_sin(graph, "n")[which], optimised=optimised)
        np.testing.assert_array_equal(bits(found), bits(expected))


@OPTIMISED
def test_the_exponential_has_the_bits_of_the_definition_for_all_kinds_of_numbers(optimised):
    patterns = np.random.default_rng(0).integers(0, 1 << 32, 100_000, np.uint32).view(np.float32)
    near = np.concatenate([np.linspace(-110, 95, 100_001), [0.0, -0.0, np.inf, -np.inf, 89, -104]])
    x = np.concatenate([patterns, near.astype(np.float32)])
    graph = nodes()
    found = run_nodes(graph, {"x": x}, exponential(graph, "x"), optimised=optimised)
    known = ~np.isnan(x)
    np.testing.assert_array_equal(bits(found[known]), bits(exp(x)[known]))
    assert np.isnan(found[~known]).all()
    assert (~known).any()
