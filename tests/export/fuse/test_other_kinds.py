"""Fused chains of other processes and shapes against the loop: the networks work on each value, so bits are equal."""

import numpy as np
import pytest
from condition_files import write_divided
from gaussian_model import gaussian_card
from node_runs import session_of
from other_kinds import flow_card, mixed_card, sigma_card

import ddpm_rt
from ddpm_export.fuse.fuse import fuse
from ddpm_rt import DdpmRtError, Request
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


def test_a_network_of_more_inputs_is_refused(tmp_path):
    card = mixed_card()
    model = write_divided(tmp_path / "unet.onnx", card)
    with pytest.raises(
        DdpmRtError, match="takes the inputs image, number, before; a fused chain gives only x, t and y"
    ):
        fuse(model, SamplerOptions(steps=3).compile(card), tmp_path / "chain.onnx")


def test_bytes_are_for_pictures(tmp_path):
    card, _ = KINDS["a volume"]
    model = write_divided(tmp_path / "unet.onnx", card)
    with pytest.raises(ValueError, match="draws no pictures"):
        fuse(model, SamplerOptions(steps=3).compile(card), tmp_path / "chain.onnx", image="uint8")
