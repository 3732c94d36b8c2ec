"""`--scale N`: a picture has N x N pixels for each of the model, and nothing else about it changes."""

import numpy as np
import pytest
from command import failed, run
from PIL import Image, ImageSequence

from ddpm_rt.images.write import FORMATS


def draw(gaussian, out, *more, verb=("sample", "--count", 3)):
    return run(*verb, "--engine", gaussian, "--steps", 2, "--out", out, *more)


def frames_of(path):
    with Image.open(path) as picture:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]


def assert_enlarged(large, small, scale):
    assert len(large) == len(small)
    for one, other in zip(large, small, strict=True):
        np.testing.assert_array_equal(one, other.repeat(scale, axis=0).repeat(scale, axis=1))


@pytest.mark.parametrize("verb", [("sample", "--count", 3), ("interpolate", "--from", 0, "--to", 1, "--frames", 3)])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_is_enlarged_without_new_shades(gaussian, tmp_path, verb, suffix):
    for name, scale in (("small", 1), ("large", 3)):
        assert draw(gaussian, tmp_path / f"{name}{suffix}", "--scale", scale, verb=verb).exit_code == 0
    assert_enlarged(frames_of(tmp_path / f"large{suffix}"), frames_of(tmp_path / f"small{suffix}"), 3)


def test_a_folder_is_enlarged_resumed_and_not_mixed_with_another_scale(gaussian, tmp_path):
    for name, scale in (("small", 1), ("large", 4)):
        assert draw(gaussian, tmp_path / name, "--scale", scale).exit_code == 0
    for path in sorted((tmp_path / "large").glob("*.png")):
        assert_enlarged(frames_of(path), frames_of(tmp_path / "small" / path.name), 4)
        with Image.open(path) as large, Image.open(tmp_path / "small" / path.name) as small:
            assert large.info == small.info  # what decides an image: the scale does not
    (tmp_path / "large" / "000001.png").unlink()
    assert "2 were there already" in draw(gaussian, tmp_path / "large", "--scale", 4).stdout
    failed(draw(gaussian, tmp_path / "large", "--scale", 2), "is another image (size")
    failed(draw(gaussian, tmp_path / "small", "--scale", 2), "is another image (size")


def test_an_array_has_no_scale(gaussian, tmp_path):
    result = draw(gaussian, tmp_path / "x.npy", "--scale", 2)
    failed(result, "arrays hold the model's numbers and have no scale", code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", [*(f"x{suffix}" for suffix in FORMATS), "folder"])
def test_an_enlarged_picture_beyond_the_limit_is_refused_before_anything_is_drawn(gaussian, tmp_path, monkeypatch, out):
    monkeypatch.setattr("ddpm_rt.images.canvas.MAX_PIXELS", 1000)
    monkeypatch.setattr("ddpm_rt.host_loop.normal", None)  # a call would fail
    failed(draw(gaussian, tmp_path / out, "--scale", 20), "more than the limit of 1000", code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scale", [0, -1, 1025, 10**30, "2.5"])
def test_a_scale_is_a_count_up_to_1024(gaussian, tmp_path, scale):
    failed(draw(gaussian, tmp_path / "x.png", "--scale", scale), "--scale", code=2)
