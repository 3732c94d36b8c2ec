import numpy as np
import pytest
from command import run
from gaussian_model import gaussian_card, write_gaussian

from ddpm_rt.images.canvas import MAX_PIXELS, Canvas, check_canvas, columns_of, grid
from ddpm_rt.images.write import FORMATS


def test_a_canvas_filled_in_parts_equals_the_grid_of_all_images():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 1), dtype=np.uint8)
    canvas = Canvas(7, (1, 3, 4), frames=2)
    for first in range(0, 7, 3):
        canvas.put(1, first, pixels[first : first + 3])
    np.testing.assert_array_equal(canvas.pixels[1], grid(pixels))
    assert (canvas.pixels[0] == 255).all()


@pytest.mark.parametrize(("count", "columns"), [
    (1, 1), (2, 2), (3, 3), (4, 2), (5, 5), (6, 3), (7, 4), (8, 4), (10, 5), (12, 4), (16, 4), (64, 8), (97, 14),
])  # fmt: skip
def test_a_grid_has_few_empty_cells_and_is_near_a_square(count, columns):
    assert columns_of(count) == columns


def test_few_cells_of_a_grid_are_empty_and_none_is_a_strip():
    for count in range(1, 4097):
        columns = columns_of(count)
        rows = -(-count // columns)
        assert 0 <= rows * columns - count <= count / 7
        assert rows <= columns <= 5 * rows


def test_empty_cells_are_white():
    tiled = grid(np.zeros((7, 3, 4, 1), np.uint8))
    assert tiled.shape == (6, 16, 1)
    assert (tiled[3:, 12:] == 255).all()
    assert tiled.sum() == 255 * 12


def test_a_scaled_canvas_has_each_pixel_as_a_square():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 3), dtype=np.uint8)
    canvas = Canvas(5, (3, 3, 4), scale=2)
    canvas.put(0, 0, pixels)
    for down in range(2):
        for across in range(2):
            np.testing.assert_array_equal(canvas.pixels[0, down::2, across::2], grid(pixels))


@pytest.mark.parametrize(("suffix", "count", "frames", "side"), [
    (".png", MAX_PIXELS + 1, 1, 1), (".gif", 10_000, 50, 28),
    *((suffix, 1, 1, form.largest_side + 1) for suffix, form in FORMATS.items()),
])  # fmt: skip
def test_a_picture_beyond_the_limits_is_refused_with_advice(suffix, count, frames, side):
    with pytest.raises(ValueError, match=r"\.npy or a folder"):
        check_canvas(suffix, count, frames, side, side if count > 1 else 1)


@pytest.mark.parametrize("out", [f"x{suffix}" for suffix in FORMATS])
def test_a_picture_that_is_too_large_is_refused_before_anything_is_drawn(gaussian, tmp_path, monkeypatch, out):
    monkeypatch.setattr("ddpm_rt.images.canvas.MAX_PIXELS", 100)
    monkeypatch.setattr("ddpm_rt.host_loop.normal", None)  # a call would fail
    result = run("sample", "--engine", gaussian, "--count", 64, "--steps", 2, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert "more than the limit of 100" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", [*(f"x{suffix}" for suffix in FORMATS), "folder"])
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_channels_that_no_picture_can_show_are_refused_before_anything_is_written(tmp_path, out, channels):
    engine = write_gaussian(tmp_path / "m.onnx", card=gaussian_card(image_shape=(channels, 4, 6)))
    result = run("sample", "--engine", engine, "--steps", 2, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert f"{channels} channels" in result.stderr
    assert ".npy" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
