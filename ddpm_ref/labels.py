"""Class labels of training images: an array in the `.npz`, the folder of each file, or a column of a hub data set."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .data import ARRAY_KEYS, HubImages, ImageFiles, ImageSet, opened_archive
from .errors import DataError
from .text import quoted

if TYPE_CHECKING:
    from datasets import Dataset

Labels = NDArray[np.int64]  # [N], counted from 0

LABEL_KEYS = ("train_labels", "labels", "y_train", "arr_1")  # in the order of the image keys that they belong to
HUB_COLUMNS = ("label", "labels", "class")  # columns of whole numbers with these names are labels


def open_labels(path: str, images: ImageSet, classes: int) -> Labels:
    """The labels int64 `[N]` of `images`, which `open_images` read from `path`.

    In an `.npz`, the labels are whole numbers `[N]`. In a folder or a zip, the class of a file is its folder; the
    folders are numbered in the order of their names, as in torchvision's ImageFolder. On the hub, the labels are the
    column of type ClassLabel, or else a column of whole numbers named in `HUB_COLUMNS`.

    Raises DataError unless every image has one label and the labels are exactly 0 to `classes` - 1.
    """
    if isinstance(images, ImageFiles):
        labels = _of_folders(images)
    elif isinstance(images, HubImages):
        labels = _of_column(images.rows, images.name)
    else:
        labels = _of_array(Path(path))
    if labels.shape != (len(images),):
        raise DataError(f"{path} has {len(images)} images, but labels of shape {list(labels.shape)}")
    found = np.unique(labels)
    if found[0] < 0 or found[-1] >= classes:
        raise DataError(f"{path}: labels run from {found[0]} to {found[-1]}; the model's run from 0 to {classes - 1}")
    if len(found) < classes:
        absent = min(set(range(classes)) - set(found.tolist()))
        raise DataError(f"{path}: no image has label {absent}; the model's labels run from 0 to {classes - 1}")
    return labels


def _of_array(path: Path) -> Labels:
    keys = dict(zip(ARRAY_KEYS, LABEL_KEYS, strict=True))
    with opened_archive(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.names()]
        wanted = next(keys[key] for key in ARRAY_KEYS if key in names)
        if wanted not in names:
            raise DataError(f"{path} contains {quoted(names)}, but no {wanted}, which a model with classes needs")
        return np.asarray(archive.read_array(f"{wanted}.npy", np.integer), np.int64)


def _of_folders(images: ImageFiles) -> Labels:
    folders = [Path(name).parent for name in images.names]
    numbers = {folder: number for number, folder in enumerate(sorted(set(folders)))}
    if images.path in numbers or Path() in numbers:
        raise DataError(f"{images.path} has images outside class folders; a model with classes needs one per class")
    return np.array([numbers[folder] for folder in folders], np.int64)


def _of_column(rows: "Dataset", name: str) -> Labels:
    from datasets import ClassLabel

    kinds = {key: feature for key, feature in rows.features.items() if isinstance(feature, ClassLabel)}
    whole = [key for key in HUB_COLUMNS if getattr(rows.features.get(key), "dtype", "").startswith(("int", "uint"))]
    columns = list(kinds) or whole
    if len(columns) != 1:
        found = f"the columns {', '.join(columns)}" if columns else "no label column"
        raise DataError(f"data set {name} has {found}; a model with classes needs exactly one")
    values = rows[columns[0]][:]
    if any(value is None for value in values):
        raise DataError(f"data set {name}: column {columns[0]} lacks some labels")
    return np.array(values, np.int64)
