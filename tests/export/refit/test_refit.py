"""Refits of plans, with a stand-in for TensorRT that rejects calls in a wrong order."""

import json

import fake_refitter
import onnx
import pytest
from click.testing import CliRunner
from command import failed
from fake_refitter import weights_in
from onnx import numpy_helper
from refit_plans import make_plan, refit
from tiny_unet import tiny_card, tiny_unet

from ddpm_export.graph.identity import graph_of
from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_export.plans.build import read_source, unchanged
from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, save_checkpoint
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.fitted_tables import embed, fitted_tables
from ddpm_rt.artifacts.plan_record import network_name, read_plan, sidecar_path
from ddpm_rt.cli import main
from ddpm_rt.requests.sampler_options import SamplerOptions


def test_a_refitted_plan_has_the_new_weights_and_card_under_the_old_name(gpu, plan, source, other, tmp_path):
    card = read_plan(plan).card
    embed(plan, SamplerOptions(steps=6).compile(card), card)
    result = refit(plan, other, tmp_path / "new.plan")
    assert result.exit_code == 0, result.output
    assert fitted_tables(tmp_path / "new.plan") == {}  # they were fitted to the old weights
    assert "longer, weights 111111111111" in result.stdout
    before, after = read_plan(plan), read_plan(tmp_path / "new.plan")
    assert weights_in((tmp_path / "new.plan").read_bytes()) == fake_refitter.digests(other)
    assert weights_in(plan.read_bytes()) == fake_refitter.digests(source)
    assert after.card == read_source(other)[0]
    assert after.name == before.name == network_name(before.card)
    assert after.refit.built_as == before.card.sha256
    assert after.refit.onnx == {"longer.onnx": file_sha256(other)}
    assert after.build == before.build


def test_a_plan_refitted_in_place_twice_keeps_its_name(gpu, plan, source, other):
    built_as = read_plan(plan).card.sha256
    for weights in (other, source):
        assert refit(plan, weights, plan).exit_code == 0
        record = read_plan(plan)
        assert record.refit.built_as == built_as
        assert record.card == read_source(weights)[0]
        assert weights_in(plan.read_bytes()) == fake_refitter.digests(weights)


@pytest.mark.slow
def test_a_checkpoint_is_exported_with_the_options_of_the_plan_s_network(gpu, tmp_path):
    """The temporary export has the plan's precision, batch and tables."""
    export_onnx(
        tiny_unet(), tiny_card(), tmp_path / "unet.onnx", ExportOptions(precision="bf16", static_batch=2, threads=1)
    )
    plan, new = make_plan(tmp_path / "unet.plan", tmp_path / "unet.onnx"), tmp_path / "new.plan"
    checkpoint, settings = tmp_path / "longer", (schedules.linear(1000), "eps", "fixed_large", (-1.0, 1.0))
    save_checkpoint(checkpoint, Checkpoint(tiny_unet(seed=1), *settings))
    result = refit(plan, checkpoint, new, "--threads", "1")
    assert result.exit_code == 0, result.output
    exported = tmp_path / "longer.onnx"
    options = ("--precision", "bf16", "--static-batch", "2", "--threads", "1")
    assert CliRunner().invoke(main, ["export", str(checkpoint), "-o", str(exported), *options]).exit_code == 0
    assert weights_in(new.read_bytes()) == fake_refitter.digests(exported)
    assert read_plan(new).refit.onnx == {"longer.onnx": file_sha256(exported)}
    save_checkpoint(checkpoint, Checkpoint(tiny_unet(seed=1), schedules.cosine(1000), *settings[1:]))
    failed(refit(plan, checkpoint, new), "betas are not the plan's")


def test_a_stripped_plan_accepts_only_its_own_weights(gpu, source, other, tmp_path):
    plan, new = make_plan(tmp_path / "unet.plan", source, refittable=False, strip_weights=True), tmp_path / "new.plan"
    assert not read_plan(plan).has_weights
    failed(refit(plan, other, new), "not the model that the plan was built from", "--refittable")
    failed(refit(plan, tmp_path, new), "needs the .onnx it was built from")
    assert refit(plan, source, new).exit_code == 0
    assert weights_in(new.read_bytes()) == fake_refitter.digests(source)
    assert read_plan(new).has_weights
    failed(refit(new, source, new), "already has the weights it was stripped of")


def test_inspect_names_the_source_of_a_plan_s_weights(gpu, plan, source, other, tmp_path):
    def inspect(path):
        return CliRunner().invoke(main, ["inspect", str(path)]).stdout

    assert "`ddpm-rt refit` replaces them" in inspect(plan)
    refit(plan, other, tmp_path / "new.plan")
    assert f"refitted from longer.onnx {file_sha256(other)}; built as card {read_plan(plan).card.sha256}" in inspect(
        tmp_path / "new.plan"
    )
    stripped = make_plan(tmp_path / "small.plan", source, refittable=False, strip_weights=True)
    assert "none: add them with `ddpm-rt refit`" in inspect(stripped)


def test_a_refitted_plan_counts_as_changed(gpu, plan, other):
    build = read_plan(plan).build
    wanted = {key: getattr(build, key) for key in ("flavour", "version", "options", "onnx")}
    assert unchanged(plan, wanted) == read_plan(plan)
    refit(plan, other, plan)
    assert unchanged(plan, wanted) is None


def test_the_lean_runtime_stays_out_of_a_version_compatible_plan(gpu, source, other, tmp_path):
    for compatible in (True, False):
        plan = make_plan(tmp_path / "unet.plan", source, version_compatible=compatible)
        assert refit(plan, other, plan).exit_code == 0
        assert (b"lean runtime" in plan.read_bytes()) is not compatible


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["card"].update(prediction="x0"), "was changed"),
        (lambda raw: raw["refit"].update(built_as="0" * 64), "was changed"),
        (lambda raw: raw["refit"].pop("card"), "missing key 'refit.card'"),
        (lambda raw: raw["refit"].update(by=1), "unknown key 'refit.by'"),
        (lambda raw: raw["build"]["graph"].pop("opset"), "missing key 'build.graph.opset'"),
        (lambda raw: raw.update(refit=None), "was changed"),
        (lambda raw: raw.pop("refit"), "missing key 'refit'"),
    ],
)
def test_the_record_of_a_refitted_plan_is_checked_strictly(gpu, plan, other, change, message):
    refit(plan, other, plan)
    raw = json.loads(sidecar_path(plan).read_text())
    change(raw)
    sidecar_path(plan).write_text(json.dumps(raw))
    with pytest.raises(DdpmRtError, match=message):
        read_plan(plan)


def test_a_plan_and_its_refitted_copy_do_not_share_a_record(gpu, plan, other, tmp_path):
    """Both plans contain the same name, so only the bytes distinguish them."""
    refit(plan, other, tmp_path / "new.plan")
    sidecar_path(plan).replace(sidecar_path(tmp_path / "new.plan"))
    with pytest.raises(DdpmRtError, match="not the plan"):
        read_plan(tmp_path / "new.plan")


def test_the_identity_of_a_graph_ignores_weights_and_intermediate_names(source, other, tmp_path):
    assert graph_of(other) == graph_of(source)
    model = onnx.load(source)
    renamed = {name: f"other_{name}" for node in model.graph.node for name in node.output if name != "out"}
    for index, node in enumerate(model.graph.node):
        node.name = str(index)
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    onnx.save(model, tmp_path / "names.onnx")
    assert graph_of(tmp_path / "names.onnx").sha256 == graph_of(source).sha256


def test_the_scales_of_a_resize_belong_to_the_graph_and_its_tables_to_the_weights(source, tmp_path):
    graph, model = graph_of(source), onnx.load(source)
    assert [name for name in graph.weights if name.endswith(".table")]
    scales = next(node.input[2] for node in model.graph.node if node.op_type == "Resize")
    assert scales not in graph.weights
    tensor = next(t for t in model.graph.initializer if t.name == scales)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 2, scales))
    onnx.save(model, tmp_path / "scales.onnx")
    assert graph_of(tmp_path / "scales.onnx").sha256 != graph.sha256
