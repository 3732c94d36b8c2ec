"""Real plans of TensorRT-RTX, which builds without a GPU. Where it cannot be imported these tests fail, on purpose."""

import dataclasses
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorrt_rtx  # not importorskip: a plan that nobody builds is a plan that nobody tests
from click.testing import CliRunner
from tiny_unet import tiny_card, tiny_unet

from ddpm_export.build_options import BuildOptions, parse_batch
from ddpm_export.onnx_export import export_onnx
from ddpm_export.plan_file import build_plan
from ddpm_export.precision import set_precision
from ddpm_export.tensorrt_api import load_tensorrt
from ddpm_ref.recipe import load_preset
from ddpm_rt import DdpmRtError
from ddpm_rt.card import METADATA_KEY
from ddpm_rt.cli import main
from ddpm_rt.device.tensorrt_log import one_line
from ddpm_rt.plan import names_in_file, network_name, read_plan, sidecar_path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "unet.onnx"
    export_onnx(tiny_unet(), tiny_card(), path)
    return path


@pytest.fixture(scope="session")
def built(tiny, tmp_path_factory):
    """A plan of two static batches, for every GPU that TensorRT-RTX takes."""
    path = tmp_path_factory.mktemp("built") / "unet.plan"
    build_plan(tiny, path, BuildOptions())
    return path


def in_each_precision(folder, preset):
    """A preset's network, random weights, in each precision: its graph is traced once, and typed thrice."""
    config = load_preset(preset).model
    export_onnx(tiny_unet(config=config), tiny_card(config), folder / "fp32.onnx", hoist=True, threads=1)
    for precision in ("fp16", "bf16"):
        model = onnx.load(folder / "fp32.onnx")
        set_precision(model, precision, keep=("t",))
        card = dataclasses.replace(tiny_card(config), precision=precision)
        onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
        onnx.save(model, folder / f"{precision}.onnx")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    return in_each_precision(tmp_path_factory.mktemp("digits"), "mnist")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    return in_each_precision(tmp_path_factory.mktemp("photos"), "cifar10")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("capabilities", [(), ("8.9",)])
def test_the_plan_of_the_bundled_network_is_of_the_precision_asked_for(digits, tmp_path, precision, capabilities):
    options = BuildOptions(((1, 1, 1), (1, 8, 64)) if capabilities else ((16, 16, 16),), capabilities)
    record, _ = build_plan(digits / f"{precision}.onnx", tmp_path / "unet.plan", options)
    layers = read_plan(tmp_path / "unet.plan").build.layers
    assert record.card.precision == precision
    assert layers["convolution"] == {precision: 36}
    assert set(layers["matrix_multiply"]) == {precision}
    assert set(layers["softmax"]) == set(layers["normalization"]) == {"fp32"}
    assert set(layers["resize"]) == {"fp16" if precision == "fp16" else "fp32"}
    assert record.build.tensors == {"x": "fp32", "t": "int64", "out": "fp32"}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_plan_of_the_cifar10_network_is_of_the_precision_asked_for(photos, tmp_path, precision):
    source = photos / f"{precision}.onnx"
    record, _ = build_plan(source, tmp_path / "unet.plan", BuildOptions(((1, 1, 1),), ("8.6", "8.9")))
    layers = record.build.layers
    # Two a residual block of 22, 13 shortcuts, 3 down, 3 up, the first and the last (Ho et al. 2020, appendix B).
    assert layers["convolution"] == {precision: 2 * 22 + 13 + 3 + 3 + 2}
    assert set(layers["softmax"]) == set(layers["normalization"]) == {"fp32"}
    # All weights, in the bytes of the type, but for the 2.9 million of the time embedding, which are a table here.
    least = (35_746_307 - 3_000_000) * (4 if precision == "fp32" else 2)
    assert source.stat().st_size > least
    assert record.bytes > least


def test_turing_takes_float16_with_the_time_looked_up_and_says_why_not_float32(digits, tmp_path):
    """TensorRT-RTX has no float32 matrix product for compute capability 7.5."""
    options = BuildOptions(((1, 1, 1),), ("7.5",))
    build_plan(digits / "fp16.onnx", tmp_path / "unet.plan", options)
    assert read_plan(tmp_path / "unet.plan").build.compute_capabilities == ("7.5",)
    with pytest.raises(DdpmRtError, match=r"node_MatMul_\d+.*FP32 GEMM is not supported; .*--precision fp16"):
        build_plan(digits / "fp32.onnx", tmp_path / "other.plan", options)


def test_the_largest_batch_and_workspace_are_taken(tiny, tmp_path):
    options = BuildOptions(((1, 1, 65535),), ("8.9",), workspace=2**43 - 1)
    record, _ = build_plan(tiny, tmp_path / "unet.plan", options)
    assert record.build.profiles == ((1, 1, 65535),)


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def failed(result, *words, code=1):
    assert result.exit_code == code, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: "), result.stderr
    for word in words:
        assert word in line
    assert "Traceback" not in result.output


def changed(source, out, change):
    """A copy of a model with something wrong."""
    model = onnx.load(source)
    change(model)
    out.write_bytes(model.SerializeToString())
    return out


def node(model, kind):
    return next(node for node in model.graph.node if node.op_type == kind)


def test_the_plan_is_tensorrts_own_file_with_the_cards_hash_as_its_name(built):
    record = read_plan(built)
    assert built.read_bytes()[:4] == b"vtrt"
    assert names_in_file(built) == {network_name(record.card)}
    assert record.build.flavour == "rtx"
    assert record.build.version == tensorrt_rtx.__version__
    assert record.build.profiles == ((1, 1, 1), (16, 16, 16))
    assert record.build.tensors == {"x": "fp32", "t": "int64", "out": "fp32"}
    assert set(record.build.layers["convolution"]) == {"fp32"}


@pytest.mark.parametrize(("capabilities", "batch"), [("8.6", "1"), ("8.0", "1:4:8"), ("8.9,12.0", "2,1:4:8")])
def test_plans_for_other_gpus_and_batches_say_so(tiny, tmp_path, capabilities, batch):
    options = ("--compute-capability", capabilities, "--batch", batch, "--flavour", "rtx")
    result = run("build", tiny, "-o", tmp_path / "unet.plan", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    build = read_plan(tmp_path / "unet.plan").build
    assert ",".join(build.compute_capabilities) == capabilities
    assert build.profiles == parse_batch(batch)
    # At offset 32 TensorRT-RTX 1.7 keeps a bit a GPU that the plan is for: what was asked is what was built.
    mask = int.from_bytes((tmp_path / "unet.plan").read_bytes()[32:36], "little")
    assert mask == sum({"8.0": 2, "8.6": 4, "8.9": 8, "12.0": 16}[name] for name in capabilities.split(","))


def test_a_graph_of_fixed_batch_has_one_profile(tmp_path):
    export_onnx(tiny_unet(), tiny_card(), tmp_path / "unet.onnx", static_batch=3)
    record, _ = build_plan(tmp_path / "unet.onnx", tmp_path / "unet.plan", BuildOptions())
    assert record.build.profiles == ((3, 3, 3),)
    failed(run("build", tmp_path / "unet.onnx", "-o", tmp_path / "other.plan", "--batch", 4), "of batch 3")


def test_what_did_not_change_is_not_built_again(tiny, tmp_path):
    plan = tmp_path / "unet.plan"
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 1).stdout
    os.utime(plan, ns=(0, 0))  # so that a new file has another time, however coarse the clock
    assert "unchanged" in run("build", tiny, "-o", plan, "--batch", 1).stdout
    assert plan.stat().st_mtime_ns == 0
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 1, "--force").stdout
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 2).stdout
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 2, "--tf32").stdout
    sidecar_path(plan).unlink()
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 2, "--tf32").stdout
    other = changed(tiny, tmp_path / tiny.name, lambda model: setattr(model, "producer_version", "other"))
    assert "built in" in run("build", other, "-o", plan, "--batch", 2, "--tf32").stdout


def test_another_models_record_is_refused(built, tiny, tmp_path):
    build_plan(changed_card(tiny, tmp_path), tmp_path / "other.plan", BuildOptions())
    (tmp_path / "unet.plan").write_bytes(built.read_bytes())
    sidecar_path(tmp_path / "other.plan").replace(sidecar_path(tmp_path / "unet.plan"))
    failed(run("inspect", tmp_path / "unet.plan"), "another model's")


def changed_card(tiny, tmp_path):
    card = tiny_card(source="other")
    return changed(
        tiny,
        tmp_path / "other.onnx",
        lambda model: onnx.helper.set_model_props(model, {"ddpm_rt.card": card.to_json()}),
    )


UNSUPPORTED = [
    ("--hardware-compatible", "same"),
    ("--version-compatible",),
    ("--timing-cache", "x.cache"),
]


@pytest.mark.parametrize("option", UNSUPPORTED, ids=lambda option: option[0])
def test_an_option_that_rtx_lacks_is_an_error(tiny, tmp_path, option):
    failed(run("build", tiny, "-o", tmp_path / "unet.plan", "--flavour", "rtx", *option), option[0], code=2)
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_tensorrt_lacks_is_an_error():
    with pytest.raises(ValueError, match="--compute-capability"):
        BuildOptions(compute_capability=("8.9",)).check_flavour("tensorrt")


@pytest.mark.parametrize(
    ("option", "code", "message"),
    [
        (("--batch", "4:2:1"), 2, "MIN <= OPT <= MAX"),
        (("--batch", "0"), 2, "MIN <= OPT <= MAX"),
        (("--batch", "1:2"), 2, "MIN:OPT:MAX"),
        (("--batch", "many"), 2, "MIN:OPT:MAX"),
        (("--batch", ""), 2, "MIN:OPT:MAX"),
        (("--batch", "65536"), 2, "at most 65535"),
        (("--batch", "2147483648"), 2, "at most 65535"),
        (("--batch", "1:1:99999999999999999999"), 2, "at most 65535"),
        (("--batch", "1,1"), 2, "names the same twice"),
        (("--batch", "4,4:4:4"), 2, "names the same twice"),
        (("--workspace", 2**43), 2, "1 to 8796093022207 MiB"),
        (("--workspace", "99999999999999999"), 2, "1 to 8796093022207 MiB"),
        (("--compute-capability", "9.0"), 1, "'9.0'; it has 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"),
        (("--compute-capability", "nonsense"), 1, "'nonsense'; it has 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"),
        (("--compute-capability", "89"), 1, "no compute capability '89'"),
        (("--compute-capability", ""), 1, "no compute capability ''"),
        (("--compute-capability", "8.9,8.9"), 2, "names the same twice"),
        (("--compute-capability", "8.9,"), 1, "no compute capability ''"),
        (("--refittable", "--strip-weights"), 2, "exclude each other"),
        (("--level", "6"), 2, "0<=x<=5"),
    ],
)
def test_options_out_of_range_are_one_line_and_no_file(tiny, tmp_path, option, code, message):
    failed(run("build", tiny, "-o", tmp_path / "unet.plan", *option), message, code=code)
    assert list(tmp_path.iterdir()) == []


def no_card(model):
    del model.metadata_props[:]


def no_such_operator(model):
    node(model, "Sigmoid").op_type = "Det"


def custom_operator(model):
    broken = node(model, "Sigmoid")
    broken.op_type, broken.domain = "Swish2", "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))


def weights_elsewhere(model):
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.append(onnx.StringStringEntryProto(key="location", value="weights.bin"))


def fp8(model):
    """Quantised to E4M3 and back in front of a convolution."""
    conv = node(model, "Conv")
    scale = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "fp8.scale")
    zero = onnx.helper.make_tensor("fp8.zero", onnx.TensorProto.FLOAT8E4M3FN, [], [0.0])
    model.graph.initializer.extend([scale, zero])
    pair = [
        onnx.helper.make_node("QuantizeLinear", [conv.input[0], "fp8.scale", "fp8.zero"], ["fp8.low"]),
        onnx.helper.make_node("DequantizeLinear", ["fp8.low", "fp8.scale", "fp8.zero"], ["fp8.back"]),
    ]
    conv.input[0] = "fp8.back"
    place = list(model.graph.node).index(conv)
    for made in reversed(pair):
        model.graph.node.insert(place, made)
    model.opset_import[0].version = 19


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_card, "no model card"),
        (no_such_operator, "(Det): tensorrt_rtx"),
        (custom_operator, "(Swish2): tensorrt_rtx"),
        (weights_elsewhere, "weights.bin, which is missing"),
        (fp8, "fp8"),
    ],
)
def test_a_model_that_cannot_be_built_is_one_line_and_no_file(tiny, tmp_path, damage, message):
    out = tmp_path / "out"
    out.mkdir()
    source = changed(tiny, tmp_path / "unet.onnx", damage)
    result = run("build", source, "-o", out / "unet.plan", "--compute-capability", "8.6")
    failed(result, message)
    assert list(out.iterdir()) == []


def test_a_node_that_cannot_be_parsed_is_named(tiny, tmp_path):
    source = changed(tiny, tmp_path / "unet.onnx", no_such_operator)
    name = next(node.name for node in onnx.load(source).graph.node if node.op_type == "Det")
    failed(run("build", source, "-o", tmp_path / "unet.plan"), name)


def test_fp8_builds_for_the_gpus_that_have_it(tiny, tmp_path):
    """The counterpart of the refusal for 8.6: it is the GPU, not the graph."""
    source = changed(tiny, tmp_path / "unet.onnx", fp8)
    build_plan(source, tmp_path / "unet.plan", BuildOptions(((1, 1, 1),), ("8.9",)))


@pytest.mark.parametrize("content", [b"", b"not a model", None], ids=["empty", "text", "truncated"])
def test_a_file_that_is_no_model_is_one_line(tiny, tmp_path, content):
    source = tmp_path / "unet.onnx"
    source.write_bytes(tiny.read_bytes()[:-1000] if content is None else content)
    result = run("build", source, "-o", tmp_path / "unet.plan")
    failed(result, "not a whole ONNX model" if content == b"" else "no ONNX file", "export the model again")
    assert [path.name for path in tmp_path.iterdir()] == ["unet.onnx"]


def test_a_card_of_another_precision_than_the_graph_is_refused(tiny, tmp_path):
    card = dataclasses.replace(tiny_card(), precision="fp16")
    source = changed(
        tiny,
        tmp_path / "unet.onnx",
        lambda model: onnx.helper.set_model_props(model, {"ddpm_rt.card": card.to_json()}),
    )
    failed(run("build", source, "-o", tmp_path / "unet.plan"), "says fp16", "are fp32")


def test_without_tensorrt_the_extra_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert load_tensorrt("auto")[0] == "rtx"
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    failed(run("build", tiny, "-o", tmp_path / "unet.plan"), "ddpm-rt[tensorrt]", "ddpm-rt[rtx]")
    failed(run("build", tiny, "-o", tmp_path / "unet.plan", "--flavour", "rtx"), "pip install 'ddpm-rt[rtx]'")
    assert list(tmp_path.iterdir()) == []


def test_what_needs_a_gpu_says_so_where_there_is_none(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("ddpm_export.plan_file.gpus", list)
    failed(run("build", tiny, "-o", tmp_path / "unet.plan", "--flavour", "rtx", "--refittable"), "GPU")


def limited(tiny, plan, size):
    """A build in a process that may write no file larger than `size` bytes, as if the disk were full."""
    command = [sys.executable, "-m", "ddpm_rt", "build", tiny, "-o", plan]
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


@pytest.mark.parametrize("size", [100_000, 4000], ids=["the plan does not fit", "nothing fits"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tiny, built, tmp_path, size):
    plan = tmp_path / "unet.plan"
    plan.write_bytes(built.read_bytes())
    sidecar_path(plan).write_text(sidecar_path(built).read_text().replace('"batch": null', '"batch": "4"'))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = limited(tiny, plan, size)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "cannot be written" in result.stderr
    assert result.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# Ctrl-C at the first report of progress. The builder's thread goes on when the main thread has heard of it.
INTERRUPTED = """
import os, signal, sys, time
import ddpm_export.plan_builder as builder
from ddpm_rt.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell in the background switches off
make = builder.make_monitor

def make_monitor(trt, report):
    def interrupted(share):
        print(share, flush=True)
        if not monitor.cancelled:
            os.kill(os.getpid(), signal.SIGINT)
        while not monitor.cancelled:
            time.sleep(0.01)
    monitor = make(trt, interrupted)
    return monitor

builder.make_monitor = make_monitor
main(sys.argv[1:])
"""


def test_ctrl_c_ends_the_build_and_leaves_no_file(tiny, tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, "build", tiny, "-o", tmp_path / "unet.plan"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr.strip() == f"interrupted; {tmp_path / 'unet.plan'} is as it was"
    assert max(map(float, done.stdout.split())) < 0.5  # of the work: TensorRT is told to stop, and stops
    assert list(tmp_path.iterdir()) == []


def test_progress_only_grows_and_comes_near_the_end(tiny, tmp_path):
    seen = []
    build_plan(tiny, tmp_path / "unet.plan", BuildOptions(((1, 1, 1),)), report=seen.append)
    assert all(0 <= share <= 1 for share in seen)
    assert max(seen) > 0.8


def test_the_log_is_shown_when_asked_for(tiny, tmp_path):
    result = run("build", tiny, "-o", tmp_path / "unet.plan", "--verbose")
    assert result.exit_code == 0
    assert "[warning]" in result.stderr or "[info]" in result.stderr
    assert "[" not in result.stdout


def test_building_does_not_need_torch():
    """A Jetson that only builds has no use for it."""
    script = "import sys; sys.modules['torch'] = None; import ddpm_export.build_cli, ddpm_export.plan_file"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_message_loses_its_source_files_and_keeps_its_sense():
    raw = (
        "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([myelin_graph.h:1295: attachExceptionMsgToGraph] "
        "Cannot compile for target(s) sm86.\n  In compileGraph at /_src/optimizer/myelin/codeGenerator.cpp:2012)"
    )
    assert one_line(raw) == "Cannot compile for target(s) sm86."


def test_a_folder_that_is_not_there_is_one_line(tiny):
    failed(run("build", tiny, "-o", Path("no") / "such" / "unet.plan"), "not a folder")


def test_build_plan_raises_for_a_missing_model(tmp_path):
    with pytest.raises(DdpmRtError, match="not a file"):
        build_plan(tmp_path / "none.onnx", tmp_path / "unet.plan", BuildOptions())
