import numpy as np
import pytest
from PIL import Image

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.images.canvas import grid
from ddpm_rt.images.write import FORMATS, read_text, save_png, to_pixels


def test_every_byte_survives_the_round_trip_through_the_training_range():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    images = pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    np.testing.assert_array_equal(to_pixels(images)[..., 0], pixels[:, 0])


def test_values_beyond_the_range_are_clipped_and_halves_round_to_even():
    values = np.array([-9, -1, 0, 1, 9], np.float32).reshape(1, 1, 1, 5)
    np.testing.assert_array_equal(to_pixels(values).ravel(), [0, 0, 128, 255, 255])  # 127.5 becomes 128


@pytest.mark.parametrize(("count", "shape"), [(1, (2, 3)), (2, (2, 6)), (5, (2, 15)), (16, (8, 12))])
def test_a_grid_is_as_square_as_possible(count, shape):
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.ones((count, 2, 3, 1), np.uint8)
    tiled = grid(pixels)
    assert tiled.shape == (*shape, 1)
    columns = shape[1] // 3
    for i in range(count):
        row, column = divmod(i, columns)
        assert (tiled[2 * row : 2 * row + 2, 3 * column : 3 * column + 3] == i + 1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_contains_its_pixels_and_its_text(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    save_png(tmp_path / "a.png", pixels, {"ddpm-rt.seed": "18446744073709551615"})
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture).reshape(pixels.shape), pixels)
    assert read_text(tmp_path / "a.png")["ddpm-rt.seed"] == "18446744073709551615"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("suffix", [suffix for suffix, form in FORMATS.items() if form.shows == "animation"])
def test_an_animation_has_its_frames_and_shows_the_last_one_longer(tmp_path, suffix):
    frames = np.stack([np.full((8, 8, 1), 50 * i, np.uint8) for i in range(4)])
    FORMATS[suffix].save(tmp_path / f"a{suffix}", frames, {})
    with Image.open(tmp_path / f"a{suffix}") as picture:
        assert picture.n_frames == 4
        picture.seek(3)
        picture.load()
        assert abs(int(np.asarray(picture.convert("L"))[0, 0]) - 150) <= 1  # a palette may be one off
        assert picture.info["duration"] >= 1000


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_text("old")

    def fail(file):
        file.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(DdpmRtError, match=r"a\.bin cannot be written: No space left"):
        replace_file(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_in_the_middle_of_a_write_leaves_nothing(tmp_path):
    def interrupt(file):
        file.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "a.bin", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_a_picture_has_no_text(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    assert read_text(tmp_path / "a.png") == {}
