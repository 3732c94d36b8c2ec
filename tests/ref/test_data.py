import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from ddpm_ref.data import batch_indices, open_images
from ddpm_ref.errors import DataError

SHAPE = (8, 8, 3)


def picture(seed, size=(8, 8), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png(seed, **options):
    file = io.BytesIO()
    picture(seed, **options).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """A folder with three images, one of them in a subfolder, and a file that is not an image."""
    (tmp_path / "data" / "below").mkdir(parents=True)
    for name, seed in (("b.png", 1), ("a.png", 0), ("below/c.png", 2)):
        (tmp_path / "data" / name).write_bytes(png(seed))
    (tmp_path / "data" / "notes.txt").write_text("not an image")
    return tmp_path / "data"


def test_a_folder_gives_its_images_in_the_order_of_their_names(folder):
    images = open_images(str(folder), SHAPE)
    assert len(images) == 3
    for index in range(3):
        np.testing.assert_array_equal(images[index], np.asarray(picture(index)))


def test_a_zip_gives_the_same_as_its_folder(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    zipped, plain = open_images(str(tmp_path / "data.zip"), SHAPE), open_images(str(folder), SHAPE)
    assert len(zipped) == len(plain)
    for index in range(len(plain)):
        np.testing.assert_array_equal(zipped[index], plain[index])


def test_an_npz_gives_its_training_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", train_images=pixels, test_images=pixels[:1])
    np.testing.assert_array_equal(open_images(str(tmp_path / "set.npz"), (8, 8, 1)), pixels)


def test_colour_is_converted_to_the_channels_of_the_model(folder):
    gray = open_images(str(folder), (8, 8, 1))[0]
    np.testing.assert_array_equal(gray[..., 0], np.asarray(picture(0).convert("L")))


def test_another_size_is_refused_without_cropping(folder):
    (folder / "d.png").write_bytes(png(3, size=(20, 12)))
    with pytest.raises(DataError, match=r"d\.png is 12 high, 20 wide.*--fit crop"):
        open_images(str(folder), SHAPE)[3]
    assert open_images(str(folder), SHAPE, fit="crop")[3].shape == SHAPE


@pytest.mark.parametrize("content", [b"", b"no image at all", png(9)[:60]], ids=["empty", "text", "truncated"])
def test_a_corrupt_image_is_named(folder, content):
    (folder / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png is not a readable image"):
        open_images(str(folder), SHAPE)[0]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="contains no images"):
        open_images(str(tmp_path), SHAPE)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train_images": np.zeros((5, 8, 8, 3), np.float32)}, "float32"),
        ({"train_images": np.zeros((5, 9, 8, 3), np.uint8)}, r"\[5, 9, 8, 3\]"),
        ({"train_images": np.zeros((5, 8, 8), np.uint8)}, "expected"),
        ({"train_images": np.zeros((0, 8, 8, 3), np.uint8)}, "expected"),
        ({"pictures": np.zeros((5, 8, 8, 3), np.uint8)}, "pictures"),
    ],
)
def test_an_npz_of_another_shape_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_images(str(tmp_path / "set.npz"), SHAPE)


@pytest.mark.parametrize("name", ["missing.npz", "missing.zip", "./missing"])
def test_a_missing_path_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="missing"):
        open_images(name, SHAPE)


@pytest.mark.parametrize("name", ["broken.npz", "broken.zip"])
def test_a_file_that_is_not_an_archive_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(DataError, match="broken"):
        open_images(str(tmp_path / name), SHAPE)


def test_an_epoch_shows_every_image_once_and_each_epoch_in_another_order():
    seen = np.concatenate([batch_indices(10, 4, step, seed=3) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])


def test_a_batch_may_be_larger_than_the_data():
    assert sorted(batch_indices(3, 6, 0, seed=0)) == [0, 0, 1, 1, 2, 2]
