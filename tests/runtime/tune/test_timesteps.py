from itertools import combinations

import numpy as np
import pytest
from gaussian_model import BETAS
from mixture_engine import MixtureEngine

from ddpm_rt import Beginning, Request, Schedule, ddim, trajectory
from ddpm_rt.tune.search import end_error, improved_path, moves
from ddpm_rt.tune.teacher import teacher_grid, teacher_paths
from ddpm_rt.tune.timesteps import cheapest_path, step_errors

SCHEDULE = Schedule(BETAS)


@pytest.fixture(scope="module")
def taught():
    engine = MixtureEngine(clip=(-1.2, 1.2))
    bound = Request(seed=1, count=6).bind(engine.card)
    return engine, bound, teacher_paths(engine, bound, teacher_grid(SCHEDULE, 20), lambda: None)


def test_a_step_error_equals_the_error_of_that_ddim_step(taught):
    engine, _, paths = taught
    errors = step_errors(paths, SCHEDULE)
    assert np.isinf(errors[np.tril_indices(len(paths.grid))]).all()
    for i, j in ((0, 1), (0, 9), (4, 5), (7, 15), (11, len(paths.grid))):
        to = paths.grid[j : j + 1]
        table = ddim(SCHEDULE, np.append(paths.grid[i], to), prediction="eps")
        start = paths.x[i].reshape(6, 1, 4, 6)
        step = next(
            trajectory(engine, table, (1, 4, 6), seed=0, samples=range(6), clip=(-1.2, 1.2), begin=Beginning(start))
        )
        direct = np.sqrt(np.mean((step.x.reshape(6, 24).astype(np.float64) - paths.x[j]) ** 2))
        assert errors[i, j] == pytest.approx(direct, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("growth", [1.0, 1.3])
@pytest.mark.parametrize("calls", [1, 2, 4, 7])
def test_no_path_is_cheaper_than_the_cheapest(calls, growth):
    errors = np.triu(np.random.default_rng(calls).random((7, 8)), 1)
    errors[np.tril_indices(7)] = np.inf

    def cost(path):
        ends = [*path, 7]
        return sum(
            errors[i, j] * growth ** (calls - 1 - k) for k, (i, j) in enumerate(zip(ends, ends[1:], strict=False))
        )

    paths = [(0, *rest) for rest in combinations(range(1, 7), calls - 1)]
    assert cost(cheapest_path(errors, calls, growth).tolist()) == pytest.approx(min(map(cost, paths)))


@pytest.mark.parametrize("calls", [0, 8])
def test_a_path_of_more_calls_than_the_teacher_has_timesteps_is_refused(calls):
    with pytest.raises(ValueError, match="between 1 and the 7"):
        cheapest_path(np.ones((7, 8)), calls)


def test_a_move_keeps_the_order_and_the_ends():
    assert list(moves([0, 3, 4], 1, 1, 6)) == [[0, 2, 4]]
    assert list(moves([0, 3, 4], 2, 1, 6)) == [[0, 3, 5]]
    assert list(moves([0, 3, 5], 2, 1, 6)) == [[0, 3, 4]]
    assert list(moves([0, 3, 5], 1, 4, 6)) == []


def test_the_search_gets_closer_to_the_teacher_within_its_budget(taught):
    engine, bound, paths = taught
    even = [0, 5, 10, 15]
    before, calls = end_error(engine, bound, paths, even, lambda: None), []
    found = improved_path(engine, bound, paths, even, lambda: calls.append(1), evaluations=25)
    assert found[0] == 0
    assert found == sorted(set(found))
    assert len(found) == 4
    assert end_error(engine, bound, paths, found, lambda: None) < 0.9 * before
    assert len(calls) <= (25 + 1) * 4
    assert improved_path(engine, bound, paths, even, lambda: None, evaluations=0) == even
