"""Named inputs and self-conditioning, on the command line and in Python."""

import json

import numpy as np
import pytest
from command import failed, run, sampled
from condition_files import super_resolved, write_denoiser, write_super_resolution
from PIL import Image

import ddpm_rt
from ddpm_rt import Request, noise
from ddpm_rt.images.write import read_text

CARD = ("--process", "sigma:0.002:80", "--prediction", "x0", "--clip", "none", "--x", "noisy", "--t", "sigma")
CARD = (*CARD, "--output", "denoised", "--input", "difficulty")


@pytest.fixture
def denoiser(tmp_path):
    """A foreign ONNX file with a noise level and a condition, after `ddpm-rt card`."""
    path = tmp_path / "OUT.onnx"
    result = run("card", write_denoiser(tmp_path / "FILE.onnx"), "-o", path, *CARD)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def sr(tmp_path):
    return write_super_resolution(tmp_path / "sr3.onnx")


def test_a_foreign_model_with_a_noise_level_and_a_condition_samples_in_one_step(denoiser, tmp_path):
    out = tmp_path / "x.npy"
    sampled("--engine", denoiser, "--sampler", "consistency", "--steps", 1, "--input", "difficulty=42", "--count", 4,
            "--out", out)  # fmt: skip
    x_T = 80 * noise.normal(0, range(4), noise.INITIAL_STEP, 30).reshape(4, 1, 5, 6)
    np.testing.assert_allclose(np.load(out), 0.25 / (0.25 + 6400) * x_T + 0.42, rtol=1e-5)


def test_a_foreign_model_with_a_noise_level_samples_in_many_steps(denoiser, tmp_path):
    out = tmp_path / "x.npy"
    sampled("--engine", denoiser, "--steps", 40, "--sampler", "dpm++", "--input", "difficulty=42", "--count", 64,
            "--out", out)  # fmt: skip
    still = tmp_path / "still.npy"
    sampled("--engine", denoiser, "--steps", 40, "--sampler", "dpm++", "--input", "difficulty=0", "--count", 64,
            "--out", still)  # fmt: skip
    # Without the condition, the network is the exact denoiser of numbers from N(0, 0.25). The standard error of the
    # deviation of 1920 numbers is 0.008.
    assert np.load(still).std() == pytest.approx(0.5, abs=0.03)
    moved = np.load(out) - np.load(still)  # the network is linear: the condition moves all images alike
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0, 0, 0], moved.shape), rtol=1e-4)
    assert moved[0, 0, 0, 0] > 0.42


def test_neither_the_batch_nor_the_first_sample_changes_an_image(denoiser, tmp_path):
    entries = tmp_path / "levels.npy"
    np.save(entries, np.array([1.0, 5.0, 9.0]))
    options = {"steps": 4, "seed": 5, "inputs": {"difficulty": np.load(entries)}}
    whole = ddpm_rt.sample(denoiser, count=7, batch=7, **options)
    np.testing.assert_array_equal(ddpm_rt.sample(denoiser, count=7, batch=2, **options), whole)
    np.testing.assert_array_equal(ddpm_rt.sample(denoiser, first=4, count=3, **options), whole[4:])
    out = tmp_path / "x.npy"
    command = ("--engine", denoiser, "--steps", 4, "--seed", 5, "--out", out, "--input", f"difficulty={entries}")
    sampled(*command, "--first", 2, "--count", 3, "--batch", 1)
    np.testing.assert_array_equal(np.load(out), whole[2:5])
    alone = ddpm_rt.sample(denoiser, count=7, **(options | {"inputs": {"difficulty": 5.0}}))
    np.testing.assert_array_equal(alone[1::3], whole[1::3])
    assert (alone[0] != whole[0]).any()


def test_self_conditioning_gets_the_clipped_x0_of_the_step_before(sr):
    low_res = np.random.default_rng(0).uniform(-1, 1, (1, 4, 6)).astype(np.float32)
    request = Request(steps=9, count=3, inputs={"low_res": low_res})
    with ddpm_rt.open_denoiser(sr, provider="cpu") as engine:
        found, table = request.drawn(engine), request.bind(engine.card).table
        x_T = noise.normal(0, range(3), noise.INITIAL_STEP, 24).reshape(3, 1, 4, 6)
        np.testing.assert_allclose(found, super_resolved(engine.card, x_T, low_res, table), atol=1e-5)


def test_guidance_moves_away_from_the_null_input(sr):
    high, low = np.full((1, 4, 6), 0.2, np.float32), np.full((1, 4, 6), -0.1, np.float32)
    options = {"steps": 1, "count": 2}
    with ddpm_rt.open_denoiser(sr, provider="cpu") as engine:
        drawn = {value: ddpm_rt.sample(engine, inputs={"low_res": image}, **options) for value, image in
                 (("high", high), ("low", low))}  # fmt: skip
        guided = ddpm_rt.sample(engine, inputs={"low_res": high}, null_inputs={"low_res": low}, guidance=1.5, **options)
    # one step ends at x0, which is linear in the input as long as the clip does not bind
    free = np.abs(drawn["low"] + 1.5 * (drawn["high"] - drawn["low"])) < 0.99
    expected = drawn["low"] + 1.5 * (drawn["high"] - drawn["low"])
    np.testing.assert_allclose(guided[free], expected[free], atol=1e-6)
    assert free.sum() > 20


def test_a_picture_is_an_input_and_is_resized_when_asked(sr, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray(pixels.repeat(3, 0).repeat(3, 1)).save(tmp_path / "large.png")
    out = tmp_path / "x.npy"
    command = ("--engine", sr, "--steps", 3, "--count", 1, "--out", out)
    sampled(*command, "--input", f"low_res={tmp_path / 'photo.png'}")
    image = pixels[None].astype(np.float32) / np.float32(127.5) - np.float32(1)
    np.testing.assert_array_equal(np.load(out), ddpm_rt.sample(sr, steps=3, count=1, inputs={"low_res": image}))
    result = run("sample", *command, "--input", f"low_res={tmp_path / 'large.png'}")
    assert result.exit_code == 2
    assert "18 x 12" in result.stderr
    sampled(*command, "--input", f"low_res={tmp_path / 'large.png'}", "--resize")
    assert np.abs(np.load(out) - ddpm_rt.sample(sr, steps=3, count=1, inputs={"low_res": image})).max() < 0.5


def test_a_png_and_a_folder_know_the_hash_of_the_inputs(sr, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 4, 6), np.float32))
    np.save(tmp_path / "b.npy", np.full((1, 4, 6), 0.1, np.float32))
    command = ("--engine", sr, "--steps", 2, "--count", 2, "--out", tmp_path / "out")
    sampled(*command, "--input", f"low_res={tmp_path / 'a.npy'}")
    text = read_text(tmp_path / "out" / "000001.png")
    assert text["ddpm-rt.inputs"].startswith("low_res=")
    assert "2 were there already" in sampled(*command, "--input", f"low_res={tmp_path / 'a.npy'}").stdout
    result = run("sample", *command, "--input", f"low_res={tmp_path / 'b.npy'}")
    assert result.exit_code == 1
    assert "inputs" in result.stderr


def test_a_picture_of_a_model_without_inputs_says_what_it_always_said(gaussian, tmp_path):
    sampled("--engine", gaussian, "--steps", 2, "--count", 1, "--out", tmp_path / "x.png")
    assert not {"ddpm-rt.inputs", "ddpm-rt.null-inputs"} & read_text(tmp_path / "x.png").keys()


def test_steps_files_verify_interpolation_and_edits_take_inputs(sr, denoiser, tmp_path):
    given = ("--input", "low_res=0.25")
    steps, out = tmp_path / "x.steps.json", tmp_path / "x.npy"
    assert run("steps", sr, "--steps", 3, "-o", steps).exit_code == 0
    raw = json.loads(steps.read_text())
    assert raw["format"] == 2
    assert [one["role"] for one in raw["inputs"]] == ["condition", "prev_x0"]
    sampled("--engine", sr, "--steps-file", steps, "--count", 2, *given, "--out", out)
    direct = ddpm_rt.sample(sr, steps=3, count=2, inputs={"low_res": 0.25})
    np.testing.assert_array_equal(np.load(out), direct)
    result = run("verify", sr, "--engine-b", sr, "--sampler", "dpm++", "--steps", 3, *given)
    assert result.exit_code == 0, result.output
    result = run("verify", denoiser, "--engine-b", denoiser, "--steps", 3, "--input", "difficulty=1", "-o",
                 tmp_path / "report.html")  # fmt: skip
    assert result.exit_code == 0, result.output
    result = run(
        "interpolate", "--engine", sr, "--from", 0, "--to", 1, "--frames", 2, "--steps", 3, *given, "--out", out
    )
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(np.load(out), direct)
    np.save(tmp_path / "start.npy", np.zeros((1, 4, 6), np.float32))
    sampled("--engine", sr, "--init-image", tmp_path / "start.npy", "--steps", 4, "--count", 2, *given, "--out", out)
    assert np.load(out).shape == (2, 1, 4, 6)
    steps = tmp_path / "y.steps.json"
    assert run("steps", denoiser, "--steps", 3, "-o", steps).exit_code == 0
    assert json.loads(steps.read_text())["initial_scale"] == pytest.approx(80.0)
    sampled("--engine", denoiser, "--steps-file", steps, "--count", 2, "--input", "difficulty=1", "--out", out)
    np.testing.assert_array_equal(np.load(out), ddpm_rt.sample(denoiser, steps=3, count=2, inputs={"difficulty": 1}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the model needs input 'low_res', float32 [1, 4, 6] for each sample"),
        (["--input", "low_res"], "is not NAME=VALUE"),
        (["--input", "low_res=1", "--input", "low_res=2"], "is given twice"),
        (["--input", "low_res=1", "--input", "high_res=2"], "the model has no input 'high_res'"),
        (["--input", "low_res=1", "--input", "before=2"], "the model has no input 'before'"),
        (["--input", "low_res=nan"], "finite numbers"),
        (["--input", "low_res=1e39"], "float32 cannot hold"),
        (["--input", "low_res=1", "--guidance", "2"], "--null-input"),
        (["--input", "low_res=1", "--null-input", "low_res=0"], "null inputs are for guidance"),
        (["--input", "low_res=1", "--label", "1"], "unconditional"),
    ],
)
def test_inputs_that_cannot_be_are_one_line(sr, tmp_path, options, message):
    result = run("sample", "--engine", sr, "--steps", 2, "--out", tmp_path / "x.png", *options)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("value", ["0x10", "1=2", "photo.png", "one"])
def test_a_number_that_is_none_is_one_line(denoiser, tmp_path, value):
    result = run("sample", "--engine", denoiser, "--out", tmp_path / "x.npy", "--input", f"difficulty={value}")
    failed(result, f"input 'difficulty' takes a number or an .npy, not {value}", code=2)


def test_an_array_of_another_shape_and_a_file_that_is_missing_are_one_line(sr, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 6)))
    for name, code, message in (("x.npy", 2, "low_res' is [2, 4, 6]"), ("none.png", 1, "none.png")):
        result = run("sample", "--engine", sr, "--out", tmp_path / "y.png", "--input", f"low_res={tmp_path / name}")
        assert result.exit_code == code, result.output
        assert message in result.stderr.splitlines()[-1]


def test_an_input_that_is_missing_or_unknown_is_one_line(gaussian, sr, denoiser, tmp_path):
    result = run("sample", "--engine", gaussian, "--input", "a=1", "--out", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "it has none" in result.stderr
    noisy = ["--input", "low_res=0", "--eta", "1"]
    for model, given, message in ((sr, noisy, "leave out eta"), (denoiser, [], "difficulty")):
        result = run("tune", model, "--calls", 2, "-o", tmp_path / "x.steps.json", *given)
        assert result.exit_code in (1, 2)
        assert message in result.stderr


def test_inspect_tells_of_the_process_and_the_inputs(denoiser, sr):
    text = run("inspect", denoiser).stdout
    assert "sigma: sigma_min 0.002, sigma_max 80.0, time sigma" in text
    assert "difficulty float32 [] (condition)" in text
    assert "before float32 [1, 4, 6] (prev_x0)" in run("inspect", sr).stdout
    raw = json.loads(run("inspect", denoiser, "--json").stdout)
    assert raw["card"]["process"]["sigma_max"] == 80.0
