"""`ddpm-rt fuse`, and what `inspect`, `verify` and `sample` say of its files."""

import json

import onnx
import pytest
from click.testing import CliRunner
from command import failed
from condition_files import denoiser_card, write_denoiser
from gaussian_model import conditional_card, write_conditional, write_gaussian
from onnx import numpy_helper

from ddpm_export.plans.build import read_source
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.fused_chain import METADATA_KEY, STEPS_KEY, read_fused
from ddpm_rt.artifacts.onnx_metadata import read_metadata, write_metadata
from ddpm_rt.cli import main


def command(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def made(folder, model, *arguments, sampler="ddpm"):
    """The fused file of a model."""
    steps, out = folder / "unet.steps.json", folder / "chain.onnx"
    assert command("steps", model, "--sampler", sampler, "--steps", 5, "-o", steps).exit_code == 0
    result = command("fuse", model, "--steps-file", steps, "-o", out, *arguments)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def chain(tmp_path, gaussian):
    return made(tmp_path, gaussian)


def test_the_command_says_what_it_wrote(tmp_path, gaussian):
    steps, out = tmp_path / "unet.steps.json", tmp_path / "chain.onnx"
    command("steps", gaussian, "--steps", 3, "-o", steps)
    result = command("fuse", gaussian, "--steps-file", steps, "-o", out)
    assert result.output.startswith(f"{out}: 0.0")
    assert "3 steps, within 0.0e+00 of the loop" in result.output
    onnx.checker.check_model(onnx.load(out), full_check=True)


def test_inspect_shows_the_table_and_the_card_of_the_network(chain):
    found = json.loads(command("inspect", chain, "--json").output)
    assert found["fused"]["steps"] == 5
    assert (found["fused"]["image"], found["fused"]["guidance"]) == ("float32", 1.0)
    assert found["card"]["image_shape"] == [1, 4, 6]
    assert [tensor["name"] for tensor in found["inputs"]] == ["seed", "sample"]
    assert "fused chain" in command("inspect", chain).output


@pytest.mark.parametrize("options", [(), ("--uint8",)])
def test_verify_finds_the_images_of_the_network(tmp_path, gaussian, options):
    chain = made(tmp_path, gaussian, *options)
    result = command("verify", chain, "--engine-b", gaussian, "--seed", 2**64 - 1, "--count", 5, "--json", "-")
    report = json.loads(result.output)
    assert (result.exit_code, report["ok"], report["largest"], report["reference_is_source"]) == (0, True, 0.0, True)


def test_verify_takes_labels_and_the_guidance_of_the_chain(tmp_path):
    model = write_conditional(tmp_path / "unet.onnx", card=conditional_card())
    chain = made(tmp_path, model, "--guidance", 3)
    result = command("verify", chain, "--engine-b", model, "--label", "2,0")
    assert (result.exit_code, result.output) == (0, "equal to the bit\n")


def test_verify_fails_for_other_images(tmp_path, chain, gaussian):
    other = tmp_path / "other.onnx"
    model = onnx.load(gaussian)
    (table,) = [tensor for tensor in model.graph.initializer if tensor.name == "coefficient"]
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table) * 1.01, "coefficient"))
    onnx.save(model, other)
    result = command("verify", chain, "--engine-b", other)
    assert result.exit_code == 1
    assert result.output.startswith("different: images within ")


@pytest.mark.parametrize("given", [["--sampler", "ddim"], ["--steps", "3"], ["--out", "report.html"]])
def test_verify_refuses_options_that_a_chain_has_no_use_for(chain, gaussian, given):
    result = command("verify", chain, "--engine-b", gaussian, *given)
    assert result.exit_code == 2
    assert "a fused chain has its own sampler" in result.output


def test_a_chain_is_no_network(tmp_path, chain, gaussian):
    for arguments in (["sample", chain, "--out", tmp_path / "x.png"], ["verify", gaussian, "--engine-b", chain]):
        result = command(*arguments)
        assert result.exit_code == 1
        assert "is a fused chain, which draws whole images; name the network" in result.output
    with pytest.raises(DdpmRtError, match="is a fused chain"):
        read_source(chain)
    table, out = tmp_path / "unet.steps.json", tmp_path / "twice"
    for arguments in (
        ["fuse", chain, "--steps-file", table, "-o", out.with_suffix(".onnx")],
        ["quantize", chain, "-o", out.with_suffix(".onnx")],
        ["build", chain, "-o", out.with_suffix(".plan")],
        ["web", chain, "--steps-file", table, "-o", out],
    ):
        failed(command(*arguments), "is a fused chain", "name the network")
    assert not [path for path in tmp_path.iterdir() if path.stem == "twice"]


def test_a_plan_is_no_onnx_file(tmp_path):
    plan = tmp_path / "unet.plan"
    plan.write_bytes(b"ftrt" + bytes(100))
    for verb, options in (("quantize", ()), ("fuse", ("--steps-file", plan))):
        result = command(verb, plan, *options, "-o", tmp_path / "x.onnx")
        failed(result, "unet.plan is a TensorRT plan; name the .onnx that it was built from")


def test_the_table_of_another_model_is_refused(tmp_path, chain):
    other = write_gaussian(tmp_path / "other.onnx", card=conditional_card(classes=None, null_class=None,
                           names={"x": "x", "t": "t", "out": "out"}, spacing="leading"))  # fmt: skip
    result = command("fuse", other, "--steps-file", tmp_path / "unet.steps.json", "-o", tmp_path / "wrong.onnx")
    assert result.exit_code == 1
    assert "was compiled for another model" in result.output


@pytest.mark.parametrize("guidance", ["2", "nan"])
def test_guidance_that_the_model_does_not_allow_is_a_wrong_option(tmp_path, chain, gaussian, guidance):
    steps = tmp_path / "unet.steps.json"
    result = command("fuse", gaussian, "--steps-file", steps, "-o", tmp_path / "x.onnx", "--guidance", guidance)
    assert (result.exit_code, (tmp_path / "x.onnx").exists()) == (2, False)


def test_an_opset_without_bitwise_operators_is_refused(tmp_path, chain, gaussian):
    model = onnx.load(gaussian)
    model.opset_import[0].version = 17
    onnx.save(model, tmp_path / "old.onnx")
    steps = tmp_path / "unet.steps.json"
    result = command("fuse", tmp_path / "old.onnx", "--steps-file", steps, "-o", tmp_path / "x.onnx")
    assert "is of opset 17" in result.output


def test_verify_takes_the_inputs_of_the_chain_and_the_null_inputs_it_was_fused_with(tmp_path):
    model = write_denoiser(tmp_path / "unet.onnx", card=denoiser_card())
    chain = made(tmp_path, model, "--guidance", 3, "--null-input", "difficulty=1.5", sampler="ddim")
    given = ["verify", chain, "--engine-b", model, "--input", "difficulty=42"]
    result = command(*given, "--null-input", "difficulty=1.5")
    assert (result.exit_code, result.output) == (0, "equal to the bit\n")
    for other in ([], ["--null-input", "difficulty=1.25"]):
        result = command(*given, *other)
        assert (result.exit_code, "fused with other null inputs (difficulty)" in result.output) == (2, True)
    found = json.loads(command("inspect", chain, "--json").output)["fused"]
    assert list(found["null_inputs"]) == ["difficulty"]
    assert "null inputs" in command("inspect", chain).output


FACTS = f'{{"format": 2, "image": "uint8", "guidance": 1, "model_sha256": "{"0" * 64}", "null_inputs": %s}}'


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        (METADATA_KEY, '{"format": 3}', "format must be 1"),
        (METADATA_KEY, '{"format": true}', "format must be 1"),
        (METADATA_KEY, '{"format": 1}', "the keys must be"),
        (METADATA_KEY, '{"format": 2, "image": "uint8", "guidance": 1, "model_sha256": ""}', "the keys must be"),
        (METADATA_KEY, FACTS % '{"a": "b"}', "null_inputs must be"),
        (METADATA_KEY, FACTS % "[]", "null_inputs must be"),
        (METADATA_KEY, "[", "facts of the fused chain are wrong"),
        (STEPS_KEY, "{}", "not a steps file"),
    ],
)
def test_damaged_facts_are_one_line(chain, key, text, reason):
    assert key in read_metadata(chain)
    write_metadata(chain, {key: text})
    with pytest.raises(DdpmRtError, match=reason):
        read_fused(chain)
    result = command("inspect", chain)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
