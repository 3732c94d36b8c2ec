"""`ddpm-rt quantize` as a command: the file, its card and record, what it prints, and what it refuses."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from command import failed, run
from onnx import numpy_helper
from tiny_unet import CONFIG, tiny_card

from ddpm_export.cli import quantize as command
from ddpm_export.onnx_export import ExportOptions, export_onnx, weights_of_onnx
from ddpm_export.quantize import quantize
from ddpm_ref.unet import UNet
from ddpm_rt import DdpmRtError, open_denoiser
from ddpm_rt.artifacts.fitted_tables import embed, fitted_tables
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.onnx_metadata import write_metadata
from ddpm_rt.artifacts.quantization_record import METADATA_KEY, read_quantization
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.verify.verdict import default_tolerance

QUICK = ("--calibrate", 2, "--compare", 1, "--threads", 1)


@pytest.fixture(scope="module")
def made(exported, tmp_path_factory):
    """The source, the steps file, the output, and what the command said."""
    source, folder = exported("fp32", False), tmp_path_factory.mktemp("quantised")
    table, out = folder / "x.steps.json", folder / "int8.onnx"
    assert run("steps", source, "--steps", 2, "-o", table).exit_code == 0
    asked = ("--steps-file", table, "--keep", "*.attentions.0.to_q,down_blocks.0.resnets.0.conv2")
    return source, table, out, run("quantize", source, "-o", out, *asked, *QUICK)


def test_it_prints_a_row_for_every_layer_and_what_the_file_is_worth(made):
    _, _, out, result = made
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert rows["conv_in"].endswith("float: first convolution")
    assert rows["down_blocks.0.resnets.0.conv2"].endswith("float: --keep")
    assert rows["mid_block.resnets.0.conv1"].split()[1].endswith("%")
    count = sum(line.endswith("  int8") for line in result.stdout.splitlines())
    assert f"{count} of " in rows[f"{out}:"]
    assert "MB, fp32+int8, " in rows[f"{out}:"]
    assert "QLinearConv" in result.stdout
    assert "1 chains (sampler ddim, steps 2) reach" in result.stdout


def test_the_card_has_the_precision_the_source_and_the_measured_errors(made):
    source, _, out, _ = made
    before, card = read_onnx_card(source), read_onnx_card(out)
    assert card.precision == "fp32+int8"
    assert card.provenance.weights_sha256 == before.provenance.weights_sha256
    assert 0 < card.provenance.parity["relative_rms_error"] < 0.2
    assert 15 < card.provenance.parity["worst_chain_psnr"] <= card.provenance.parity["chain_psnr"] < 200
    assert dataclasses.replace(card, precision="fp32", provenance=before.provenance) == before


def test_inspect_shows_the_layers_and_the_operators_of_the_graph_that_runs(made):
    _, _, out, _ = made
    text = run("inspect", out).stdout
    assert "fp32+int8" in text
    assert "ONNX Runtime runs" in text
    assert "down_blocks.0.resnets.0.conv2 (--keep)" in text
    found = json.loads(run("inspect", out, "--json").stdout)
    int8 = [name for name, layer in found["quantization"]["layers"].items() if layer["float"] is None]
    assert found["operators"]["QLinearConv"] == sum("conv" in name for name in int8)
    assert found["quantization"]["calibration"]["samples"] == 2
    assert all(layer["error"] > 0 for name, layer in found["quantization"]["layers"].items() if name in int8)


def test_it_is_sampled_verified_and_fitted_like_any_other(made, tmp_path):
    source, table, out, _ = made
    images = tmp_path / "x.npy"
    failed(run("sample", out, "--steps-file", table, "--count", 2, "-o", images), "compiled for another model")
    assert run("sample", out, "--steps", 2, "--count", 2, "-o", images).exit_code == 0
    assert np.isfinite(np.load(images)).all()
    result = run("verify", out, "--engine-b", source, "--sampler", "ddim", "--steps", 2, "--min-psnr", 15)
    assert result.exit_code == 0, result.output
    assert default_tolerance("fp32+int8", "fp32").min_psnr == 30.0
    few = ("--samples", 4, "--held-out", 2, "--teacher-calls", 6)
    assert run("tune", out, "--calls", 2, "--embed", *few).exit_code == 0
    assert list(fitted_tables(out)) == [2]


@pytest.mark.slow
def test_tables_of_the_float_model_are_left_out(exported, tmp_path, few):
    """They belong to its card, and a fitted one to its errors."""
    source = tmp_path / "float.onnx"
    source.write_bytes(exported("fp32", False).read_bytes())
    card = read_onnx_card(source)
    embed(source, SamplerOptions(steps=3).compile(card), card)
    quantize(source, tmp_path / "int8.onnx", few(card, calibrate=1, compare=1, keep=["up_blocks*"]))
    assert fitted_tables(tmp_path / "int8.onnx") == {}


@pytest.mark.slow
def test_labels_guidance_a_learned_variance_and_a_fixed_batch(tmp_path, few):
    config = dataclasses.replace(CONFIG, num_class_embeds=4, out_channels=2)
    torch.manual_seed(0)
    names = {"x": "x", "t": "t", "y": "y", "out": "out"}
    facts = {"classes": 4, "null_class": 3, "names": names, "variance": "learned_range"}
    card = dataclasses.replace(tiny_card(), **facts)
    source, out = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    export_onnx(UNet(config).eval(), card, source, ExportOptions(static_batch=2, threads=1))
    found = quantize(source, out, few(card, label=[0, 2], guidance=2.0, batch=2))
    assert found.quantised > 5
    record = read_quantization(out)
    assert (record["calibration"]["label"], record["calibration"]["guidance"]) == ([0, 2], 2.0)
    with open_denoiser(out, threads=1) as engine, open_denoiser(source, threads=1) as exact:
        x = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
        t, y = np.array([900, 900, 20]), np.array([0, 3, 1])
        expected = exact(x, t, y)
        assert engine(x, t, y).shape == (3, 2, 8, 8)
        assert np.sqrt(np.mean((engine(x, t, y) - expected) ** 2)) < 0.2 * np.sqrt(np.mean(expected**2))


@pytest.mark.slow
def test_an_export_of_opset_21_becomes_fp16(tmp_path, few):
    """Its GroupNormalization has no types that onnx infers."""
    source, out = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    export_onnx(UNet(CONFIG).eval(), tiny_card(), source, ExportOptions(opset=21, threads=1))
    quantize(source, out, few(tiny_card(), target="tensorrt", precision="fp16"))
    types = {tensor.data_type for tensor in onnx.load(out).graph.initializer if tensor.name.endswith(".scale")}
    assert types == {onnx.TensorProto.FLOAT16}
    assert set(read_onnx_card(out).precision.split("+")) >= {"fp16", "int8"}


@pytest.mark.slow
def test_a_model_of_other_types_is_refused(exported, made, tmp_path):
    out = tmp_path / "x.onnx"
    failed(run("quantize", exported("fp16", True), "-o", out, *QUICK), "is in fp16; quantise an export in fp32")
    failed(run("quantize", made[2], "-o", out, *QUICK), "fp32+int8; quantise an export in fp32")
    with pytest.raises(DdpmRtError, match="weights were"):
        weights_of_onnx(made[2])
    assert not out.exists()


def test_a_card_that_does_not_say_int8_is_corrected_by_inspect_and_refused_by_others(made, tmp_path):
    """As where another tool quantised an export, and kept its card."""
    from ddpm_rt.artifacts.card import METADATA_KEY as CARD

    old = tmp_path / "old.onnx"
    old.write_bytes(made[2].read_bytes())
    write_metadata(old, {CARD: dataclasses.replace(read_onnx_card(old), precision="fp32").to_json()})
    said = "the card says fp32, but the graph computes in fp32 and int8"
    assert said in run("inspect", old).stdout
    failed(run("build", old, "-o", tmp_path / "x.plan"), said)
    failed(run("quantize", old, "-o", tmp_path / "x.onnx", *QUICK), said)


def test_a_damaged_record_is_one_line(made, tmp_path):
    bad = tmp_path / "bad.onnx"
    for text, reason in (("{", "damaged record"), ('{"format": 2}', "not of format 1")):
        bad.write_bytes(made[2].read_bytes())
        write_metadata(bad, {METADATA_KEY: text})
        failed(run("inspect", bad), reason)
    assert read_quantization(made[0]) is None


def test_what_cannot_be_asked_is_one_line(made, tmp_path):
    source, table, _, _ = made
    out = tmp_path / "x.onnx"
    failed(run("quantize", source, "-o", source, *QUICK), "input", code=2)
    failed(run("quantize", source, "-o", tmp_path / "x.plan", *QUICK), ".onnx", code=2)
    failed(run("quantize", source, "-o", out, "--label", 1, *QUICK), "unconditional", code=2)
    failed(run("quantize", source, "-o", out, "--steps-file", table, "--keep", "no.such", *QUICK), "names no layer")
    failed(run("quantize", source, "-o", out, "--keep", "*", "--steps-file", table, *QUICK), "--keep leaves")
    failed(run("quantize", tmp_path / "none.onnx", "-o", out, *QUICK), "is not a file")
    half = ("-o", out, "--precision", "fp16", *QUICK)
    failed(run("quantize", source, *half), "fp16 is for TensorRT (--for tensorrt)", code=2)
    older, model = tmp_path / "older.onnx", onnx.load(source)
    model.opset_import[0].version = 17
    onnx.save(model, older)
    failed(run("quantize", older, "--for", "tensorrt", *half), "has opset 17; fp16 needs an export of opset 18")
    assert not out.exists()


@pytest.mark.parametrize(
    ("factor", "message"),
    [(1e7, "conv_in.weight has values up to"), (1.9e5, "not finite; choose --precision fp32")],
)
def test_weights_or_activations_too_large_for_fp16_are_one_line(made, tmp_path, factor, message):
    model = onnx.load(made[0])
    weights = next(tensor for tensor in model.graph.initializer if tensor.name.startswith("conv_in.weight"))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(factor), weights.name))
    onnx.save(model, tmp_path / "large.onnx")
    half = ("--for", "tensorrt", "--precision", "fp16", *QUICK)
    result = run("quantize", tmp_path / "large.onnx", "--steps-file", made[1], "-o", tmp_path / "x.onnx", *half)
    failed(result, message, "--precision")
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.slow
def test_an_interrupt_leaves_no_file(made, tmp_path, monkeypatch):
    source, table, _, _ = made

    def interrupt(stage):
        if stage == "comparing whole chains with the float model":
            raise KeyboardInterrupt

    class Bar:
        def __enter__(self):
            return interrupt

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(command, "stage_line", lambda quiet: Bar())
    result = run("quantize", source, "-o", tmp_path / "x.onnx", "--steps-file", table, *QUICK)
    assert result.exit_code == 130
    assert list(tmp_path.iterdir()) == []


def test_a_processor_without_dot_products_of_bytes_is_warned_of(monkeypatch, capsys):
    from ddpm_rt.measure import machine

    for known, warned in (([], True), (["AMX"], False), (None, False)):
        monkeypatch.setattr(machine, "int8_instructions", lambda known=known: known)
        command._warn_of_cpu()
        assert ("no dot product" in capsys.readouterr().err) == warned


def test_the_record_goes_with_the_file(made):
    metadata = {entry.key for entry in onnx.load(made[2], load_external_data=False).metadata_props}
    assert {"ddpm_rt.card", METADATA_KEY} <= metadata
