"""Fused chains against the loop. The networks here work on each value alone, so images must have equal bits."""

import numpy as np
import onnx
import pytest
from gaussian_model import conditional_card, gaussian_card, write_conditional, write_gaussian
from node_runs import session_of

import ddpm_rt
from ddpm_export.fuse.fuse import fuse
from ddpm_rt import DdpmRtError, Request
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.engines.fused import FusedRunner, signed
from ddpm_rt.images.write import to_pixels
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.sampler_options import SamplerOptions

SAMPLERS = {
    "ddpm": {"sampler": "ddpm"},
    "ddim": {"sampler": "ddim"},
    "ddim-eta": {"sampler": "ddim", "eta": 0.7},
    "dpm++": {"sampler": "dpm++"},
    "dpm++sde": {"sampler": "dpm++sde"},
    "euler": {"sampler": "euler"},
    "euler-a": {"sampler": "euler-a"},
    "lcm": {"sampler": "lcm"},
    "diffusers": {"sampler": "ddpm", "dialect": "diffusers"},
}
SEED, FIRST = (1 << 64) - 5, (1 << 32) - 2  # the sample numbers cross 2^32
STEPS = 7


def compiled(card, **options):
    return SamplerOptions(**{"steps": STEPS, **options}).compile(card)


def fused(tmp_path, model, sampler, **options):
    """The path of the fused file."""
    out = tmp_path / "chain.onnx"
    fuse(model, sampler, out, threads=1, **options)
    return out


def loop_images(model, sampler, count, **asked):
    with ddpm_rt.open_denoiser(model, threads=1) as engine:
        return Request(seed=SEED, first=FIRST, count=count, compiled=sampler, **asked).drawn(engine)


def run(path, count, *, optimised=True, **more):
    session = session_of(str(path), optimised=optimised)
    samples = signed(range(FIRST, FIRST + count))
    return session.run(["image"], {"seed": signed([SEED]).reshape(()), "sample": samples, **more})[0]


def check(path, expected, **more):
    """The graph's images have the bits of the loop's, one by one too, whether or not the graph is optimised."""
    for optimised in (True, False):
        np.testing.assert_array_equal(run(path, len(expected), optimised=optimised, **more), expected)
    one = {name: value[:1] for name, value in more.items()}
    np.testing.assert_array_equal(run(path, 1, **one), expected[:1])


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_the_images_of_the_loop(tmp_path, name):
    card = gaussian_card(clip=None if name == "ddim" else (-1.0, 1.0))
    model = write_gaussian(tmp_path / "unet.onnx", card=card)
    sampler = compiled(card, **SAMPLERS[name])
    check(fused(tmp_path, model, sampler), loop_images(model, sampler, 16))


@pytest.mark.slow
@pytest.mark.parametrize("time", ["int64", "int32", "float32", "one int64", "one float32"])
def test_time_comes_in_the_type_and_shape_of_the_network_s_input(tmp_path, time):
    card = conditional_card()
    model = write_conditional(tmp_path / "unet.onnx", card=card, time=time)
    sampler = compiled(card, sampler="ddpm")
    labels = np.array([0, 1, 2], np.int64)
    check(fused(tmp_path, model, sampler), loop_images(model, sampler, 3, label=_asked(labels)), y=labels)


def _asked(labels):
    """The label option that gives sample FIRST + n the label n."""
    size = len(labels)
    return tuple(int(labels[(place - FIRST) % size]) for place in range(size))


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["fixed_small", "learned_range"])
@pytest.mark.parametrize("guidance", [1.0, 2.5, 0.0])
def test_labels_guidance_and_a_learned_variance(tmp_path, variance, guidance):
    card = conditional_card(variance=variance, names={"x": "seed", "t": "sample", "y": "image", "out": "chain.x"})
    model = write_conditional(tmp_path / "unet.onnx", card=card, spread=0.3 if variance == "learned_range" else None)
    sampler = compiled(card, sampler="ddpm")
    labels = np.array([2, 0, 1, 3], np.int64)
    expected = loop_images(model, sampler, 4, label=_asked(labels), guidance=guidance)
    check(fused(tmp_path, model, sampler, guidance=guidance), expected, y=labels)


def test_bytes_are_those_of_a_png(tmp_path, gaussian):
    sampler = compiled(gaussian_card(), sampler="ddpm")
    found = run(fused(tmp_path, gaussian, sampler, image="uint8"), 5)
    np.testing.assert_array_equal(found, to_pixels(loop_images(gaussian, sampler, 5)))


def test_a_graph_of_fixed_batch_is_called_several_times(tmp_path):
    model = write_gaussian(tmp_path / "unet.onnx", batch=2)
    sampler = compiled(gaussian_card(), sampler="ddpm")
    runner = FusedRunner(fused(tmp_path, model, sampler), threads=1)
    found = runner(SEED, range(FIRST, FIRST + 5))
    np.testing.assert_array_equal(found, loop_images(model, sampler, 5))


def test_guidance_needs_a_graph_of_any_batch(tmp_path):
    model = write_conditional(tmp_path / "unet.onnx", batch=2)
    with pytest.raises(DdpmRtError, match="fixed batch"):
        fused(tmp_path, model, compiled(conditional_card()), guidance=2.0)
    assert not (tmp_path / "chain.onnx").exists()


def test_one_step_is_a_chain(tmp_path, gaussian):
    sampler = compiled(gaussian_card(), steps=1)
    check(fused(tmp_path, gaussian, sampler), loop_images(gaussian, sampler, 2))


def test_a_network_whose_output_is_not_finite_is_not_fused(tmp_path):
    model = write_gaussian(tmp_path / "unet.onnx", poison_at=999)
    with pytest.raises(DdpmRtError, match="not finite"):
        fused(tmp_path, model, compiled(gaussian_card()))


def test_the_loop_keeps_nothing_but_its_state(tmp_path, gaussian):
    """Memory does not grow with the steps: no output of the Loop collects what every iteration gives."""
    for options, states in (({"sampler": "ddpm"}, 1), ({"sampler": "dpm++"}, 2)):
        path = fused(tmp_path, gaussian, compiled(gaussian_card(), **options))
        (loop,) = [node for node in onnx.load(path).graph.node if node.op_type == "Loop"]
        assert (len(loop.input) - 2, len(loop.output)) == (states, states)


@pytest.mark.slow
def test_the_bundled_model_draws_the_images_of_the_loop(tmp_path):
    sampler = compiled(read_onnx_card(bundled_model()), sampler="ddpm")
    path = fused(tmp_path, bundled_model(), sampler)
    expected = loop_images(bundled_model(), sampler, 2)
    labels = np.arange(FIRST, FIRST + 2, dtype=np.int64) % 10  # those of the loop: every class in turn
    for optimised in (True, False):  # without optimisations, sums are taken in another order
        np.testing.assert_allclose(run(path, 2, optimised=optimised, y=labels), expected, rtol=0, atol=1e-5)


def test_a_graph_whose_images_differ_is_not_written(tmp_path, gaussian, monkeypatch):
    from ddpm_export.fuse import step_nodes

    monkeypatch.setattr(step_nodes, "normals", lambda graph, known, step, shape: graph.call("Identity", "chain.x"))
    with pytest.raises(DdpmRtError, match="differs from the loop"):
        fused(tmp_path, gaussian, compiled(gaussian_card(), sampler="ddpm"))
    assert not (tmp_path / "chain.onnx").exists()
