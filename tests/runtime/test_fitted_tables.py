"""Fitted tables inside model files."""

import json
import stat

import numpy as np
import onnx
import pytest
from gaussian_model import gaussian_card, write_gaussian
from plan_files import write_plan
from tiny_unet import tiny_card

import ddpm_rt
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.fitted_tables import embed, fitted_sampler, fitted_tables, tableless_sha256
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.onnx_metadata import read_metadata, write_metadata
from ddpm_rt.artifacts.plan_record import PlanRecord, read_plan, sidecar_path
from ddpm_rt.requests.sampler_options import SamplerOptions


@pytest.fixture
def model(tmp_path):
    return write_gaussian(tmp_path / "g.onnx")


def compiled(card, steps, sampler="dpm++"):
    return SamplerOptions(sampler=sampler, steps=steps).compile(card)


def test_onnx_reads_the_written_texts_and_an_unchanged_graph(model):
    before = onnx.load(model)
    texts = {"ddpm_rt.steps.6": "six\n" * 1000, "a": "", "ä": "ö"}
    write_metadata(model, texts)
    after = onnx.load(model)
    onnx.checker.check_model(after)
    assert {entry.key: entry.value for entry in after.metadata_props} == read_metadata(model)
    assert read_metadata(model) == {"ddpm_rt.card": gaussian_card().to_json(), **texts}
    assert after.graph == before.graph
    assert (after.ir_version, after.opset_import) == (before.ir_version, before.opset_import)


def test_texts_that_onnx_writes_can_be_read(model):
    loaded = onnx.load(model)
    onnx.helper.set_model_props(loaded, {"ddpm_rt.steps.3": "three", "ddpm_rt.card": "card"})
    onnx.save(loaded, model)
    assert read_metadata(model) == {"ddpm_rt.steps.3": "three", "ddpm_rt.card": "card"}


def test_replacing_a_text_changes_no_other_byte(model):
    plain = model.read_bytes()
    write_metadata(model, {"b": "1", "c": "2"})
    write_metadata(model, {"b": "3" * 200})
    assert [entry.key for entry in onnx.load(model).metadata_props] == ["ddpm_rt.card", "c", "b"]
    assert read_metadata(model)["b"] == "3" * 200
    assert model.read_bytes().startswith(plain)


def test_writing_keeps_the_mode_of_the_file_and_leaves_no_other_file(model):
    model.chmod(0o640)
    write_metadata(model, {"b": "1"})
    assert stat.S_IMODE(model.stat().st_mode) == 0o640
    assert list(model.parent.iterdir()) == [model]


@pytest.mark.parametrize("content", [b"", b"text that is no model", b"\x0a", b"\x0f"])  # wire type 7 is none
def test_a_file_that_is_not_a_model_is_refused_and_unchanged(tmp_path, content):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    for use in (read_metadata, lambda path: write_metadata(path, {"a": "b"})):
        with pytest.raises(DdpmRtError, match=r"not a whole ONNX model \([a-z ,0]+\)"):
            use(path)
    assert path.read_bytes() == content
    with pytest.raises(DdpmRtError, match="is not a file"):
        read_metadata(tmp_path / "none.onnx")


def test_a_model_contains_one_table_for_each_number_of_calls(model):
    card = read_onnx_card(model)
    for steps in (10, 6):
        embed(model, compiled(card, steps), card)
    embed(model, compiled(card, 6, "ddim"), card)
    assert list(fitted_tables(model)) == [6, 10]
    found = fitted_sampler(model, card, 6)
    for here, there in zip(found.table, compiled(card, 6, "ddim").table, strict=True):
        np.testing.assert_array_equal(here, there)
    assert fitted_sampler(model, card).table.steps == 10  # the default is the table with the most calls
    assert read_onnx_card(model) == card


def test_the_hash_without_tables_is_the_same_before_and_after(model):
    card, before = read_onnx_card(model), file_sha256(model)
    assert tableless_sha256(model) == before
    embed(model, compiled(card, 6), card)
    embed(model, compiled(card, 4), card)
    assert file_sha256(model) != before
    assert tableless_sha256(model) == before


def test_the_error_for_a_missing_table_lists_the_existing_ones(model):
    card = read_onnx_card(model)
    with pytest.raises(ValueError, match=r"contains no fitted table; run `ddpm-rt tune .* --embed`"):
        fitted_sampler(model, card)
    embed(model, compiled(card, 6), card)
    embed(model, compiled(card, 9), card)
    with pytest.raises(ValueError, match="of 6, 9 calls, not of 8"):
        fitted_sampler(model, card, 8)


def test_a_damaged_table_or_one_of_another_model_is_refused(model):
    card = read_onnx_card(model)
    embed(model, compiled(card, 6), gaussian_card(clip=(-1.0, 1.0)))
    with pytest.raises(DdpmRtError, match="fitted table of 6 calls in .* another model"):
        fitted_sampler(model, card, 6)
    write_metadata(model, {"ddpm_rt.steps.6": "{"})
    with pytest.raises(DdpmRtError, match="fitted table of 6 calls in .* not a whole steps file"):
        fitted_sampler(model, card, 6)
    embed(model, compiled(card, 5), card)
    write_metadata(model, {"ddpm_rt.steps.6": fitted_tables(model)[5]})
    with pytest.raises(DdpmRtError, match="of 6 calls has 5 rows"):
        fitted_sampler(model, card, 6)


def test_a_plan_s_record_contains_its_tables_or_lacks_the_key(tmp_path):
    plan, card = tmp_path / "x.plan", tiny_card()
    write_plan(plan, card)
    before = sidecar_path(plan).read_text()
    assert "steps" not in json.loads(before)
    assert fitted_tables(plan) == {}
    embed(plan, compiled(card, 6), card)
    record = read_plan(plan)
    assert record.to_json() == sidecar_path(plan).read_text()
    assert fitted_sampler(plan, card, 6).table.steps == 6
    assert tableless_sha256(plan) == file_sha256(plan)
    lines = [line for line in sidecar_path(plan).read_text().splitlines() if '"steps"' not in line]
    assert "\n".join(lines) + "\n" == before


@pytest.mark.parametrize("steps", [[], {"6": 1}, {"six": "text"}, "text"])
def test_a_record_whose_tables_are_not_texts_by_rows_is_refused(tmp_path, steps):
    write_plan(tmp_path / "x.plan", tiny_card())
    raw = json.loads(sidecar_path(tmp_path / "x.plan").read_text())
    with pytest.raises(DdpmRtError, match="damaged: steps"):
        PlanRecord.from_json(json.dumps({**raw, "steps": steps}), "record")


def test_the_python_interface_samples_with_a_table_of_the_model(model):
    card = read_onnx_card(model)
    embed(model, compiled(card, 7), card)
    wanted = ddpm_rt.sample(model, sampler="dpm++", steps=7, count=2)
    np.testing.assert_array_equal(ddpm_rt.sample(model, sampler="fitted", count=2), wanted)
    with ddpm_rt.open_denoiser(model) as engine:
        np.testing.assert_array_equal(ddpm_rt.sample(engine, sampler="fitted", steps=7, count=2), wanted)


@pytest.mark.parametrize(
    "asked", [{"eta": 0.5}, {"spacing": "logsnr"}, {"timesteps": [5, 0]}, {"dialect": "diffusers"}]
)
def test_a_fitted_table_excludes_all_other_sampler_options(model, asked):
    card = read_onnx_card(model)
    embed(model, compiled(card, 7), card)
    with pytest.raises(ValueError, match=f"decides {next(iter(asked))}"):
        ddpm_rt.sample(model, sampler="fitted", **asked)


def test_an_engine_without_a_known_file_needs_a_steps_file(model):
    def denoise(x, t):
        return x

    denoise.card = gaussian_card()
    with pytest.raises(ValueError, match="steps file"):
        ddpm_rt.sample(denoise, sampler="fitted")
    with pytest.raises(ValueError, match="steps file"):
        ddpm_rt.Request(sampler="fitted").bind(gaussian_card())
