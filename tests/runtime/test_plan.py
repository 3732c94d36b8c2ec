"""Plans and their records, without TensorRT: the plan is a fake file that contains the network's name."""

import dataclasses
import json

import pytest
from command import run
from plan_files import BUILD, write_plan
from tiny_unet import tiny_card

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.plan_record import is_plan, names_in_file, network_name, read_plan, sidecar_path


@pytest.fixture
def plan(tmp_path):
    write_plan(tmp_path / "unet.plan", tiny_card())
    return tmp_path / "unet.plan"


def test_a_record_is_equal_after_it_is_written_and_read(plan):
    record = read_plan(plan)
    assert record.build == BUILD
    assert record.card == tiny_card()
    assert record.sha256 == file_sha256(plan)


def test_the_name_contains_the_hash_of_the_card_s_text_in_the_record(plan):
    """The card's line is exactly the hashed text, so that any language can check the pair."""
    import hashlib

    line = next(line for line in sidecar_path(plan).read_text().splitlines() if line.startswith(' "card": '))
    digest = hashlib.sha256(line.removeprefix(' "card": ').encode()).hexdigest()
    assert names_in_file(plan) == {f"ddpm-rt/1 {digest}"}
    assert json.loads(sidecar_path(plan).read_text())["plan"]["name"] == f"ddpm-rt/1 {digest}"


def test_inspect_describes_a_plan(plan):
    result = run("inspect", plan)
    assert result.exit_code == 0, result.output
    for words in ("TensorRT-RTX 1.7.1.116", "8.9, 12.0", "1, 1 to 64 (fastest at 8)", "convolution 36 fp16", "level 3"):
        assert words in result.stdout
    assert tiny_card().sha256 in result.stdout
    assert file_sha256(plan) in result.stdout
    found = json.loads(run("inspect", "--json", plan).stdout)
    assert found["build"]["compute_capabilities"] == ["8.9", "12.0"]
    assert found["card"]["betas"] == list(tiny_card().betas)


def other_model(plan):
    write_plan(plan.with_name("other.plan"), tiny_card(source="other"))
    sidecar_path(plan.with_name("other.plan")).replace(sidecar_path(plan))


def other_build(plan):
    write_plan(plan.with_name("other.plan"), tiny_card(), filling=b"\3\4")
    sidecar_path(plan.with_name("other.plan")).replace(sidecar_path(plan))


def edited(change):
    def edit(plan):
        raw = json.loads(sidecar_path(plan).read_text())
        change(raw)
        sidecar_path(plan).write_text(json.dumps(raw))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_model, "another model"),
        (other_build, "not the plan"),
        (lambda plan: plan.write_bytes(plan.read_bytes()[:-1]), "not the plan"),
        (lambda plan: plan.write_bytes(plan.read_bytes()[:50]), "contains no ddpm-rt network"),
        (lambda plan: plan.write_bytes(b""), "contains no ddpm-rt network"),
        (lambda plan: plan.unlink(), "not a file"),
        (lambda plan: sidecar_path(plan).unlink(), "is missing"),
        (lambda plan: sidecar_path(plan).write_text(sidecar_path(plan).read_text()[:-100]), "damaged"),
        (lambda plan: sidecar_path(plan).write_text("[1]"), "format 1"),
        (lambda plan: sidecar_path(plan).write_bytes(b"\xff\xfe"), "not text"),
        (edited(lambda raw: raw.update(format=2)), "format 1"),
        (edited(lambda raw: raw["build"].pop("version")), "missing key 'build.version'"),
        (edited(lambda raw: raw["build"].update(extra=1)), "unknown key 'build.extra'"),
        (edited(lambda raw: raw.pop("plan")), "missing key 'plan'"),
        (edited(lambda raw: raw.update(plan=3)), "missing key 'plan'"),
        (edited(lambda raw: raw["card"].update(prediction="x0")), "was changed"),
        (edited(lambda raw: raw["card"].pop("clip")), "missing key 'clip'"),
    ],
)
def test_a_plan_and_a_record_that_do_not_belong_together_are_refused_in_one_line(plan, damage, message):
    damage(plan)
    with pytest.raises(DdpmRtError, match=message):
        read_plan(plan)
    result = run("inspect", plan)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_plan_is_recognised_by_its_suffix_or_its_first_bytes(plan, gaussian):
    assert is_plan(plan)
    assert is_plan(plan.rename(plan.with_name("model.bin")))
    assert not is_plan(gaussian)


def test_the_error_of_sampling_from_a_plan_gives_an_alternative(plan):
    result = run("sample", "--engine", plan)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert ".onnx" in result.stderr


def test_equal_cards_have_equal_names_and_different_cards_do_not():
    card = tiny_card()
    assert network_name(card) == network_name(dataclasses.replace(card))
    assert network_name(card) != network_name(dataclasses.replace(card, prediction="v"))
    assert len(network_name(card)) < 4096  # TensorRT's limit for names
