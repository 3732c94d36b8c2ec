"""The command line never prints escape sequences of files or file names."""

import dataclasses
import json

import numpy as np
import pytest
from command import failed, run
from gaussian_model import gaussian_card, write_gaussian

ESCAPE = "\x1b[2J\x1b]0;owned\x07"


def harmless(result):
    text = result.stdout + result.stderr
    assert text.replace("\n", "").isprintable(), repr(text)
    return result


@pytest.mark.parametrize("command", [
    ["inspect"], ["sample", "--out", "x.npy", "--engine"], ["steps", "-o", "x.json"], ["verify", "--engine-b", "b"],
    ["card", "-o", "x.onnx", "--betas", "cosine:10", "--prediction", "eps", "--variance", "fixed_small",
     "--clip", "none"],
    ["export", "-o", "x.onnx"], ["build", "-o", "x.plan"], ["invert"],
])  # fmt: skip
def test_a_name_with_escape_sequences_is_shown_escaped(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = harmless(run(*command, f"m{ESCAPE}.onnx"))
    assert result.exit_code in (1, 2)
    assert "\\x1b" in result.stderr


@pytest.mark.parametrize("command", [[f"verb{ESCAPE}"], [f"--option{ESCAPE}"], ["sample", f"--option{ESCAPE}"],
                                     ["sample", "--sampler", ESCAPE], ["sample", "--label", ESCAPE]])  # fmt: skip
def test_unknown_words_are_shown_escaped(command):
    assert harmless(run(*command)).exit_code == 2


@pytest.mark.parametrize("change", [{"source": ESCAPE}, {"weights_sha256": ESCAPE}, {"versions": {"torch": ESCAPE}}])
def test_inspect_shows_a_card_with_escape_sequences_escaped(tmp_path, change):
    known = gaussian_card()
    card = dataclasses.replace(known, provenance=dataclasses.replace(known.provenance, **change))
    result = harmless(run("inspect", write_gaussian(tmp_path / "m.onnx", card=card)))
    assert result.exit_code == 0
    assert "owned" in result.stdout


def test_the_line_of_a_result_shows_a_name_escaped(gaussian, tmp_path):
    result = harmless(run("sample", "--engine", gaussian, "--steps", 1, "--out", tmp_path / f"x{ESCAPE}.npy"))
    assert result.exit_code == 0
    assert "\\x1b" in result.stdout
    assert np.load(tmp_path / f"x{ESCAPE}.npy").shape[0] == 16


@pytest.mark.parametrize(
    "command", [("sample", "--out", ""), ("sample", ""), ("inspect", ""), ("sample", "--engine", "")]
)
def test_an_empty_path_is_not_the_folder_of_the_command(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    failed(run(*command), "a path must not be empty", code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_file_can_have_is_a_one_line_error():
    for command in (
        ["inspect", "a" * 5000],
        ["sample", "--engine", "a" * 5000],
        ["export", "a" * 5000, "-o", "x.onnx"],
    ):
        result = harmless(run(*command))
        assert result.exit_code in (1, 2)
        assert result.stderr.count("\n") == 1
        assert len(result.stderr) <= 1100


@pytest.mark.parametrize("out", ["/", ".", "folder"])
def test_a_folder_is_not_a_steps_file(gaussian, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    result = run("steps", gaussian, "-o", out)
    assert result.exit_code == 2
    assert "folder" in result.stderr


@pytest.mark.parametrize("key", ["classes", "clip", "names", "image_shape", "prediction"])
def test_a_message_quotes_only_the_start_of_a_wrong_value(tmp_path, key, monkeypatch):
    text = json.dumps(json.loads(gaussian_card().to_json()) | {key: "A\n" * 50_000})
    monkeypatch.setattr("ddpm_rt.artifacts.card.ModelCard.to_json", lambda self: text)
    engine = write_gaussian(tmp_path / "m.onnx")
    monkeypatch.undo()
    result = harmless(run("inspect", engine))
    assert result.exit_code == 1
    assert key in result.stderr
    assert len(result.stderr) <= 320
