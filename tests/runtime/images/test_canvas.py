import numpy as np
import pytest
from command import run
from gaussian_model import gaussian_card, write_gaussian

from ddpm_rt.images.canvas import MAX_PIXELS, Canvas, check_canvas, columns_of, grid


def test_a_canvas_filled_in_parts_equals_the_grid_of_all_images():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 1), dtype=np.uint8)
    canvas = Canvas(7, (1, 3, 4), frames=2)
    for first in range(0, 7, 3):
        canvas.put(1, first, pixels[first : first + 3])
    np.testing.assert_array_equal(canvas.pixels[1], grid(pixels))
    assert not canvas.pixels[0].any()


def test_a_grid_is_nearly_square():
    assert [columns_of(count) for count in (1, 2, 4, 5, 9, 10, 10**12 + 1)] == [1, 2, 2, 3, 3, 4, 10**6 + 1]


@pytest.mark.parametrize(("suffix", "count", "frames", "side"), [
    (".png", MAX_PIXELS + 1, 1, 1), (".gif", 10_000, 50, 28), (".webp", 1, 1, 16_384), (".gif", 1, 1, 65_536),
])  # fmt: skip
def test_a_picture_beyond_the_limits_is_refused_with_advice(suffix, count, frames, side):
    with pytest.raises(ValueError, match=r"\.npy or a folder"):
        check_canvas(suffix, count, frames, side, side if count > 1 else 1)


@pytest.mark.parametrize("out", ["x.png", "x.gif", "x.webp"])
def test_a_picture_that_is_too_large_is_refused_before_anything_is_drawn(gaussian, tmp_path, monkeypatch, out):
    monkeypatch.setattr("ddpm_rt.images.canvas.MAX_PIXELS", 100)
    monkeypatch.setattr("ddpm_rt.host_loop.normal", None)  # a call would fail
    result = run("sample", "--engine", gaussian, "--count", 64, "--steps", 2, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert "more than the limit of 100" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["x.png", "x.gif", "x.webp", "folder"])
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_channels_that_no_picture_can_show_are_refused_before_anything_is_written(tmp_path, out, channels):
    engine = write_gaussian(tmp_path / "m.onnx", card=gaussian_card(image_shape=(channels, 4, 6)))
    result = run("sample", "--engine", engine, "--steps", 2, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert f"{channels} channels" in result.stderr
    assert ".npy" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
