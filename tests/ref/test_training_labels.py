"""The sources of training labels, and the errors for unusable labels."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from ddpm_ref.data import HubImages, fingerprint, open_images
from ddpm_ref.errors import DataError
from ddpm_ref.labels import open_labels

SHAPE = (8, 8, 1)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), dtype=np.uint8)


def labels_of(path, classes, shape=SHAPE):
    return open_labels(str(path), open_images(str(path), shape), classes)


@pytest.fixture
def folders(tmp_path):
    """Three classes, one with a subfolder, whose order by name differs from the order of creation."""
    for name, seed in (("dog/1.png", 0), ("cat/x.png", 1), ("cat/y.png", 2), ("ape/great/0.png", 3)):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[seed, ..., 0]).save(path)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("images", "labels"), [("train_images", "train_labels"), ("images", "labels"), ("x_train", "y_train")]
)
def test_an_npz_gives_its_labels(tmp_path, images, labels):
    given = np.array([2, 0, 1, 1, 0, 2], np.uint8)
    np.savez(tmp_path / "set.npz", **{images: PIXELS, labels: given, "test_labels": given[:1]})
    found = labels_of(tmp_path / "set.npz", 3)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, given)


def test_the_class_of_a_file_is_the_number_of_its_folder_by_name(folders):
    assert labels_of(folders, 3).tolist() == [0, 1, 1, 2]
    assert [len(open_images(str(folders), SHAPE)), labels_of(folders, 3).shape] == [4, (4,)]


def test_a_zip_of_class_folders_gives_the_same_labels(folders, tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for file in folders.rglob("*.png"):
            archive.write(file, file.relative_to(folders))
    zipped, plain = open_images(str(tmp_path / "data.zip"), SHAPE), open_images(str(folders), SHAPE)
    np.testing.assert_array_equal(labels_of(tmp_path / "data.zip", 3), labels_of(folders, 3))
    for index in range(4):
        np.testing.assert_array_equal(zipped[index], plain[index])


def hub(monkeypatch, features, **columns):
    """A data set of the hub, from memory."""
    datasets = pytest.importorskip("datasets")

    def png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0]).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None}

    info = datasets.DatasetInfo(features=datasets.Features({"image": datasets.Image(), **features}))
    table = datasets.table.InMemoryTable.from_pydict(
        {"image": [png(pixels) for pixels in PIXELS], **columns}, schema=info.features.arrow_schema
    )
    rows = datasets.Dataset(table, info=info, fingerprint="0")
    monkeypatch.setattr("datasets.load_dataset", lambda name, split: rows)
    return HubImages("someone/digits", SHAPE, "exact")


def test_a_data_set_of_the_hub_gives_its_class_label_column(monkeypatch):
    pytest.importorskip("datasets")
    from datasets import ClassLabel, Value

    images = hub(
        monkeypatch,
        {"label": Value("int64"), "kind": ClassLabel(names=["a", "b"])},
        label=[7] * 6,
        kind=[0, 1, 1, 0, 1, 0],
    )
    assert open_labels("someone/digits", images, 2).tolist() == [0, 1, 1, 0, 1, 0]
    np.testing.assert_array_equal(images[4], PIXELS[4])


def test_a_data_set_of_the_hub_without_class_labels_gives_its_column_named_label(monkeypatch):
    pytest.importorskip("datasets")
    from datasets import Value

    columns = {"label": [0, 1, 1, 0, 1, 0], "weight": [3] * 6}
    images = hub(monkeypatch, {"label": Value("int64"), "weight": Value("int64")}, **columns)
    assert open_labels("someone/digits", images, 2).tolist() == columns["label"]


def test_a_data_set_of_the_hub_with_no_or_two_label_columns_is_refused(monkeypatch):
    pytest.importorskip("datasets")
    from datasets import ClassLabel, Value

    values = [0, 1, 1, 0, 1, 0]
    with pytest.raises(DataError, match="no label column"):
        open_labels("", hub(monkeypatch, {"label": Value("string")}, label=list("abcdef")), 2)
    kind = ClassLabel(names=["a", "b"])
    two = hub(monkeypatch, {"fine": kind, "coarse": kind}, fine=values, coarse=values)
    with pytest.raises(DataError, match="the columns fine, coarse"):
        open_labels("", two, 2)
    lacking = hub(monkeypatch, {"label": kind}, label=[None, *values[1:]])
    with pytest.raises(DataError, match="column label lacks some labels"):
        open_labels("", lacking, 2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "but no train_labels, which a model with classes needs"),
        ({"train_labels": np.zeros(5, np.int64)}, r"has 6 images, but labels of shape \[5\]"),
        ({"train_labels": np.zeros((6, 1), np.int64)}, r"labels of shape \[6, 1\]"),
        ({"train_labels": np.zeros(6)}, "float64 of 6 numbers in 176 bytes; expected integer"),
        ({"train_labels": np.array([0, 1, 2, 3, 0, 1])}, "run from 0 to 3; the model's run from 0 to 2"),
        ({"train_labels": np.array([0, 1, 2, -1, 0, 1])}, "run from -1 to 2"),
        ({"train_labels": np.array([0, 2, 2, 0, 0, 2])}, "no image has label 1"),
        ({"labels": np.array([0, 1, 2, 0, 0, 2])}, "but no train_labels"),
    ],
)
def test_labels_that_do_not_match_are_refused_in_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", train_images=PIXELS, **arrays)
    with pytest.raises(DataError, match=message):
        labels_of(tmp_path / "set.npz", 3)


def test_images_outside_class_folders_are_refused(folders, tmp_path):
    Image.fromarray(PIXELS[5, ..., 0]).save(folders / "loose.png")
    with pytest.raises(DataError, match="outside class folders"):
        labels_of(folders, 3)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for file in folders.rglob("*.png"):
            archive.write(file, file.relative_to(folders))
    with pytest.raises(DataError, match="outside class folders"):
        labels_of(tmp_path / "data.zip", 3)


def test_the_fingerprint_depends_on_the_labels():
    labels = np.arange(6)
    assert fingerprint(PIXELS, labels) == fingerprint(PIXELS, labels.astype(np.int64))
    assert len({fingerprint(PIXELS), fingerprint(PIXELS, labels), fingerprint(PIXELS, labels[::-1])}) == 3
