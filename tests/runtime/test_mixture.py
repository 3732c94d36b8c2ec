"""Every sampler draws a known distribution correctly with its exact network."""

import numpy as np
import pytest
from repository import load_script

from ddpm_rt.samplers import samplers_of

figure = load_script("sampler_figure")

ENOUGH = {
    "ddpm": (500, "trailing"),
    "ddim": (100, "trailing"),
    "dpm++": (30, "logsnr"),
    "dpm++sde": (100, "logsnr"),
    "euler": (100, "trailing"),
    "euler-a": (500, "trailing"),
    "lcm": (4, "trailing"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (ENOUGH[name][0] > 100)) for name in samplers_of("betas")]
)
def test_with_enough_steps_the_modes_have_their_weights_and_moments(name):
    """65 536 draws: standard errors 0.0018 (share) and 0.0021 (mean). Four of them, and for the deviation 0.01, what
    100 steps of first order leave (the variance of a linear chain lacks a part of order 1 / steps)."""
    row = figure.measure(name, *ENOUGH[name])
    mean, deviation = figure.MIXTURE.moments()
    assert row.left == pytest.approx(0.3, abs=4 * 0.0018)
    assert row.mean == pytest.approx(mean, abs=4 * 0.0021)
    assert row.deviation == pytest.approx(deviation, abs=0.01)
    assert row.distance < 0.01  # a fiftieth of the deviation; perfect draws of this size give 0.003


@pytest.mark.slow
def test_second_order_beats_first_order_at_equal_calls_and_nearly_matches_five_times_as_many():
    """Compares with the exact probability flow from the same noise."""
    first = figure.measure("ddim", 20)
    assert figure.measure("dpm++", 20).from_flow < 0.75 * first.from_flow
    second = figure.measure("dpm++", 20, "logsnr").from_flow
    assert second < 0.25 * first.from_flow
    assert second < 1.1 * figure.measure("ddim", 100).from_flow


@pytest.mark.parametrize(("name", "spacing", "order"), [("ddim", "trailing", 1), ("dpm++", "logsnr", 2)])
def test_the_order_of_a_solver_is_what_its_paper_says(name, spacing, order):
    """Halving the step divides the error by 2^order; a factor of 4 allows for steps that are not yet asymptotic."""
    coarse, fine = (figure.measure(name, steps, spacing).from_flow for steps in (12, 24))
    assert np.log2(coarse / fine) == pytest.approx(order, rel=0.25)


def test_the_flow_keeps_the_distribution():
    """The oracle itself maps noise to values with the quantiles of the mixture."""
    rng = np.random.default_rng(0)
    level = float(figure.SCHEDULE.alpha_bar[500])
    data = np.interp(rng.random(20000), figure.MIXTURE.cdf(1.0), figure.GRID)
    x = np.sqrt(level) * data + np.sqrt(1 - level) * rng.standard_normal(20000)
    flowed = np.sort(figure.MIXTURE.flow(x, level))
    assert np.abs(flowed - np.sort(data)).mean() < 0.015  # standard error of a mean is 0.004, of W1 about twice that


@pytest.mark.slow
def test_the_network_predicts_the_expected_noise():
    """E[z | x] by brute force: the mean of z among 4 million pairs whose x falls into a bin of 0.02."""
    rng = np.random.default_rng(1)
    level = float(figure.SCHEDULE.alpha_bar[300])
    z = rng.standard_normal(4_000_000)
    data = np.interp(rng.random(len(z)), figure.MIXTURE.cdf(1.0), figure.GRID)
    x = np.sqrt(level) * data + np.sqrt(1 - level) * z
    for at in (-1.0, -0.3, 0.0, 0.4, 1.0):
        near = z[np.abs(x - at) < 0.01]
        expected = figure.MIXTURE.eps(np.array([at], np.float32), np.array(level))[0]
        assert near.mean() == pytest.approx(expected, abs=5 * near.std() / np.sqrt(len(near)))
