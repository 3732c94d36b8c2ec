"""A build that fails prints one line and leaves no file."""

import dataclasses
import resource
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from command import failed, run
from damaged_onnx import changed, custom_operator, fp8, no_card, no_such_operator, weights_elsewhere
from tiny_unet import tiny_card

from ddpm_export.plans.build import build_plan
from ddpm_export.plans.build_options import BuildOptions
from ddpm_export.plans.tensorrt_api import load_tensorrt
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.plan_record import read_plan, sidecar_path

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
        (("--batch", "1,1"), 2, "has a duplicate value"),
        (("--batch", "4,4:4:4"), 2, "has a duplicate value"),
        (("--workspace", 2**43), 2, "1 to 8796093022207 MiB"),
        (("--workspace", "99999999999999999"), 2, "1 to 8796093022207 MiB"),
        (("--compute-capability", "9.0"), 1, "'9.0'; it has 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"),
        (("--compute-capability", "nonsense"), 1, "'nonsense'; it has 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"),
        (("--compute-capability", "89"), 1, "no compute capability '89'"),
        (("--compute-capability", ""), 1, "no compute capability ''"),
        (("--compute-capability", "8.9,8.9"), 2, "has a duplicate value"),
        (("--compute-capability", "8.9,"), 1, "no compute capability ''"),
        (("--refittable", "--strip-weights"), 2, "exclude each other"),
        (("--level", "6"), 2, "0<=x<=5"),
    ],
)
def test_options_out_of_range_are_a_one_line_error_and_leave_no_file(tiny, tmp_path, option, code, message):
    failed(run("build", tiny, "-o", tmp_path / "unet.plan", *option), message, code=code)
    assert list(tmp_path.iterdir()) == []


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
def test_a_model_that_cannot_be_built_is_a_one_line_error_and_leaves_no_file(tiny, tmp_path, damage, message):
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


@pytest.mark.parametrize("content", [b"", b"not a model", None], ids=["empty", "text", "truncated"])
def test_a_file_that_is_not_a_model_is_a_one_line_error(tiny, tmp_path, content):
    source = tmp_path / "unet.onnx"
    source.write_bytes(tiny.read_bytes()[:-1000] if content is None else content)
    result = run("build", source, "-o", tmp_path / "unet.plan")
    failed(result, "not a whole ONNX model", "export the model again")
    assert [path.name for path in tmp_path.iterdir()] == ["unet.onnx"]


def test_a_card_of_another_precision_than_the_graph_is_refused(tiny, tmp_path):
    card = dataclasses.replace(tiny_card(), precision="fp16")
    source = changed(
        tiny,
        tmp_path / "unet.onnx",
        lambda model: onnx.helper.set_model_props(model, {"ddpm_rt.card": card.to_json()}),
    )
    failed(run("build", source, "-o", tmp_path / "unet.plan"), "says fp16", "computes in fp32")


def test_without_tensorrt_the_extra_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert load_tensorrt("auto")[0] == "rtx"
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    failed(run("build", tiny, "-o", tmp_path / "unet.plan"), "ddpm-rt[tensorrt]", "ddpm-rt[rtx]")
    failed(run("build", tiny, "-o", tmp_path / "unet.plan", "--flavour", "rtx"), "pip install 'ddpm-rt[rtx]'")
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_needs_a_gpu_says_so_without_one(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("ddpm_export.plans.build.gpus", list)
    failed(run("build", tiny, "-o", tmp_path / "unet.plan", "--flavour", "rtx", "--refittable"), "GPU")


def limited(tiny, plan, size):
    """A build in a process with a limit of `size` bytes for files, which acts like a full disk."""
    command = [sys.executable, "-m", "ddpm_rt", "build", tiny, "-o", plan]
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [100_000, 4000], ids=["the plan does not fit", "nothing fits"])
def test_a_full_disk_is_a_one_line_error_and_changes_nothing(tiny, built, tmp_path, size):
    plan = tmp_path / "unet.plan"
    plan.write_bytes(built.read_bytes())
    sidecar_path(plan).write_text(sidecar_path(built).read_text().replace('"batch": null', '"batch": "4"'))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = limited(tiny, plan, size)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "cannot be written" in result.stderr
    assert result.stderr.count("\n") == 1
    assert plan.read_bytes() == before[plan.name]
    assert {path.name for path in tmp_path.iterdir()} == set(before)
    # The new plan has the bytes of the old one, so a new record that fits on the disk also describes the old plan.
    assert read_plan(plan).build.options["batch"] in (None, "4")


def test_a_missing_folder_is_a_one_line_error(tiny):
    failed(run("build", tiny, "-o", Path("no") / "such" / "unet.plan"), "not a folder")


def test_build_plan_raises_for_a_missing_model(tmp_path):
    with pytest.raises(DdpmRtError, match="not a file"):
        build_plan(tmp_path / "none.onnx", tmp_path / "unet.plan", BuildOptions())
