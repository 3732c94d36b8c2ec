import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from ddpm_rt import ModelCard
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.cli import main

SAID = {"--betas": "linear:1000:1e-4:0.02", "--prediction": "eps", "--variance": "fixed_small", "--clip": "-1,1"}
NAMED = {"--x": "sample", "--t": "timestep", "--output": "noise"}


def write_model(path, *, channels=1, out_channels=1, labelled=False, t_kind=TensorProto.INT64, side=4, poison=False):
    """out = scale * x (+ the label), with `out_channels` channels. A poisoned graph has NaN as `scale`."""
    image, scale = ["batch", channels, side, 6], np.full((1, 1, 1, 1), np.nan if poison else 0.5, np.float32)
    nodes = [
        helper.make_node("Mul", ["sample", "scale"], ["scaled"]),
        helper.make_node("Cast", ["timestep"], ["time"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["time", "per_image"], ["each"]),
        helper.make_node("Mul", ["each", "nothing"], ["zero"]),
        helper.make_node("Add", ["scaled", "zero"], ["one"]),
    ]
    inputs = [
        helper.make_tensor_value_info("sample", TensorProto.FLOAT, image),
        helper.make_tensor_value_info("timestep", t_kind, ["batch"]),
    ]
    last = "one"
    if labelled:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]))
        nodes += [
            helper.make_node("Gather", ["table", "label"], ["class"]),
            helper.make_node("Reshape", ["class", "per_image"], ["shift"]),
            helper.make_node("Add", ["one", "shift"], ["labelled"]),
        ]
        last = "labelled"
    nodes.append(helper.make_node("Concat", [last] * (out_channels // channels), ["noise"], axis=1))
    constants = {
        "scale": scale,
        "nothing": np.zeros((), np.float32),
        "per_image": np.array([-1, 1, 1, 1]),
        "table": np.arange(3, dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "foreign",
        inputs,
        [helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["batch", out_channels, side, 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if labelled or name != "table"],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def run(model, out, options):
    arguments = [str(part) for pair in options.items() if pair[1] is not None for part in pair]
    return CliRunner().invoke(main, ["card", str(model), "-o", str(out), *arguments])


def card_in(path):
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return ModelCard.from_json(metadata[METADATA_KEY])


def test_a_foreign_model_gets_a_card_and_is_otherwise_unchanged(tmp_path):
    source, out = write_model(tmp_path / "mine.onnx"), tmp_path / "unet.onnx"
    before = source.read_bytes()
    result = run(source, out, SAID | NAMED)
    assert result.exit_code == 0, result.output
    card = card_in(out)
    assert (card.image_shape, card.prediction, card.clip) == ((1, 4, 6), "eps", (-1.0, 1.0))
    assert card.betas == tuple(np.linspace(1e-4, 0.02, 1000).tolist())
    assert card.names == {"x": "sample", "t": "timestep", "out": "noise"}
    assert (card.precision, card.classes, card.provenance.source) == ("fp32", None, "mine.onnx")
    assert source.read_bytes() == before
    assert onnx.load(out).graph == onnx.load(source).graph


def test_a_labelled_model_with_learned_variance_gets_its_classes(tmp_path):
    source, out = write_model(tmp_path / "mine.onnx", out_channels=2, labelled=True), tmp_path / "unet.onnx"
    extra = {"--variance": "learned_range", "--classes": 3, "--null-class": 2, "--y": "label", "--clip": "none"}
    result = run(source, out, SAID | NAMED | extra)
    assert result.exit_code == 0, result.output
    card = card_in(out)
    assert (card.classes, card.null_class, card.names["y"], card.clip) == (3, 2, "label", None)


@pytest.mark.parametrize("form", ["json", "npy"])
def test_betas_come_from_a_file_to_the_last_bit(tmp_path, form):
    betas = np.random.default_rng(0).uniform(0.01, 0.1, 7)
    file = tmp_path / f"betas.{form}"
    np.save(file, betas) if form == "npy" else file.write_text(json.dumps(betas.tolist()))
    result = run(write_model(tmp_path / "mine.onnx"), tmp_path / "unet.onnx", SAID | NAMED | {"--betas": file})
    assert result.exit_code == 0, result.output
    assert card_in(tmp_path / "unet.onnx").betas == tuple(betas.tolist())


@pytest.mark.parametrize("key", SAID)
def test_nothing_that_changes_pictures_has_a_default(tmp_path, key):
    result = run(write_model(tmp_path / "mine.onnx"), tmp_path / "unet.onnx", SAID | NAMED | {key: None})
    assert result.exit_code == 2
    assert key in result.stderr


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        ({}, {"--x": "image"}, "has no input 'image', only sample, timestep; name one with --x"),
        ({}, {"--output": "eps"}, "has no output 'eps', only noise; name one with --output"),
        ({}, {"--classes": 3}, "has no input 'y'"),
        ({"labelled": True}, {}, "the extra input 'label'"),
        ({"labelled": True}, {"--classes": 3, "--y": "label", "--null-class": 3}, "null_class"),
        ({"labelled": True}, {"--classes": 4, "--y": "label"}, "the model fails on the inputs of its card"),
        ({"t_kind": TensorProto.DOUBLE}, {}, "must be int64"),
        ({"side": "height"}, {}, "must be float32"),
        ({"out_channels": 2}, {}, "with variance fixed_small it must be"),
        ({}, {"--variance": "learned"}, "with variance learned it must be"),
        ({"poison": True}, {}, "not finite"),
        ({}, {"--clip": "1,-1"}, "clip"),
    ],
)
def test_a_card_that_the_graph_contradicts_is_a_one_line_error_and_no_file(tmp_path, model, change, message):
    result = run(write_model(tmp_path / "mine.onnx", **model), tmp_path / "unet.onnx", SAID | NAMED | change)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["mine.onnx"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--betas": "linear:1000"}, "linear:STEPS:START:END"),
        ({"--betas": "cosine:0"}, "at least 1"),
        ({"--betas": "cosine:1000:1e-4:0.02"}, "cosine:STEPS"),
        ({"--betas": "linear:1000:1e-4:2"}, "inside"),
        ({"--betas": "laplace:1000"}, "no schedule 'laplace'"),
        ({"--betas": "no/such.json"}, "no/such.json"),
        ({"--clip": "1"}, "LOW,HIGH"),
    ],
)
def test_an_invalid_option_is_a_usage_error(tmp_path, change, message):
    result = run(write_model(tmp_path / "mine.onnx"), tmp_path / "unet.onnx", SAID | NAMED | change)
    assert result.exit_code == 2
    assert message in result.stderr


def test_card_works_without_torch(tmp_path):
    script = "import sys; sys.modules['torch'] = None; from ddpm_rt.cli import main; main(sys.argv[1:])"
    options = [part for pair in (SAID | NAMED).items() for part in pair]
    command = [sys.executable, "-c", script, "card", write_model(tmp_path / "mine.onnx"), "-o", tmp_path / "unet.onnx"]
    subprocess.run([*command, *options], check=True)
    assert card_in(tmp_path / "unet.onnx").prediction == "eps"


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_file_that_is_not_onnx_is_refused(tmp_path, content):
    path = tmp_path / "mine.onnx"
    if content is not None:
        path.write_bytes(content)
    result = run(path, tmp_path / "unet.onnx", SAID | NAMED)
    assert result.exit_code == 1
    assert "mine.onnx" in result.stderr
    assert not (tmp_path / "unet.onnx").exists()
