"""`ddpm-rt bench`: what it prints, and what it refuses."""

import json

from command import failed, run
from gaussian_model import gaussian_card, write_gaussian

QUICK = ("--rounds", 3, "--seconds", 0, "--threads", 1)


def test_it_says_what_was_measured_and_on_what(model):
    result = run("bench", model, "--batch", "1,4", "--steps", 3, *QUICK)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("g.onnx, fp32, SHA-256 ")
    assert "cpu, 1 threads" in lines[1]
    assert "onnxruntime" in lines[2]
    assert lines[3] == "sampler ddim, steps 3, eta 0.0, spacing the model's, dialect ho2020; 3 calls a sample"
    assert [line.split()[0] for line in lines[6:]] == ["1", "4"]


def test_json_is_for_machines(model):
    found = json.loads(run("bench", model, "--batch", 2, "--steps", 2, "--json", *QUICK).stdout)
    assert found["subject"]["model"] == "g.onnx"
    assert found["batches"][0]["rounds"] == 3
    assert found["versions"]["numpy"]
    assert found["batches"][0]["against"] is None


def test_another_model_is_called_in_turn(model, tmp_path):
    other = write_gaussian(tmp_path / "other.onnx")
    result = run("bench", model, "--against", other, "--batch", 1, "--steps", 2, *QUICK)
    assert result.exit_code == 0, result.output
    assert "other.onnx takes" in result.stdout
    assert "times as fast" in result.stdout


def test_a_fitted_table_and_a_steps_file_are_samplers(model, tmp_path):
    table = tmp_path / "x.steps.json"
    assert run("steps", model, "--sampler", "dpm++", "--steps", 3, "-o", table).exit_code == 0
    assert "3 calls a sample" in run("bench", model, "--steps-file", table, "--batch", 1, *QUICK).stdout
    failed(run("bench", model, "--sampler", "fitted", *QUICK), "carries no fitted tables", code=2)


def test_what_cannot_be_measured_is_one_line(model, tmp_path):
    failed(run("bench", model, "--batch", "1,0", *QUICK), "a batch must lie in", code=2)
    failed(run("bench", model, "--label", 1, *QUICK), "unconditional", code=2)
    failed(run("bench", tmp_path / "none.onnx", *QUICK), "is not a file")
    failed(run("bench", model, "--against", tmp_path / "none.onnx", *QUICK), "is not a file")
    larger = write_gaussian(tmp_path / "larger.onnx", card=gaussian_card(image_shape=(1, 8, 8)))
    failed(run("bench", model, "--against", larger, *QUICK), "different inputs", code=2)
