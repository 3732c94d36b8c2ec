"""Fused chains of other processes and shapes against the loop: the networks work on each value, so bits are equal."""

import numpy as np
import pytest
from condition_files import denoiser_card, write_denoiser, write_divided, write_mixed, write_super_resolution
from gaussian_model import gaussian_card
from node_runs import session_of
from other_kinds import flow_card, images, mixed_card, sigma_card

import ddpm_rt
from ddpm_export.fuse.fuse import fuse
from ddpm_rt import Request
from ddpm_rt.artifacts.fused_chain import input_name
from ddpm_rt.engines.fused import FusedRunner
from ddpm_rt.requests.sampler_options import SamplerOptions

KINDS = {
    "sigma": (sigma_card(), {"sampler": "dpm++"}),
    "sigma with noise": (sigma_card(), {"sampler": "euler-a"}),
    "flow": (flow_card(), {"sampler": "euler"}),
    "fractional times": (gaussian_card(), {"sampler": "dpm++", "spacing": "karras"}),
    "a number": (gaussian_card(image_shape=(3,)), {"sampler": "ddpm"}),
    "a sequence": (gaussian_card(image_shape=(2, 7)), {"sampler": "ddpm"}),
    "a volume": (gaussian_card(image_shape=(1, 2, 3, 5)), {"sampler": "ddpm"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_of_another_kind_is_the_loop_s(tmp_path, kind):
    card, options = KINDS[kind]
    model = write_divided(tmp_path / "unet.onnx", card)
    sampler = SamplerOptions(steps=6, **options).compile(card)
    fuse(model, sampler, tmp_path / "chain.onnx", threads=1)
    with ddpm_rt.open_denoiser(model, threads=1) as engine:
        expected = Request(seed=5, count=3, compiled=sampler).drawn(engine)
    session = session_of(str(tmp_path / "chain.onnx"))
    found = session.run(["image"], {"seed": np.array(5), "sample": np.arange(3)})[0]
    np.testing.assert_array_equal(found, expected)


CONDITIONS = {
    "a level and a number": (denoiser_card(), write_denoiser, {"difficulty": [10.0, 42.5, -3.0]}, {"difficulty": 0.5}),
    "a picture and the previous x0": (
        None, write_super_resolution, {"low_res": images(3, (1, 4, 6))}, {"low_res": images(1, (1, 4, 6), 1)[0]}),
    "a picture, an integer and the previous x0": (
        mixed_card(), write_mixed, {"image": images(3, (1, 4, 6)), "number": [1, 5, 3]}, {"number": 7}),
}  # fmt: skip
NAMES = {"image": "input.image"}  # the chain's output has that name


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("sampler", ["ddim", "dpm++", "euler-a"])
@pytest.mark.parametrize("kind", CONDITIONS)
def test_conditions_are_inputs_of_the_chain(tmp_path, kind, sampler, guidance):
    card, write, inputs, null = CONDITIONS[kind]
    model = write(tmp_path / "unet.onnx") if card is None else write(tmp_path / "unet.onnx", card=card)
    null = null if guidance != 1.0 else {}
    with ddpm_rt.open_denoiser(model, threads=1) as engine:
        plan = SamplerOptions(sampler=sampler, steps=6).compile(engine.card)
        asked = Request(seed=5, count=3, compiled=plan, inputs=inputs, guidance=guidance, null_inputs=null)
        expected, facts = asked.drawn(engine), engine.card.inputs
    fuse(model, plan, tmp_path / "chain.onnx", guidance=guidance, null_inputs=null, threads=1)
    session = session_of(str(tmp_path / "chain.onnx"))
    given = {NAMES.get(name, name): np.array(value, facts[name].dtype) for name, value in inputs.items()}
    feeds = {"seed": np.array(5), "sample": np.arange(3), **given}
    assert {one.name for one in session.get_inputs()} == feeds.keys()
    np.testing.assert_array_equal(session.run(["image"], feeds)[0], expected)
    other = {
        name: value[:1] + 1 if name in given else value[:1] if value.ndim else value for name, value in feeds.items()
    }
    assert (session.run(["image"], other)[0] != expected[:1]).any()


def test_a_graph_of_fixed_batch_gets_the_inputs_of_each_sample(tmp_path):
    model, low_res = write_super_resolution(tmp_path / "unet.onnx", batch=2), images(5, (1, 4, 6))
    with ddpm_rt.open_denoiser(model, threads=1) as engine:
        plan = SamplerOptions(sampler="ddpm", steps=4).compile(engine.card)
        expected = Request(seed=5, count=5, compiled=plan, inputs={"low_res": low_res}).drawn(engine)
    fuse(model, plan, tmp_path / "chain.onnx", threads=1)
    found = FusedRunner(tmp_path / "chain.onnx", threads=1)(5, range(5), None, {"low_res": low_res})
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("guidance", "null", "message"),
    [
        (2.0, {}, "guidance needs the inputs that stand for no condition"),
        (1.0, {"difficulty": 0.0}, "null inputs are for guidance"),
        (2.0, {"difficulty": [0.0, 1.0]}, "null input 'difficulty' is fixed in the file and must be one entry"),
        (2.0, {"level": 0.0}, "no input 'level'"),
    ],
)
def test_null_inputs_that_do_not_fit_are_refused(tmp_path, guidance, null, message):
    model = write_denoiser(tmp_path / "unet.onnx", card=denoiser_card())
    plan = SamplerOptions(steps=3).compile(denoiser_card())
    with pytest.raises(ValueError, match=message):
        fuse(model, plan, tmp_path / "chain.onnx", guidance=guidance, null_inputs=null)
    assert not (tmp_path / "chain.onnx").exists()


def test_names_that_a_chain_has_itself_get_a_prefix_and_no_two_inputs_one_name():
    names = ["image", "seed", "sample", "y", "chain.x", "network.x", "input.image", "low_res", "images"]
    found = [input_name(name) for name in names]
    assert found == [*(f"input.{name}" for name in names[:7]), "low_res", "images"]


def test_bytes_are_for_pictures(tmp_path):
    card, _ = KINDS["a volume"]
    model = write_divided(tmp_path / "unet.onnx", card)
    with pytest.raises(ValueError, match="draws no pictures"):
        fuse(model, SamplerOptions(steps=3).compile(card), tmp_path / "chain.onnx", image="uint8")
