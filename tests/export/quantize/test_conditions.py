"""Networks with named inputs, self-conditioning and other shapes in int8."""

import json

import numpy as np
import pytest
import torch
from command import failed, run
from other_kinds import images, sigma_card
from torch import nn

import ddpm_rt
from ddpm_export.onnx_export import export_onnx
from ddpm_export.quantize import Quantization, quantize
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.quantization_record import read_quantization
from ddpm_rt.requests.request import Request
from ddpm_rt.requests.sampler_options import SamplerOptions

QUICK = {"calibrate": 4, "compare": 2, "threads": 1}
WIDTH = 16


class Small(nn.Module):
    """x0 from x, t, a condition of the same shape, and the previous x0."""

    def __init__(self, shape):
        super().__init__()
        conv = {2: nn.Conv1d, 3: nn.Conv2d}[len(shape)]
        self.first = conv(3 * shape[0], WIDTH, 3, padding=1)
        self.inner = nn.ModuleList(conv(WIDTH, WIDTH, 3, padding=1) for _ in range(2))
        self.last = conv(WIDTH, shape[0], 3, padding=1)

    def forward(self, x, t, low_res, before):
        each = t.reshape(-1, *[1] * (x.ndim - 1))
        hidden = self.first(torch.cat([x, low_res, before], dim=1)) / (1 + each)
        for layer in self.inner:
            hidden = hidden + layer(torch.relu(hidden))
        return torch.tanh(self.last(hidden))


pytestmark = pytest.mark.slow  # two exports


@pytest.fixture(scope="module", params=[(1, 8, 8), (2, 16)], ids=["picture", "sequence"])
def source(request, tmp_path_factory):
    """The float model of a shape: noise levels, a condition, self-conditioning."""
    shape = request.param
    inputs = {"low_res": InputFacts("float32", shape), "before": InputFacts("float32", shape, "prev_x0")}
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    torch.manual_seed(0)
    export_onnx(Small(shape).eval(), sigma_card(image_shape=shape, inputs=inputs, clip=(-1.0, 1.0)), path)
    return path


def test_the_ranges_come_from_chains_with_the_inputs(source, tmp_path):
    with ddpm_rt.open_denoiser(source, threads=1) as exact:
        card = exact.card
        table = SamplerOptions(steps=3).compile(card)
        low_res, out = images(3, card.image_shape), tmp_path / "int8.onnx"
        done = quantize(source, out, Quantization(sampler=table, inputs={"low_res": low_res}, **QUICK))
        asked = Request(seed=3, count=3, compiled=table, inputs={"low_res": low_res})
        expected = asked.drawn(exact)
    layers = read_quantization(out)["layers"]
    assert [layer["float"] for layer in layers.values()] == ["first convolution", None, None, "last convolution"]
    assert 0 < done.relative_rms_error < 0.1
    with ddpm_rt.open_denoiser(out, threads=1) as engine:
        assert engine.card.inputs == card.inputs
        found = asked.drawn(engine)
    assert 0 < np.abs(found - expected).max() < 0.2
    other = quantize(source, out, Quantization(sampler=table, inputs={"low_res": 10 * low_res}, **QUICK))
    assert other.table[1].error != done.table[1].error


def test_the_command_takes_inputs_and_records_their_hash(source, tmp_path):
    np.save(tmp_path / "low_res.npy", images(2, read_onnx_card(source).image_shape))
    out, table = tmp_path / "int8.onnx", tmp_path / "x.steps.json"
    assert run("steps", source, "--steps", 2, "-o", table).exit_code == 0
    quick = ("--steps-file", table, "--calibrate", 2, "--compare", 1, "--threads", 1)
    failed(run("quantize", source, "-o", out, *quick), "the model needs input 'low_res'", code=2)
    result = run("quantize", source, "-o", out, *quick, "--input", f"low_res={tmp_path / 'low_res.npy'}")
    assert result.exit_code == 0, result.output
    record = json.loads(run("inspect", out, "--json").stdout)["quantization"]
    assert record["calibration"]["inputs"].startswith("low_res=")
