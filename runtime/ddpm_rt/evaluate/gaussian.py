"""The Frechet distance between Gaussians that are fitted to features."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Gaussian(NamedTuple):
    """The mean `[D]` and the covariance `[D, D]` of a set of features."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, features: Floats) -> "Gaussian":
        """Fitted to `[N, D]`, the covariance without bias. Raises ValueError for fewer than two rows."""
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"features must be [N, D] with N at least 2, not {features.shape}")
        return cls(features.mean(0), np.atleast_2d(np.cov(features, rowvar=False)))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m_a - m_b|^2 + tr(A + B - 2 (A B)^1/2), Dowson and Landau 1982, eq. (16): a squared distance, as in FID.

    tr (A B)^1/2 is computed as tr (B^1/2 A B^1/2)^1/2, which has the same eigenvalues. That matrix is symmetric, so its
    eigendecomposition stays real when a covariance is singular (a feature that is never active).
    """
    return distance_from(square_root(b.covariance), b, a)


def distance_from(root: Floats, reference: Gaussian, other: Gaussian) -> float:
    """`frechet_distance`, with the square root of the reference's covariance, which many distances share."""
    between = np.linalg.eigvalsh(root @ other.covariance @ root)
    trace = np.trace(other.covariance) + np.trace(reference.covariance) - 2.0 * np.sqrt(np.maximum(between, 0.0)).sum()
    return float(((other.mean - reference.mean) ** 2).sum() + trace)


def square_root(matrix: Floats) -> Floats:
    """The symmetric square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T, np.float64)
