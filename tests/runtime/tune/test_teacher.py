import numpy as np
import pytest
from gaussian_model import BETAS, PIXEL_VARIANCE, gaussian_card
from mixture_engine import MixtureEngine
from toy_engine import eps_of_gaussian

from ddpm_rt import Beginning, Request, Schedule, noise, trajectory
from ddpm_rt.engine import CallableEngine
from ddpm_rt.samplers import dpm
from ddpm_rt.tune.noisy_teacher import flow_table, noisy_rows, noisy_steps
from ddpm_rt.tune.teacher import KEPT, kept_elements, on_kept, teacher_grid, teacher_paths

SCHEDULE = Schedule(BETAS)


def gaussian_engine():
    def denoise(x, t, y=None):
        return eps_of_gaussian(x, t)

    denoise.card = gaussian_card()
    return CallableEngine(denoise)


def variance(alpha_bar):
    """The variance of x_t for pixels from N(0, PIXEL_VARIANCE)."""
    return alpha_bar * PIXEL_VARIANCE + 1 - alpha_bar


def ignored():
    pass


@pytest.mark.parametrize("points", [2, 5, 60, 1000, 5000])
def test_the_grid_descends_to_0_and_has_at_most_two_extra_points(points):
    grid = teacher_grid(SCHEDULE, points)
    assert grid[0] == 999
    assert grid[-1] == 0
    assert (np.diff(grid) < 0).all()
    assert len(grid) <= points + 2


def test_the_grid_contains_the_wanted_timesteps_and_starts_at_the_first():
    grid = teacher_grid(SCHEDULE, 20, [801, 402, 77])
    assert grid[0] == 801
    assert {801, 402, 77} <= set(grid.tolist())


def test_the_paths_equal_those_of_the_loop_for_any_batch():
    engine, grid = MixtureEngine(clip=(-1.0, 1.0)), teacher_grid(SCHEDULE, 12)
    bound = Request(seed=5, first=3, count=7, batch=3).bind(engine.card)
    calls = []
    paths = teacher_paths(engine, bound, grid, lambda: calls.append(1))
    assert len(calls) == 3 * len(grid)
    assert engine.largest == 3
    table = dpm(SCHEDULE, grid, prediction="eps")
    steps = trajectory(engine, table, engine.card.image_shape, seed=5, samples=range(3, 10))
    np.testing.assert_array_equal(paths.x[0], noise.normal(5, range(3, 10), noise.INITIAL_STEP, 24))
    for step in steps:
        np.testing.assert_allclose(
            paths.x[step.row + 1], step.x.reshape(7, 24), atol=1e-6
        )  # batch sizes round differently
        np.testing.assert_allclose(paths.x0[step.row], step.x0.reshape(7, 24), atol=1e-6)


def test_evenly_spaced_elements_of_a_large_image_are_kept():
    small, large = gaussian_card(), gaussian_card(image_shape=(3, 100, 100))
    assert on_kept(small, np.zeros((2, 1, 4, 6), np.float32)).shape == (2, 24)
    images = np.arange(60_000, dtype=np.float32).reshape(2, 3, 100, 100)
    kept = on_kept(large, images)
    assert KEPT / 2 < kept.shape[1] <= KEPT
    assert (np.diff(kept[0]) == kept_elements(large).step).all()
    assert kept[0, -1] > 29_980


def test_the_teacher_follows_the_probability_flow_of_gaussian_pixels():
    """For a Gaussian, the flow scales x by the square root of the ratio of the variances."""
    engine, grid = gaussian_engine(), teacher_grid(SCHEDULE, 60)
    paths = teacher_paths(engine, Request(count=16).bind(engine.card), grid, ignored)
    levels = np.append(SCHEDULE.alpha_bar[grid], 1.0)
    for point, level in enumerate(levels):
        exact = paths.x[0] * np.sqrt(variance(level) / variance(levels[0]))
        error = np.abs(paths.x[point] - exact).max()
        assert error < 0.01, grid[point - 1]  # the solver's own error at 60 calls; x is up to 4


@pytest.mark.parametrize("level", [0.9, 0.99, 0.9999, 1.0])
def test_a_flow_table_ends_at_its_level(level):
    visited = [t for t in teacher_grid(SCHEDULE, 120, [600]).tolist() if SCHEDULE.alpha_bar[t] < level]
    table = flow_table(SCHEDULE, visited, level, "eps")
    assert table.t.tolist() == visited
    start = np.random.default_rng(0).standard_normal((4, 1, 4, 6)).astype(np.float32)
    *_, step = trajectory(
        eps_of_gaussian, table, (1, 4, 6), seed=0, samples=range(4), clip=None, begin=Beginning(start)
    )
    exact = start * np.sqrt(variance(level) / variance(SCHEDULE.alpha_bar[600]))
    np.testing.assert_allclose(step.x, exact, atol=0.01)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_the_teacher_of_a_table_with_noise_keeps_the_variance_of_x_at_every_row(eta):
    """Before a row adds its noise, the variance of x is the variance after the row minus sigma^2."""
    engine, timesteps = gaussian_engine(), np.array([999, 700, 400, 150])
    bound = Request(seed=2, count=2000, batch=500).bind(engine.card)
    rows = noisy_rows(engine.card, timesteps, eta)
    grid = teacher_grid(SCHEDULE, 60)
    found = [[x.var() for x in noisy_steps(engine, bound, portion, rows, grid, ignored)]
             for portion in bound.batches(bound.request.samples)]  # fmt: skip
    due = variance(rows.next_level) - rows.sigma**2
    np.testing.assert_allclose(np.mean(found, axis=0), due, rtol=0.02)  # 48 000 values: 0.65 % is one deviation


def test_a_row_with_noise_ends_above_its_own_level_and_the_last_row_has_no_noise():
    rows = noisy_rows(gaussian_card(), np.array([999, 500, 20]), 1.0)
    assert (rows.level > SCHEDULE.alpha_bar[[999, 500, 20]]).all()
    assert (rows.level[:-1] < 1).all()
    assert rows.sigma[-1] == 0
    assert rows.level[-1] == 1
