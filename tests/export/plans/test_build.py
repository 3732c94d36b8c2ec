"""Real plans of TensorRT-RTX, which builds without a GPU. These tests fail on purpose if it cannot be imported."""

import os
import subprocess
import sys

import onnx
import pytest
import tensorrt_rtx  # not importorskip, which would silently skip all tests of real plans
from command import failed, run
from condition_files import write_super_resolution
from damaged_onnx import changed
from tiny_unet import tiny_card, tiny_unet

from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_export.plans.build import build_plan
from ddpm_export.plans.build_options import BuildOptions, parse_batch
from ddpm_rt.artifacts.fitted_tables import embed, fitted_tables
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.plan_record import names_in_file, network_name, read_plan, sidecar_path
from ddpm_rt.engines.tensorrt_log import one_line
from ddpm_rt.requests.sampler_options import SamplerOptions


def test_the_plan_is_tensorrts_own_file_with_the_cards_hash_as_its_name(built):
    record = read_plan(built)
    assert built.read_bytes()[:4] == b"vtrt"
    assert names_in_file(built) == {network_name(record.card)}
    assert record.build.flavour == "rtx"
    assert record.build.version == tensorrt_rtx.__version__
    assert record.build.profiles == ((1, 1, 1), (16, 16, 16))
    assert record.build.tensors == {"x": "fp32", "t": "int64", "out": "fp32"}
    assert set(record.build.layers["convolution"]) == {"fp32"}


OTHERS = [
    ("8.6", "1"),
    pytest.param("8.0", "1:4:8", marks=pytest.mark.slow),
    pytest.param("8.9,12.0", "2,1:4:8", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("capabilities", "batch"), OTHERS)
def test_plans_for_other_gpus_and_batches_record_them(tiny, tmp_path, capabilities, batch):
    options = ("--compute-capability", capabilities, "--batch", batch, "--flavour", "rtx")
    result = run("build", tiny, "-o", tmp_path / "unet.plan", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    build = read_plan(tmp_path / "unet.plan").build
    assert ",".join(build.compute_capabilities) == capabilities
    assert build.profiles == parse_batch(batch)
    # At offset 32, TensorRT-RTX 1.7 stores one bit for each target GPU.
    mask = int.from_bytes((tmp_path / "unet.plan").read_bytes()[32:36], "little")
    assert mask == sum({"8.0": 2, "8.6": 4, "8.9": 8, "12.0": 16}[name] for name in capabilities.split(","))


@pytest.mark.slow
def test_a_graph_of_fixed_batch_has_one_profile(tmp_path):
    export_onnx(tiny_unet(), tiny_card(), tmp_path / "unet.onnx", ExportOptions(static_batch=3))
    record, _ = build_plan(tmp_path / "unet.onnx", tmp_path / "unet.plan", BuildOptions())
    assert record.build.profiles == ((3, 3, 3),)
    failed(run("build", tmp_path / "unet.onnx", "-o", tmp_path / "other.plan", "--batch", 4), "fixed batch size 3")


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 256), (1, 32, 32, 32)], ids=["sequence", "volume"])
def test_the_profiles_of_a_plan_have_the_named_inputs_of_any_shape(tmp_path, shape):
    engine = write_super_resolution(tmp_path / "unet.onnx", shape=shape)
    record, _ = build_plan(engine, tmp_path / "unet.plan", BuildOptions(batch=parse_batch("1,1:4:8")))
    assert record.card == read_onnx_card(engine)
    assert record.build.profiles == ((1, 1, 1), (1, 4, 8))
    assert record.build.tensors == {"x": "fp32", "t": "int64", "low_res": "fp32", "before": "fp32", "out": "fp32"}


@pytest.mark.slow
def test_an_unchanged_plan_is_not_built_again(tiny, tmp_path):
    plan = tmp_path / "unet.plan"
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 1).stdout
    os.utime(plan, ns=(0, 0))  # a rewritten file would have another time
    assert "unchanged" in run("build", tiny, "-o", plan, "--batch", 1).stdout
    assert plan.stat().st_mtime_ns == 0
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 1, "--force").stdout
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 2).stdout
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 2, "--tf32").stdout
    sidecar_path(plan).unlink()
    assert "built in" in run("build", tiny, "-o", plan, "--batch", 2, "--tf32").stdout
    other = changed(tiny, tmp_path / tiny.name, lambda model: setattr(model, "producer_version", "other"))
    assert "built in" in run("build", other, "-o", plan, "--batch", 2, "--tf32").stdout


@pytest.mark.slow
def test_a_plan_contains_the_tables_of_its_onnx_file(tiny, tmp_path):
    source, plan = tmp_path / "unet.onnx", tmp_path / "unet.plan"
    source.write_bytes(tiny.read_bytes())
    card = read_onnx_card(source)
    embed(source, SamplerOptions(sampler="dpm++", steps=6).compile(card), card)
    build_plan(source, plan, BuildOptions())
    assert fitted_tables(plan) == fitted_tables(source)
    assert "of 6 calls" in run("inspect", plan).stdout


@pytest.mark.slow
def test_the_record_of_another_model_is_refused(built, tiny, tmp_path):
    build_plan(changed_card(tiny, tmp_path), tmp_path / "other.plan", BuildOptions())
    (tmp_path / "unet.plan").write_bytes(built.read_bytes())
    sidecar_path(tmp_path / "other.plan").replace(sidecar_path(tmp_path / "unet.plan"))
    failed(run("inspect", tmp_path / "unet.plan"), "another model")


def changed_card(tiny, tmp_path):
    card = tiny_card(source="other")
    return changed(
        tiny,
        tmp_path / "other.onnx",
        lambda model: onnx.helper.set_model_props(model, {"ddpm_rt.card": card.to_json()}),
    )


# Ctrl-C at the first progress report. The builder's thread waits until the main thread has handled it.
INTERRUPTED = """
import os, signal, sys, time
import ddpm_export.plans.builder as builder
from ddpm_rt.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell disables the handler
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


@pytest.mark.slow
def test_ctrl_c_ends_the_build_and_leaves_no_file(tiny, tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, "build", tiny, "-o", tmp_path / "unet.plan"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr.strip() == f"interrupted; {tmp_path / 'unet.plan'} is unchanged"
    assert max(map(float, done.stdout.split())) < 0.5  # TensorRT stops before half of the work
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_progress_never_decreases_and_nearly_reaches_one(tiny, tmp_path):
    seen = []
    build_plan(tiny, tmp_path / "unet.plan", BuildOptions(((1, 1, 1),)), report=seen.append)
    assert all(0 <= share <= 1 for share in seen)
    assert max(seen) > 0.8


@pytest.mark.slow
def test_verbose_shows_the_log(tiny, tmp_path):
    result = run("build", tiny, "-o", tmp_path / "unet.plan", "--verbose")
    assert result.exit_code == 0
    assert "[warning]" in result.stderr or "[info]" in result.stderr
    assert "[" not in result.stdout


def test_building_does_not_need_torch():
    """A Jetson that only builds plans does not need torch."""
    script = "import sys; sys.modules['torch'] = None; import ddpm_export.cli.build, ddpm_export.plans.build"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_message_loses_only_its_source_files():
    raw = (
        "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([myelin_graph.h:1295: attachExceptionMsgToGraph] "
        "Cannot compile for target(s) sm86.\n  In compileGraph at /_src/optimizer/myelin/codeGenerator.cpp:2012)"
    )
    assert one_line(raw) == "Cannot compile for target(s) sm86."
