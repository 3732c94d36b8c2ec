import numpy as np
import pytest
from gaussian_model import BETAS
from mixture_engine import MixtureEngine

from ddpm_rt import Request, Schedule, ddim, trajectory
from ddpm_rt.tune.rows import fit_rows, fitted_row
from ddpm_rt.tune.teacher import teacher_grid, teacher_paths

SCHEDULE = Schedule(BETAS)
TIMESTEPS = np.array([999, 640, 333, 120])


def taught(engine, count=20):
    bound = Request(seed=3, count=count, batch=7).bind(engine.card)
    grid = teacher_grid(SCHEDULE, 40, TIMESTEPS.tolist())
    paths = teacher_paths(engine, bound, grid, lambda: None)
    return bound, paths.after(np.flatnonzero(np.isin(grid, TIMESTEPS)).tolist(), count)


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("clip", [None, (-1.0, 1.0)])
@pytest.mark.parametrize("variance", ["fixed_small", "learned_range"])
def test_the_fit_ends_where_the_loop_ends_to_the_bit(eta, clip, variance):
    engine = MixtureEngine(clip=clip, variance=variance)
    bound, targets = taught(engine)
    table, images = fit_rows(engine, bound, TIMESTEPS, targets, eta=eta)
    for portion in bound.batches(bound.request.samples):
        *_, step = trajectory(engine, table, (1, 4, 6), seed=3, samples=portion, clip=clip)
        np.testing.assert_array_equal(images[portion[0] : portion[-1] + 1], step.x)


def test_a_fitted_row_without_a_ridge_is_numpy_s_least_squares():
    engine = MixtureEngine(clip=(-1.0, 1.0))
    bound, targets = taught(engine)
    table, _ = fit_rows(engine, bound, TIMESTEPS, targets, ridge=0.0)
    xs, x0s = [], []
    for portion in bound.batches(bound.request.samples):
        steps = [(step.x.copy(), step.x0.copy()) for step in
                 trajectory(engine, table, (1, 4, 6), seed=3, samples=portion)]  # fmt: skip
        xs.append([x for x, _ in steps])
        x0s.append([x0 for _, x0 in steps])
    x, x0 = (np.concatenate(parts, axis=1).reshape(4, -1).astype(np.float64) for parts in (xs, x0s))
    features = np.stack([x[1], x0[2], x0[1]], axis=1)
    wanted = np.linalg.lstsq(features, targets[2].ravel(), rcond=None)[0]
    found = [table.mean_from_x[2], table.mean_from_x0[2], table.mean_from_prev_x0[2]]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_the_columns_that_are_not_fitted_equal_those_of_ddim():
    engine = MixtureEngine(clip=(-1.0, 1.0))
    bound, targets = taught(engine)
    table, _ = fit_rows(engine, bound, TIMESTEPS, targets, eta=0.5)
    plain = ddim(SCHEDULE, TIMESTEPS, prediction="eps", eta=0.5)
    for name in ("t", "x0_from_x", "x0_from_out", "sigma", "mean_from_out", "log_sigma_from_spread"):
        np.testing.assert_array_equal(getattr(table, name), getattr(plain, name))
    assert table.mean_from_prev_x0[0] == 0
    assert table.mean_from_prev_x0[1:].all()


def test_an_infinite_ridge_gives_the_prior_and_equal_features_share_a_weight():
    products, target, prior = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([1.0, -1.0]), np.array([0.3, 0.6])
    np.testing.assert_allclose(fitted_row(products, target, prior, 1e12), prior)
    shared = fitted_row(np.ones((2, 2)), np.ones(2), np.zeros(2), 1e-6)
    np.testing.assert_allclose(shared, [0.5, 0.5], rtol=1e-5)


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_a_table_does_not_depend_on_the_prediction_of_the_network(prediction):
    fitted = []
    for said in ("eps", prediction):
        engine = MixtureEngine(clip=(-1.0, 1.0), prediction=said)
        bound, targets = taught(engine)
        fitted.append(fit_rows(engine, bound, TIMESTEPS, targets)[0])
    for name in ("mean_from_x", "mean_from_x0", "mean_from_prev_x0"):
        # near t = 999, x0 has 150 times the float32 error of eps, about 1e-5
        np.testing.assert_allclose(getattr(fitted[0], name), getattr(fitted[1], name), atol=2e-3)
