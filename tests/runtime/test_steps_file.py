import json

import numpy as np
import pytest
from command import run
from gaussian_model import conditional_card, gaussian_card, write_conditional, write_gaussian
from hypothesis import given, settings
from hypothesis import strategies as st

import ddpm_rt
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.steps_file import KEYS, read_steps, write_steps
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers import samplers_of

CARD = gaussian_card(clip=(-1.0, 1.0))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.steps.json"
    write_steps(path, SamplerOptions(sampler="ddpm", steps=5).compile(CARD), CARD)
    return path


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(samplers_of("betas"))), st.integers(1, 30), st.sampled_from(["ho2020", "guided", "diffusers"])
)
def test_a_table_is_bit_equal_after_a_round_trip(tmp_path_factory, sampler, steps, dialect):
    plan = SamplerOptions(sampler=sampler, steps=steps, dialect=dialect).compile(CARD)
    path = tmp_path_factory.mktemp("steps") / "x.steps.json"
    write_steps(path, plan, CARD)
    found = read_steps(path, CARD)
    assert (found.clip, found.sampler) == (plan.clip, plan.sampler)
    for here, there in zip(plan.table, found.table, strict=True):
        assert here.dtype == there.dtype
        np.testing.assert_array_equal(here, there)


def test_a_steps_file_is_flat_and_has_the_facts_that_an_embedder_needs(file, tmp_path):
    raw = json.loads(file.read_text())
    assert tuple(raw) == KEYS[1]
    assert not any(isinstance(value, dict) for value in raw.values())
    assert [raw[key] for key in ("channels", "height", "width", "output_channels", "steps")] == [1, 4, 6, 1, 5]
    assert (raw["input_x"], raw["input_t"], raw["input_y"], raw["output"]) == ("x", "t", None, "out")
    assert raw["clip"] == [-1.0, 1.0]
    assert raw["card_sha256"] == CARD.sha256
    assert raw["t"] == [999, 799, 599, 399, 199]
    assert len(file.read_text().splitlines()) == len(KEYS[1]) + 2  # a key a line
    card = conditional_card(variance="learned_range")
    write_steps(tmp_path / "y.steps.json", SamplerOptions(steps=2).compile(card), card)
    raw = json.loads((tmp_path / "y.steps.json").read_text())
    assert [raw[key] for key in ("output_channels", "classes", "null_class", "input_y")] == [2, 4, 3, "y"]


def changed(file, **changes):
    raw = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in raw.items() if value != "gone"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, "format 1 or 2"),
        ({"format": True}, "format 1 or 2"),
        ({"format": 2}, "channels"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"sigma": "gone"}, "missing key 'sigma'"),
        ({"channels": 1.0}, "channels is not the model's"),
        ({"output_channels": True}, "output_channels is not the model's"),
        ({"sigma": [0.0] * 4}, "sigma must be 5 numbers"),
        ({"sigma": [0.0] * 4 + [1e39]}, "float32"),
        ({"sigma": [0.0] * 4 + [10**400]}, "digits"),
        ({"sigma": [0.0] * 4 + [None]}, "sigma must be 5"),
        ({"sigma": [0.0] * 4 + ["0"]}, "sigma must be 5"),
        ({"sigma": [0.0] * 4 + [True]}, "sigma must be 5"),
        ({"sigma": [0.0] * 4 + [float("nan")]}, "NaN"),
        ({"sigma": [0.0] * 4 + [float("inf")]}, "Infinity"),
        ({"log_sigma_from_spread": [0.0] * 4 + [1.0]}, "the model learned no variance"),
        ({"t": [999, 799, 599, 399, 1000]}, "999"),
        ({"t": [999, 799, 599, 399, -1]}, "999"),
        ({"t": [999, 799, 599, 399, 199.5]}, "integers"),
        ({"steps": 6}, "t must be 6"),
        ({"steps": "5"}, "steps"),
        ({"steps": 0}, "steps"),
        ({"clip": [1.0, -1.0]}, "clip"),
        ({"clip": 1.0}, "clip"),
        ({"sampler": 3}, "sampler"),
        ({"width": 7}, "width is not the model's"),
        ({"output": "noise"}, "output is not the model's"),
        ({"card_sha256": "0" * 64}, "another model"),
    ],
)
def test_a_wrong_file_is_refused_with_its_fault(file, changes, message):
    changed(file, **changes)
    with pytest.raises(DdpmRtError, match=message) as caught:
        read_steps(file, CARD)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    assert "ddpm-rt steps" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "nonsense", '{"format": 1, "format": 1}', "[" * 100000])
def test_json_that_is_not_a_steps_file_is_refused(file, content):
    file.write_text(content)
    with pytest.raises(DdpmRtError, match="steps file"):
        read_steps(file, CARD)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(file, share):
    text = file.read_text()
    file.write_text(text[: int(share * len(text))])
    with pytest.raises(DdpmRtError, match="not a whole steps file"):
        read_steps(file, CARD)


def test_a_missing_file_or_one_that_is_not_text_is_refused(file, tmp_path):
    with pytest.raises(DdpmRtError, match="cannot be read"):
        read_steps(tmp_path / "none.json", CARD)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DdpmRtError, match="not a whole"):
        read_steps(file, CARD)


def test_sampling_from_a_file_equals_sampling_with_its_options(gaussian, tmp_path):
    path = tmp_path / "x.steps.json"
    result = run("steps", gaussian, "--sampler", "ddim", "--eta", 0.5, "--timesteps", "999,500,250,0", "-o", path)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    options = {"seed": 3, "count": 5}
    direct = ddpm_rt.sample(gaussian, sampler="ddim", eta=0.5, timesteps=[999, 500, 250, 0], **options)
    np.testing.assert_array_equal(ddpm_rt.sample(gaussian, steps_file=path, **options), direct)
    out = tmp_path / "x.npy"
    result = run("sample", "--engine", gaussian, "--steps-file", path, "--seed", 3, "--count", 5, "--out", out)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(np.load(out), direct)


@pytest.mark.parametrize("option", ["--sampler ddim", "--steps 50", "--eta 0", "--dialect ho2020", "--timesteps 5,3"])
def test_a_sampler_beside_a_steps_file_is_a_one_line_error_and_nothing_is_written(gaussian, tmp_path, option):
    path = tmp_path / "x.steps.json"
    run("steps", gaussian, "-o", path)
    out = tmp_path / "x.png"
    result = run("sample", "--engine", gaussian, "--steps-file", path, "--out", out, *option.split())
    assert result.exit_code == 2
    assert "the steps file decides the sampler" in result.stderr.splitlines()[-1]
    assert not out.exists()


def test_a_file_for_another_model_is_a_one_line_error(gaussian, tmp_path):
    path = tmp_path / "x.steps.json"
    run("steps", gaussian, "-o", path)
    other = write_gaussian(tmp_path / "other.onnx", card=gaussian_card(clip=(-1.0, 1.0)))
    result = run("sample", "--engine", other, "--steps-file", path, "--out", tmp_path / "x.png")
    assert result.exit_code == 1
    assert "another model" in result.stderr
    assert not (tmp_path / "x.png").exists()


def test_a_folder_knows_the_table_of_its_images(gaussian, tmp_path):
    """Two files with the same description but different numbers are two samplers."""
    first, second, out = tmp_path / "a.steps.json", tmp_path / "b.steps.json", tmp_path / "out"
    run("steps", gaussian, "--steps", 3, "-o", first)
    raw = json.loads(first.read_text())
    raw["mean_from_x0"][0] += 1e-3
    second.write_text(json.dumps(raw))
    options = ("--engine", gaussian, "--count", 2, "--out", out)
    assert run("sample", "--steps-file", first, *options).exit_code == 0
    assert "2 were there already" in run("sample", "--steps-file", first, *options).stdout
    result = run("sample", "--steps-file", second, *options)
    assert result.exit_code == 1
    assert "another image (table" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        ("--steps 1001", 2, "1000"),
        ("--timesteps 5,5", 2, "descend"),
        ("--timesteps 1000,0", 2, "descend"),
        ("--timesteps 9,x", 2, "list of numbers"),
        ("--timesteps 9,5 --steps 2", 2, "leave out steps"),
        ("--sampler lcm --eta 0.5", 2, "eta"),
        ("--dialect mine", 2, "mine"),
        ("--sampler dpm++ --dialect diffusers --spacing linspace --steps 1000", 2, "descend"),
        ("-o no/such/x.json", 1, "cannot be written"),
    ],
)
def test_options_that_cannot_be_compiled_are_a_one_line_error(gaussian, tmp_path, monkeypatch, options, code, word):
    monkeypatch.chdir(tmp_path)
    result = run("steps", gaussian, "-o", "x.steps.json", *options.split())
    assert result.exit_code == code, result.output
    assert word in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("--label 4", "label 4 is none of the model's"),
        ("--label a", "list of integers"),
        ("--label 0 --guidance nan", "finite"),
    ],
)
def test_invalid_labels_are_a_one_line_error(tmp_path, options, word):
    engine = write_conditional(tmp_path / "x.onnx")
    result = run("sample", "--engine", engine, "--steps", 2, "--out", tmp_path / "out", *options.split())
    assert result.exit_code == 2
    assert word in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", ["--label 1", "--guidance 2"])
def test_a_label_for_an_unconditional_model_is_a_one_line_error(gaussian, tmp_path, options):
    result = run("sample", "--engine", gaussian, "--out", tmp_path / "x.png", *options.split())
    assert result.exit_code == 2
    assert "unconditional" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "other",
    ["--label 0,2", "--guidance 2", "--dialect diffusers", "--spacing leading", "--sampler euler", "--steps 4"],
)
def test_a_folder_of_other_labels_or_samplers_stays_unchanged(tmp_path, other):
    engine = write_conditional(tmp_path / "x.onnx")
    command = ["sample", "--engine", engine, "--count", 2, "--out", tmp_path / "out"]
    assert run(*command, "--label", "0,1", "--steps", 3).exit_code == 0
    asked = {"--label": "0,1", "--steps": "3", **dict([other.split()])}
    result = run(*command, *(part for option in asked.items() for part in option))
    assert result.exit_code == 1
    assert "another image" in result.stderr
