"""A quantised network, and a table of few calls to quantise others with."""

import pytest

from ddpm_export.quantize import Quantization, quantize
from ddpm_rt.requests.sampler_options import SamplerOptions


@pytest.fixture(scope="session")
def few():
    """Keywords of a quick quantisation of a model with this card."""

    def options(card, **more):
        sampler = SamplerOptions(steps=3).compile(card)
        return Quantization(**({"sampler": sampler, "calibrate": 4, "compare": 2, "threads": 1} | more))

    return options


@pytest.fixture(scope="session")
def quantised(exported, shared, few):
    """The path of the tiny network in int8 for a target; each is made once."""
    from ddpm_rt.artifacts.onnx_card import read_onnx_card

    def make(target, hoist=False, precision="fp32"):
        source = exported("fp32", hoist)

        def write(folder):
            quantize(source, folder / "unet.onnx", few(read_onnx_card(source), target=target, precision=precision))

        name = f"tiny-int8-{target}-{precision}{'-hoisted' if hoist else ''}"
        return shared.folder(name, write) / "unet.onnx"

    return make
