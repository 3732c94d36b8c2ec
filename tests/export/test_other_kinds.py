"""Modules with named inputs, other shapes and other processes, through `export_onnx` and ONNX Runtime."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from other_kinds import flow_card, mixed_card, sigma_card
from torch import nn

import ddpm_rt
from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_rt import DdpmRtError, Request
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.engine import as_engine


class Mixed(nn.Module):
    """x, t, and every kind of input: an image, a number and the previous x0."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, x, t, image, number, before):
        time = (t.float() / 1000)[:, None, None, None]
        return self.conv(torch.cat([x, image, before], dim=1)) * (1 + time) + 0.01 * number[:, None, None, None]


class Levels(nn.Module):
    """A network of sequences that is told a noise level."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(12, 12)

    def forward(self, x, t, *more):
        scale = (1 + t**2).sqrt()[:, None, None]
        out = self.mix(x / scale)
        return out if not more else out + more[0][:, None, None]


@pytest.fixture(autouse=True)
def fixed_weights():
    torch.manual_seed(0)


def by_hand(module, engine, request):
    """The chain of a module in PyTorch, by the table of the request."""
    bound = request.bind(engine.card)

    def network(x, t, y=None, inputs=None):
        more = [] if inputs is None else [torch.from_numpy(inputs[name]) for name in engine.card.inputs]
        told = torch.from_numpy(t.astype(np.int64 if engine.card.process is None else np.float32))
        with torch.no_grad():
            return module(torch.from_numpy(x), told, *more).numpy()

    network.card = engine.card
    return bound.drawn(as_engine(network))


@pytest.mark.slow
def test_a_module_with_inputs_and_self_conditioning_is_exported_and_sampled(tmp_path):
    module = Mixed()
    written = export_onnx(module, mixed_card(), tmp_path / "x.onnx")
    assert [*written.inputs] == ["image", "number", "before"]
    assert written.provenance.parity["max_abs_error"] < 1e-5
    given = {"image": np.random.default_rng(0).uniform(-1, 1, (2, 1, 4, 6)), "number": [3, 1, 2]}
    request = Request(sampler="dpm++", steps=5, count=4, batch=3, inputs=given)
    with ddpm_rt.open_denoiser(tmp_path / "x.onnx", provider="cpu") as engine:
        # float32 sums in another order, five times
        np.testing.assert_allclose(request.drawn(engine), by_hand(module, engine, request), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("card", [sigma_card(), flow_card(prediction="x0")])
@pytest.mark.parametrize("conditional", [False, True])
def test_a_module_that_is_told_a_level_takes_it_as_float32(tmp_path, card, conditional):
    module, inputs = Levels(), {"shift": InputFacts("float32", ())} if conditional else {}
    export_onnx(module, replace(card, inputs=inputs), tmp_path / "x.onnx")
    request = Request(steps=4, count=2, inputs={"shift": 0.5} if conditional else {})
    with ddpm_rt.open_denoiser(tmp_path / "x.onnx", provider="cpu") as engine:
        assert not engine.whole_times()
        np.testing.assert_allclose(request.drawn(engine), by_hand(module, engine, request), atol=1e-4, rtol=1e-5)


def test_a_level_cannot_be_hoisted_into_tables(tmp_path):
    with pytest.raises(ValueError, match="tables of t need whole timesteps"):
        export_onnx(Levels(), sigma_card(), tmp_path / "x.onnx", ExportOptions(hoist=True))
    assert not (tmp_path / "x.onnx").exists()


def test_an_input_that_the_card_does_not_name_is_refused(tmp_path):
    card = mixed_card()
    inputs = {name: facts for name, facts in card.inputs.items() if name != "before"}
    with pytest.raises(DdpmRtError, match="before"):
        export_onnx(Mixed(), mixed_card(inputs=inputs), tmp_path / "x.onnx")
