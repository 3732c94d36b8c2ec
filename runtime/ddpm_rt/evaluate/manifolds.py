"""Precision and recall of samples: the shares that lie on the other set's manifold (Kynkaanniemi et al. 2019)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 3  # the k of the paper's figures
ROWS = 1024  # of a set that distances are computed for at a time

Floats = NDArray[np.float64]


class OnManifold(NamedTuple):
    """For each image, whether the other set's manifold has it; the means are precision and recall."""

    generated: NDArray[np.bool_]  # [N], on the manifold of the real images
    real: NDArray[np.bool_]  # [M], on the manifold of the generated images


def on_manifolds(generated: Floats, real: Floats, neighbours: int = NEIGHBOURS) -> OnManifold:
    """Features `[N, D]` and `[M, D]`: an image is on a manifold if it is as near to one of its images as that image's
    `neighbours`-th nearest. Raises ValueError for sets of no more than `neighbours` images."""
    if min(len(generated), len(real)) <= neighbours:
        raise ValueError(f"precision and recall need more than {neighbours} images of each set")
    return OnManifold(
        _within(generated, real, radii(real, neighbours)), _within(real, generated, radii(generated, neighbours))
    )


def radii(features: Floats, neighbours: int) -> Floats:
    """The squared distance of each row to its `neighbours`-th nearest other row, `[N]`."""
    nearest = [np.partition(part, neighbours, axis=1)[:, neighbours] for part in squared_distances(features, features)]
    return np.concatenate(nearest)  # the nearest of all is the row itself


def _within(points: Floats, centres: Floats, radius: Floats) -> NDArray[np.bool_]:
    return np.concatenate([(part <= radius).any(axis=1) for part in squared_distances(points, centres)])


def squared_distances(a: Floats, b: Floats) -> Iterator[Floats]:
    """|x - y|^2 for every pair of rows, in portions of rows of `a`."""
    squares = (b**2).sum(1)
    for first in range(0, len(a), ROWS):
        part = a[first : first + ROWS]
        yield np.maximum((part**2).sum(1)[:, None] + squares - 2.0 * part @ b.T, 0.0)
