import json
import os
import subprocess
import sys

import numpy as np
import pytest
from command import failed, run
from gaussian_model import gaussian_card, write_gaussian
from PIL import Image

import ddpm_rt
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.images.write import read_text, to_pixels


def sample(engine, out, *options):
    return run("sample", "--engine", engine, "--steps", 5, "--out", out, *options)


def test_a_grid_is_written_and_one_line_printed(gaussian, tmp_path):
    result = sample(gaussian, tmp_path / "x.png", "--seed", 3)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    assert "16 images of seed 3 in" in result.stdout
    assert "ms a step" in result.stdout
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (4 * 6, 4 * 4)
    assert read_text(tmp_path / "x.png")["ddpm-rt.seed"] == "3"


def test_the_array_equals_that_of_the_python_interface(gaussian, tmp_path):
    options = {"sampler": "ddim", "eta": 0.5, "seed": 9, "first": 2, "count": 5, "batch": 3}
    flags = [text for key, value in options.items() for text in (f"--{key}", value)]
    assert sample(gaussian, tmp_path / "x.npy", *flags).exit_code == 0
    expected = ddpm_rt.sample(gaussian, steps=5, **options)
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_shows_the_trajectory(gaussian, tmp_path, suffix):
    assert sample(gaussian, tmp_path / f"x.{suffix}", "--batch", 5).exit_code == 0
    with Image.open(tmp_path / f"x.{suffix}") as picture:
        assert picture.n_frames == 5
        assert picture.size == (4 * 6, 4 * 4)


def test_a_folder_gets_one_file_for_each_sample_named_by_its_number(gaussian, tmp_path):
    assert sample(gaussian, tmp_path / "out", "--first", 7, "--count", 3, "--seed", 5).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000007.png", "000008.png", "000009.png"]
    expected = to_pixels(ddpm_rt.sample(gaussian, steps=5, first=8, count=1, seed=5))[0]
    with Image.open(tmp_path / "out" / "000008.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture)[..., None], expected)
    text = read_text(tmp_path / "out" / "000008.png")
    assert text["ddpm-rt.sample"] == "8"
    assert text["ddpm-rt.sampler"] == "ddim"
    assert len(text["ddpm-rt.model"]) == 64


def test_sample_forty_is_the_same_image_in_every_kind_of_run(gaussian, tmp_path):
    ddpm = ("--sampler", "ddpm", "--count", 48)
    assert sample(gaussian, tmp_path / "a.npy", *ddpm, "--batch", 1).exit_code == 0
    assert sample(gaussian, tmp_path / "b.npy", *ddpm, "--batch", 16).exit_code == 0
    assert sample(gaussian, tmp_path / "c.npy", "--sampler", "ddpm", "--first", 40, "--count", 1).exit_code == 0
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    np.testing.assert_allclose(a[40], b[40], rtol=0, atol=1e-4)
    np.testing.assert_allclose(a[40], c[0], rtol=0, atol=1e-4)


def test_finished_samples_are_skipped_and_missing_ones_are_drawn(gaussian, tmp_path):
    out = tmp_path / "out"
    sample(gaussian, out, "--count", 6)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for path in out.iterdir():
        os.utime(path, ns=(0, 0))  # a rewritten file would have another time
    (out / "000003.png").unlink()
    result = sample(gaussian, out, "--count", 6)
    assert "1 images of seed 0 in" in result.stdout
    assert "5 were there already" in result.stdout
    for path in out.iterdir():
        assert path.read_bytes() == before[path.name]
        assert (path.stat().st_mtime_ns == 0) == (path.name != "000003.png")
    assert "0 images of seed 0 in" in sample(gaussian, out, "--count", 6).stdout


@pytest.mark.parametrize("other", [("--seed", 1), ("--sampler", "ddpm"), ("--eta", 0.5)])
def test_a_folder_of_other_images_stays_unchanged(gaussian, tmp_path, other):
    out = tmp_path / "out"
    sample(gaussian, out, "--count", 2)
    before = (out / "000000.png").read_bytes()
    failed(sample(gaussian, out, "--count", 2, *other), "another image", "another folder")
    assert (out / "000000.png").read_bytes() == before


def test_a_foreign_file_with_the_same_name_stays_unchanged(gaussian, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000001.png").write_text("mine")
    failed(sample(gaussian, tmp_path / "out", "--count", 2), "000001.png")
    assert (tmp_path / "out" / "000001.png").read_text() == "mine"


# Ctrl-C at the start of a known call, independent of the speed of the machine.
INTERRUPTED = """
import os, signal, sys
from {module} import {owner}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell disables the handler
real, calls = {owner}.{method}, 0

def interrupted(*arguments, **options):
    global calls
    calls += 1
    if calls == {call}:
        os.kill(os.getpid(), signal.SIGINT)
    return real(*arguments, **options)

{owner}.{method} = interrupted
from ddpm_rt.cli import main
main(sys.argv[1:])
"""
ENGINE = {"module": "onnxruntime", "owner": "InferenceSession", "method": "run"}
PICTURE = {"module": "PIL.Image", "owner": "Image", "method": "save"}


def interrupted(place, call, *arguments):
    """Run the command in a new process, with Ctrl-C at the given call of `place`."""
    code = INTERRUPTED.format(**place, call=call)
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


OPTIONS = ("--batch", 8, "--sampler", "ddpm", "--steps", 20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "call", "kept"),
    [(ENGINE, 51, 16), (ENGINE, 1, 0), (PICTURE, 1, 0), (PICTURE, 21, 20), (PICTURE, 40, 39)],
    ids=["in a step", "in the first step", "at the first image", "between two images", "at the last image"],
)
def test_ctrl_c_keeps_complete_images_and_the_same_command_resumes(gaussian, tmp_path, place, call, kept):
    out = tmp_path / "out"
    command = ("sample", "--engine", gaussian, "--out", out, *OPTIONS, "--count", 40)
    done = interrupted(place, call, *command)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr == f"\ninterrupted; {kept} of 40 images are in {out}; the same command resumes\n"
    assert sorted(path.name for path in out.iterdir()) == [f"{sample:06d}.png" for sample in range(kept)]
    assert f"{40 - kept} images of seed 0 in" in run(*command).stdout
    drawn = to_pixels(ddpm_rt.sample(gaussian, sampler="ddpm", steps=20, count=40))
    for sample in {0, kept, 39}:
        with Image.open(out / f"{sample:06d}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture)[..., None], drawn[sample])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place", "call"), [("x.npy", ENGINE, 51), ("x.png", PICTURE, 1)])
def test_ctrl_c_leaves_no_part_of_a_file(gaussian, tmp_path, name, place, call):
    done = interrupted(place, call, "sample", "--engine", gaussian, "--out", tmp_path / name, *OPTIONS, "--count", 40)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr == f"\ninterrupted; {tmp_path / name} was not written; the same command starts again\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--seed", -1), 2, ["--seed"]),
        (("--seed", 2**64), 2, ["--seed"]),
        (("--count", 0), 2, ["--count"]),
        (("--first", 2**64 - 1, "--count", 2), 2, ["first"]),
        (("--eta", 0.5, "--sampler", "ddpm"), 2, ["eta"]),
        (("--eta", 1.5), 2, ["--eta"]),
        (("--steps", 1001), 2, ["1000"]),
        (("--sampler", "heun"), 2, ["heun"]),
        (("--out", "x.jpg"), 2, [".png"]),
        (("--out", "no/such/folder/x.png"), 1, ["not a folder"]),
        (("--out", "/proc/x.png"), 1, ["/proc"]),
        (("--out", "/proc/x/"), 1, ["/proc"]),
    ],
)
def test_invalid_options_are_a_one_line_error(gaussian, tmp_path, monkeypatch, options, code, words):
    monkeypatch.chdir(tmp_path)
    failed(run("sample", "--engine", gaussian, *options), *words, code=code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["sample --engine", "inspect"])
@pytest.mark.parametrize("content", [None, b"", b"text", "truncated", "no card", "unknown key"])
def test_a_file_that_is_not_a_model_is_a_one_line_error(gaussian, tmp_path, monkeypatch, command, content):
    import onnx

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.onnx"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "truncated":
        path.write_bytes(gaussian.read_bytes()[:-200])
    elif content == "no card":
        write_gaussian(path, metadata=False)
    elif content == "unknown key":
        write_gaussian(path)
        model = onnx.load(path)
        card = {**json.loads(gaussian_card().to_json()), "colour": 1}
        onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(card)})
        onnx.save(model, path)
    failed(run(*command.split(), path), "bad.onnx", *(["colour"] if content == "unknown key" else []))
    assert [file.name for file in tmp_path.iterdir()] == ([] if content is None else ["bad.onnx"])


def test_an_output_that_is_not_finite_is_a_one_line_error_and_leaves_no_file(tmp_path):
    engine = write_gaussian(tmp_path / "bad.onnx", poison_at=599)
    failed(sample(engine, tmp_path / "x.png"), "step 2, t = 599")
    assert [file.name for file in tmp_path.iterdir()] == ["bad.onnx"]


def test_a_disk_that_is_full_is_a_one_line_error_and_leaves_no_file(gaussian, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ddpm_rt.artifacts.atomic_write.os.replace", full)
    failed(sample(gaussian, tmp_path / "x.png"), "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_the_verbs_are_listed_in_the_order_of_the_pipeline():
    text = run("--help").stdout
    listed = text[text.index("Commands:") :]
    places = [listed.index(f"\n  {verb} ") for verb in ("train", "export", "sample", "inspect")]
    assert places == sorted(places)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "command", "extra"), [
    ("torch", "train --preset mnist --data x.npz --out y", "train"),
    ("torch", "export x -o y.onnx", "export"),
    ("onnxruntime", "sample --engine {engine}", "cpu"),
])  # fmt: skip
def test_a_missing_extra_is_named(gaussian, tmp_path, module, command, extra):
    script = f"import sys; sys.modules[{module!r}] = None; from ddpm_rt.cli import main; main(sys.argv[1:])"
    arguments = command.format(engine=gaussian).split()
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=tmp_path, env={**os.environ}
    )
    assert result.returncode == 1
    assert result.stderr.strip() == f"Error: {module} is not installed: pip install 'ddpm-rt[{extra}]'"


def test_inspect_prints_json_that_holds_the_card(gaussian):
    found = json.loads(run("inspect", gaussian, "--json").stdout)
    assert ddpm_rt.ModelCard.from_json(json.dumps({"format": 1, **found["card"]})) == gaussian_card()


def test_the_bundled_model_is_the_default(tmp_path):
    result = run("sample", "--steps", 4, "--count", 2, "--out", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    assert np.load(tmp_path / "x.npy").shape == (2, 1, 28, 28)
