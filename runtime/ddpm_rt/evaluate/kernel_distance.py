"""The kernel distance: the squared maximum mean discrepancy of a cubic kernel, as in KID."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]  # [N], how often each row was drawn; all 1 for the sample itself


class KernelDistance:
    """The distance of two sets of features, and of sets that are drawn from them again."""

    def __init__(self, a: Floats, b: Floats) -> None:
        """`[N, D]` and `[M, D]`. Raises ValueError for fewer than two rows."""
        if min(len(a), len(b)) < 2:
            raise ValueError("a kernel distance needs two images of each set at least")
        self._a, self._b, self._between = cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)
        np.fill_diagonal(self._a, 0.0)  # the estimate without bias leaves out pairs of an image with itself
        np.fill_diagonal(self._b, 0.0)

    def of(self, a: Counts | None = None, b: Counts | None = None) -> float:
        """Binkowski et al. 2018, eq. (4): the mean kernel within each set less twice that between them.

        It has no bias, so it may be negative. `a` and `b` weigh the rows.
        """
        a = np.ones(len(self._a), np.int64) if a is None else a
        b = np.ones(len(self._b), np.int64) if b is None else b
        between = a @ self._between @ b / (a.sum() * b.sum())
        return float(_mean_within(self._a, a) + _mean_within(self._b, b) - 2.0 * between)


def cubic_kernel(a: Floats, b: Floats) -> Floats:
    """(x . y / D + 1)^3 for every pair of rows: `[N, M]`."""
    return np.asarray((a @ b.T / a.shape[1] + 1.0) ** 3, np.float64)


def _mean_within(kernel: Floats, counts: Counts) -> float:
    pairs = counts.sum() ** 2 - (counts**2).sum()  # without pairs of a row with itself, however often it was drawn
    return float(counts @ kernel @ counts / pairs)
