"""Frechet and kernel distance, precision and recall, against formulas, laws and slow computations of their own."""

import numpy as np
import pytest

from ddpm_rt.evaluate.gaussian import Gaussian, frechet_distance, square_root
from ddpm_rt.evaluate.kernel_distance import KernelDistance
from ddpm_rt.evaluate.manifolds import on_manifolds, radii


def normals(count, size, seed=0, mean=0.0, scale=1.0):
    return mean + scale * np.random.default_rng(seed).standard_normal((count, size))


def test_the_frechet_distance_of_diagonal_gaussians_has_a_closed_form():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 0.25])
    found = frechet_distance(Gaussian(np.array([1.0, 0, 0]), np.diag(a)), Gaussian(np.array([0, 2.0, 0]), np.diag(b)))
    assert found == pytest.approx(1 + 4 + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2))


def test_the_frechet_distance_does_not_change_with_the_axes_and_is_symmetric():
    rng = np.random.default_rng(1)
    turn, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    x, y = normals(200, 5, 2) * np.arange(1, 6), normals(300, 5, 3, mean=0.3)
    plain = frechet_distance(Gaussian.of(x), Gaussian.of(y))
    assert frechet_distance(Gaussian.of(x @ turn), Gaussian.of(y @ turn)) == pytest.approx(plain)
    assert frechet_distance(Gaussian.of(y), Gaussian.of(x)) == pytest.approx(plain)
    assert frechet_distance(Gaussian.of(x), Gaussian.of(x)) == pytest.approx(0.0, abs=1e-9)


def test_a_singular_covariance_has_a_distance_and_a_root():
    x = np.hstack([normals(50, 2), np.zeros((50, 1))])
    covariance = Gaussian.of(x).covariance
    root = square_root(covariance)
    np.testing.assert_allclose(root @ root, covariance, atol=1e-12)
    assert np.isfinite(frechet_distance(Gaussian.of(x), Gaussian.of(x + 1)))
    with pytest.raises(ValueError, match="N at least 2"):
        Gaussian.of(x[:1])


def slow_kernel_distance(x, y):
    """The three means, pair by pair."""

    def kernel(a, b):
        return (np.dot(a, b) / len(a) + 1) ** 3

    def within(s):
        return np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])

    return within(x) + within(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_the_kernel_distance_is_that_of_all_pairs():
    x, y = normals(9, 4), normals(7, 4, 1, mean=0.5)
    assert KernelDistance(x, y).of() == pytest.approx(slow_kernel_distance(x, y))


def test_rows_that_were_drawn_twice_count_twice_but_not_with_themselves():
    x, y = normals(5, 3), normals(6, 3, 1)
    counts = np.array([2, 0, 1, 1, 1])
    drawn = np.repeat(np.arange(5), counts)
    pairs = [(i, j) for i in drawn for j in drawn if i != j]
    kernel = (x @ x.T / 3 + 1) ** 3
    expected = np.mean([kernel[i, j] for i, j in pairs])
    other = KernelDistance(x, y)
    b = np.ones(6)
    within_y = other.of() - KernelDistance(x, y).of(counts)  # the reference's part drops out
    kernel_y = (x @ y.T / 3 + 1) ** 3
    plain = np.mean([kernel[i, j] for i in range(5) for j in range(5) if i != j])
    assert within_y == pytest.approx(
        plain - expected - 2 * (kernel_y.mean() - (counts @ kernel_y @ b) / (counts.sum() * 6))
    )


def test_the_kernel_distance_of_equal_laws_has_no_bias():
    values = [KernelDistance(normals(40, 3, 2 * seed), normals(40, 3, 2 * seed + 1)).of() for seed in range(60)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error  # exceeded once in 16 000
    assert min(values) < 0 < max(values)
    assert KernelDistance(normals(200, 3), normals(200, 3, 1, mean=1.0)).of() > 1.0


def test_radii_are_the_distances_to_the_third_neighbour():
    points = np.array([[0.0], [1.0], [3.0], [6.0], [10.0]])
    np.testing.assert_allclose(np.sqrt(radii(points, 3)), [6, 5, 3, 5, 9])


def test_precision_falls_with_samples_off_the_manifold_and_recall_with_what_is_not_drawn():
    real = np.concatenate([normals(60, 2), normals(60, 2, 1, mean=30.0)])
    one_mode, both_and_noise = normals(60, 2, 2), np.concatenate([real + 0.01, normals(40, 2, 3, mean=-50.0)])
    found = on_manifolds(one_mode, real)
    assert found.generated.mean() > 0.8
    assert found.real[60:].mean() == 0.0
    assert found.real[:60].mean() > 0.8
    found = on_manifolds(both_and_noise, real)
    assert found.generated[:120].all()
    assert not found.generated[120:].any()
    assert found.real.all()


def test_a_large_set_is_compared_in_portions(monkeypatch):
    from ddpm_rt.evaluate import manifolds

    x, y = normals(50, 3), normals(40, 3, 1)
    whole = on_manifolds(x, y)
    monkeypatch.setattr(manifolds, "ROWS", 7)
    for one, other in zip(whole, on_manifolds(x, y), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="more than 3 images"):
        on_manifolds(x, y[:3])
