"""`ddpm-rt evaluate`: what it prints, and what it refuses."""

import json

import numpy as np
import pytest
from command import failed, run
from gaussian_model import gaussian_card, write_conditional, write_gaussian

QUICK = ("--count", 16, "--steps", 3, "--resamples", 5, "--threads", 1)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "x.npz"
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 6, 1), dtype=np.uint8)
    np.savez(path, images=images, test_images=images[:20])
    return path


def test_it_prints_the_figures_of_the_samples_and_of_real_images(model, data):
    result = run("evaluate", model, "--data", data, *QUICK)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("g.onnx, fp32; sampler ddim, steps 3")
    assert lines[1] == "against 44 images of x.npz; 24 features: pixels averaged over 8 x 8 cells"
    assert lines[2].split() == ["16", "samples", "16", "real", "images"]
    names = [line.split("  ")[0] for line in lines[3:7]]
    assert names == ["Frechet distance", "kernel distance", "precision", "recall"]
    assert all(line.count("+-") == 2 for line in lines[3:7])
    assert result.stderr == ""


def test_json_says_what_was_drawn_and_compared(model, data):
    result = run("evaluate", model, "--data", data, "--array", "test_images", "--seed", 3, "--json", *QUICK)
    found = json.loads(result.stdout)
    assert (found["count"], found["floor_count"], found["reference_count"]) == (16, 10, 10)
    assert (found["seed"], found["first"], found["data"]) == (3, 0, "x.npz")
    assert found["generated"]["frechet"].keys() == {"value", "margin"}
    assert len(found["model_sha256"]) == 64


def test_labels_and_steps_files_are_options(data, tmp_path):
    model, table = write_conditional(tmp_path / "c.onnx"), tmp_path / "x.steps.json"
    assert run("steps", model, "--steps", 3, "-o", table).exit_code == 0
    asked = ("--count", 8, "--resamples", 5, "--label", "0,2", "--guidance", 1.5)
    result = run("evaluate", model, "--data", data, "--steps-file", table, *asked)
    assert result.exit_code == 0, result.output


def test_what_cannot_be_evaluated_is_one_line(model, data, tmp_path):
    failed(run("evaluate", model, "--data", tmp_path / "none.npz", *QUICK), "none.npz")
    failed(run("evaluate", model, "--data", data, "--array", "x", *QUICK), "has no array x")
    failed(run("evaluate", model, "--data", data, "--features", data, *QUICK), "x.npz")
    other = write_gaussian(tmp_path / "other.onnx", card=gaussian_card(image_shape=(1, 8, 8)))
    failed(run("evaluate", other, "--data", data, *QUICK), "the model draws images [N, 8, 8, 1]", code=2)
    few = tmp_path / "few.npz"
    np.savez(few, images=np.zeros((9, 4, 6), np.uint8))
    failed(run("evaluate", model, "--data", few, *QUICK), "16 real images", code=2)
