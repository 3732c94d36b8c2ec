import subprocess
import sys

import numpy as np
import pytest
from command import failed, run
from condition_files import denoiser_card, write_denoiser
from gaussian_model import gaussian_card, write_gaussian
from PIL import Image

import ddpm_rt
from ddpm_rt import Request
from ddpm_rt.images.write import read_text, to_pixels

PICTURE = np.random.default_rng(1).integers(0, 256, (4, 6), dtype=np.uint8)
MASK = np.zeros((4, 6), bool)
MASK[:2] = True


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The current folder, with a picture and a mask, and with files that edits refuse."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PICTURE).save("in.png")
    Image.fromarray(np.where(MASK, 255, 0).astype(np.uint8)).save("mask.png")
    Image.fromarray(np.zeros((6, 4), np.uint8)).save("turned.png")
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save("deep.png")
    (tmp_path / "text.png").write_text("no picture")
    np.save("two.npy", np.zeros((2, 1, 4, 6), np.float32))
    np.save("other.npy", np.zeros((2, 3, 4, 6), np.float32))
    np.save("bytes.npy", np.full((1, 4, 6), 255, np.uint8))
    (tmp_path / "plain").write_text("no folder")
    return tmp_path


def image():
    return (PICTURE.astype(np.float32) / np.float32(127.5) - 1)[None]


def test_an_edit_equals_that_of_the_python_interface(gaussian, files):
    options = ["--sampler", "ddpm", "--steps", 20, "--seed", 6, "--first", 2, "--count", 3]
    begin = ["--init-image", "in.png", "--strength", 0.4]
    result = run("sample", "--engine", gaussian, *begin, *options, "--out", "x.npy")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("3 images of seed 6 in ")
    assert result.stdout.endswith("ms a step: x.npy\n")
    request = Request(sampler="ddpm", steps=20, seed=6, first=2, count=3)
    expected = ddpm_rt.from_image(image(), gaussian, strength=0.4, request=request)
    np.testing.assert_array_equal(np.load("x.npy"), expected)


def test_black_is_kept_and_white_is_redrawn(gaussian, files):
    result = run("sample", "--engine", gaussian, "--init-image", "in.png", "--mask", "mask.png", "--count", 2,
                 "--steps", 9, "--resample", 2, "--out", "out")  # fmt: skip
    assert result.exit_code == 0, result.output
    for sample in range(2):
        found = np.asarray(Image.open(f"out/{sample:06d}.png"))
        np.testing.assert_array_equal(found[~MASK], PICTURE[~MASK])
        assert (found[MASK] != PICTURE[MASK]).mean() > 0.8  # a new pixel may equal the old one by chance


def test_colours_are_read_as_they_are_written(tmp_path):
    engine = write_gaussian(tmp_path / "rgb.onnx", card=gaussian_card(image_shape=(3, 4, 6)))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    Image.fromarray(np.where(MASK, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    result = run("sample", "--engine", engine, "--init-image", tmp_path / "in.png", "--mask", tmp_path / "mask.png",
                 "--count", 1, "--steps", 3, "--out", tmp_path / "x.png")  # fmt: skip
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png"))[~MASK], pixels[~MASK])


def test_the_history_of_an_edit_is_in_the_picture_and_a_folder_keeps_edits_apart(gaussian, files):
    asked = ["sample", "--engine", gaussian, "--init-image", "in.png", "--steps", 5, "--count", 2, "--out", "out"]
    assert run(*asked).exit_code == 0
    text = read_text(files / "out" / "000000.png")
    assert text["ddpm-rt.strength"] == "0.5"
    assert len(text["ddpm-rt.images"]) == 64
    again = run(*asked).stdout
    assert again.startswith("0 images of seed 0 in ")
    assert again.endswith(": out (2 were there already)\n")
    failed(run(*asked, "--strength", 0.7), "strength")


def test_many_images_are_one_sample_each(gaussian, files):
    assert run("sample", "--engine", gaussian, "--init-image", "two.npy", "--steps", 4, "--out", "x.npy").exit_code == 0
    assert np.load("x.npy").shape == (2, 1, 4, 6)


def test_frames_are_written(gaussian, files):
    asked = ["interpolate", "--engine", gaussian, "--from", 1, "--to", 4, "--frames", 5, "--steps", 6]
    for out in ("x.npy", "x.gif", "x.png", "frames"):
        assert run(*asked, "--out", out).exit_code == 0
    frames = ddpm_rt.interpolate(1, 4, gaussian, frames=5, request=Request(steps=6))
    np.testing.assert_array_equal(np.load("x.npy"), frames)
    with Image.open("x.gif") as walk:  # the animation goes from one sample to another, not from noise
        assert (walk.n_frames, walk.size) == (5, (6, 4))
    third = np.asarray(Image.open("frames/000002.png"))
    np.testing.assert_array_equal(third, to_pixels(frames)[2, ..., 0])


def test_inversion_and_sampling_reconstruct_a_picture(gaussian, files):
    assert run("invert", "in.png", "--engine", gaussian, "--steps", 250, "-o", "x_T.npy").exit_code == 0
    options = ["--init-noise", "x_T.npy", "--steps", 250, "--out", "again.png"]
    assert run("sample", "--engine", gaussian, *options).exit_code == 0
    again = np.asarray(Image.open("again.png")).astype(int)
    # First order in the step: 1.4 % of a pixel's value at 250 steps, two units of 127.5, and the rounding.
    assert np.abs(again - PICTURE).max() <= 3


@pytest.mark.parametrize(("options", "code", "words"), [
    ("sample --init-image in.png --init-noise two.npy", 2, ["either --init-image or --init-noise"]),
    ("sample --init-image in.png --strength 0", 2, ["strength must lie in (0, 1]"]),
    ("sample --init-image in.png --strength 1.5", 2, ["strength must lie in (0, 1]"]),
    ("sample --init-image turned.png", 2, ["turned.png is 4 x 6 but the model draws 6 x 4"]),
    ("sample --init-image text.png", 1, ["text.png"]),
    ("sample --init-image deep.png", 1, ["deep.png", "8 bits"]),
    ("sample --init-image nowhere.png", 1, ["nowhere.png"]),
    ("sample --init-image other.npy", 2, ["other.npy is [2, 3, 4, 6] but the model draws [1, 4, 6]"]),
    ("sample --init-image two.npy --count 5", 2, ["5"]),
    ("sample --init-image bytes.npy", 2, ["bytes.npy", "255", "[-1, 1]"]),
    ("sample --out text.png/x", 1, ["text.png"]),
    ("sample --out plain", 2, ["plain"]),
    ("sample --init-image in.png --mask turned.png", 2, ["turned.png is 4 x 6 but the model draws 6 x 4"]),
    ("sample --init-image in.png --resample 3", 2, ["resample"]),
    ("sample --init-noise two.npy --strength 0.5", 2, ["--strength"]),
    ("sample --init-image in.png --steps 1001", 2, ["1000"]),
    ("interpolate --from 0 --to 1 --frames 1", 2, ["--frames"]),
    ("invert in.png -o x.png", 2, [".npy"]),
    ("invert text.png", 1, ["text.png"]),
])  # fmt: skip
def test_an_invalid_edit_is_a_one_line_error_and_leaves_no_file(gaussian, files, options, code, words):
    before = sorted(path.name for path in files.iterdir())
    failed(run(*options.split(), "--engine", gaussian), *words, code=code)
    assert sorted(path.name for path in files.iterdir()) == before


def test_editing_works_where_torch_and_onnx_cannot_be_imported(gaussian, files):
    script = (
        "import sys\n"
        "sys.modules.update(torch=None, onnx=None, onnxscript=None, ddpm_ref=None, ddpm_export=None)\n"
        "from ddpm_rt.cli import main\n"
        "main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "sample", "--engine", gaussian, "--init-image", "in.png", "--steps", "3"]
    subprocess.run(command, check=True)
    assert (files / "samples.png").exists()


def test_an_array_of_noise_levels_is_inverted_and_drawn_again(tmp_path):
    denoiser = write_denoiser(tmp_path / "denoiser.onnx", card=denoiser_card())
    image, noise, again = (tmp_path / name for name in ("image.npy", "noise.npy", "again.npy"))
    np.save(image, np.random.default_rng(0).uniform(-1, 1, (2, 1, 5, 6)).astype(np.float32))
    asked = ("--engine", denoiser, "--steps", 200, "--input", "difficulty=0")
    result = run("invert", image, *asked, "-o", noise)
    assert result.exit_code == 0, result.output
    assert run("sample", *asked, "--init-noise", noise, "--out", again).exit_code == 0
    # eps is taken from the start of each inverted step: 2.2 % of a pixel at 200 steps.
    np.testing.assert_allclose(np.load(again), np.load(image), rtol=0.023, atol=1e-5)
