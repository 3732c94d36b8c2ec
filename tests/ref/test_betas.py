import numpy as np
import pytest

from ddpm_ref import betas as schedules


def test_linear_has_the_alpha_bar_of_ho_et_al():
    alpha_bar = np.cumprod(1 - schedules.linear(1000))
    assert alpha_bar[999] == pytest.approx(4.03582977e-5, rel=1e-8)  # published value, nine digits


def test_quadratic_is_linear_in_its_square_root():
    roots = np.sqrt(schedules.quadratic(1000))
    np.testing.assert_allclose(np.diff(roots), (0.02**0.5 - 0.01) / 999, rtol=1e-9)


def test_cosine_reproduces_nichol_and_dhariwal_eq_17():
    u = (np.arange(1, 990) / 1000 + 0.008) / 1.008  # before the limit of 0.999 has an effect
    curve = np.cos(u * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(np.cumprod(1 - schedules.cosine(1000))[:989], curve, rtol=1e-9)
    assert schedules.cosine(1000)[-1] == schedules.MAX_BETA


def test_the_two_sigmoids_are_unrelated_curves():
    ours, jabri = schedules.sigmoid(1000), schedules.sigmoid_alpha_bar(1000)
    assert abs(np.cumprod(1 - ours)[500] - np.cumprod(1 - jabri)[500]) > 0.1
    assert np.cumprod(1 - jabri)[499] == pytest.approx(0.5, abs=1e-9)  # its logistic is odd about the middle


def test_sigmoid_has_the_given_ends():
    values = schedules.sigmoid(1000)
    # The logistic function at -6 and 6 differs from its limits by 0.0025.
    assert values[0] == pytest.approx(1e-4 + 0.0199 / (1 + np.exp(6)), rel=1e-12)
    assert values[-1] == pytest.approx(1e-4 + 0.0199 / (1 + np.exp(-6)), rel=1e-12)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 10, 1000, 4000])
def test_every_schedule_is_float64_inside_zero_and_one(name, steps):
    values = schedules.SCHEDULES[name](steps)
    assert values.dtype == np.float64
    assert values.shape == (steps,)
    assert ((values > 0) & (values < 1)).all()


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_diffusers_makes_the_same_betas_in_float32(name):
    from diffusers import DDPMScheduler

    from ddpm_ref.scheduler_config import read_scheduler

    theirs = DDPMScheduler(beta_schedule=name)
    ours, *_ = read_scheduler(theirs.config, "test")
    # One float32 rounding of values up to 1; diffusers also sums in float32.
    np.testing.assert_allclose(theirs.betas.numpy(), ours, rtol=2e-5, atol=2e-8)


@pytest.mark.parametrize("values", [[], [0.0], [1.0], [0.1, -0.1], [[0.1]], [float("nan")]])
def test_a_schedule_outside_zero_and_one_is_refused(values):
    with pytest.raises(ValueError, match="inside"):
        schedules.custom(values)
