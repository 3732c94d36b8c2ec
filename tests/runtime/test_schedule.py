import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_rt import Schedule, StepTable, ddim, ddpm, timesteps

LINEAR = Schedule(np.linspace(1e-4, 0.02, 1000))
ALL = timesteps(1000, 1000)
PREDICTIONS = ["eps", "x0", "v"]


def cosine(steps=1000):
    curve = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return Schedule(np.minimum(1 - curve[1:] / curve[:-1], 0.999))


def row(table, t):
    return {name: float(getattr(table, name)[list(table.t).index(t)]) for name in StepTable._fields}


def test_the_golden_coefficients_of_ho_et_al():
    """The values were computed independently in float64 and have seven significant digits, hence the tolerance."""
    small, large = ddpm(LINEAR, ALL), ddpm(LINEAR, ALL, variance="fixed_large")
    assert LINEAR.alpha_bar[999] == pytest.approx(4.03582977e-5, rel=1e-7)
    at_999, at_500, at_1 = row(small, 999), row(small, 500), row(small, 1)
    assert at_999["x0_from_x"] == pytest.approx(157.4105, rel=1e-6)
    assert -at_999["x0_from_out"] == pytest.approx(157.4073, rel=1e-6)
    assert at_999["mean_from_x0"] == pytest.approx(1.283515e-4, rel=1e-6)
    assert at_999["mean_from_x"] == pytest.approx(0.9899487, rel=1e-7)
    assert row(large, 999)["sigma"] == pytest.approx(0.1414214, rel=1e-6)
    assert at_1["mean_from_x0"] == pytest.approx(0.5452915, rel=1e-7)
    assert at_1["mean_from_x"] == pytest.approx(0.4547085, rel=1e-6)
    assert at_1["sigma"] == pytest.approx(0.00738457, rel=1e-6)
    assert row(large, 1)["sigma"] == pytest.approx(0.0109508, rel=1e-5)
    assert at_500["x0_from_x"] == pytest.approx(3.585251, rel=1e-6)
    assert -at_500["x0_from_out"] == pytest.approx(3.442967, rel=1e-6)
    assert at_500["mean_from_x0"] == pytest.approx(0.003058057, rel=1e-6)
    assert at_500["mean_from_x"] == pytest.approx(0.9941044, rel=1e-7)
    assert at_500["sigma"] == pytest.approx(0.1002564, rel=1e-6)
    assert row(large, 500)["sigma"] == pytest.approx(0.1002994, rel=1e-6)


def test_the_tables_are_the_equations_in_exact_arithmetic():
    """The coefficients match eq. (7) and (15), computed with 50 digits, to 1e-7 (in fact 1e-12)."""
    from decimal import Decimal, getcontext

    getcontext().prec = 50
    table, running, before = ddpm(LINEAR, ALL), Decimal(1), {}
    now = {}
    for t, beta in enumerate(LINEAR.betas):
        before[t] = running
        running *= 1 - Decimal(float(beta))
        now[t] = running
    for t in (1, 2, 10, 500, 998, 999):
        beta = Decimal(float(LINEAR.betas[t]))
        found = row(table, t)
        assert found["mean_from_x0"] == pytest.approx(float(before[t].sqrt() * beta / (1 - now[t])), rel=1e-7)
        assert found["mean_from_x"] == pytest.approx(
            float((1 - beta).sqrt() * (1 - before[t]) / (1 - now[t])), rel=1e-7
        )
        assert found["sigma"] == pytest.approx(float((beta * (1 - before[t]) / (1 - now[t])).sqrt()), rel=1e-7)
        assert found["x0_from_x"] == pytest.approx(float((1 / now[t]).sqrt()), rel=1e-7)
        assert found["x0_from_out"] == pytest.approx(-float((1 / now[t] - 1).sqrt()), rel=1e-7)


def test_a_strided_table_is_the_full_table_of_the_respaced_betas():
    t = timesteps(1000, 50)
    kept = LINEAR.alpha_bar[t][::-1]
    respaced = Schedule(1 - kept / np.append(1.0, kept[:-1]))
    for strided, dense in zip(ddpm(LINEAR, t)[1:], ddpm(respaced, timesteps(50, 50))[1:], strict=True):
        np.testing.assert_allclose(strided, dense, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_ddim_at_eta_one_is_ddpm(prediction):
    """Song et al. 2021, section 4.1."""
    t = timesteps(1000, 50)
    for a, b in zip(
        ddim(LINEAR, t, prediction=prediction, eta=1.0), ddpm(LINEAR, t, prediction=prediction), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [LINEAR, cosine()], ids=["linear", "cosine"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10, 50, 1000])
@pytest.mark.parametrize("variance", [0.25, 1.0])
def test_the_exact_denoiser_of_gaussian_data_gives_the_exact_variance(schedule, prediction, eta, steps, variance):
    """A linear denoiser makes the chain linear, so the variance of x obeys a recursion over the table.

    The final variance is known independently: eta = 0 integrates an ODE, and with eta = 1 each step is the posterior of
    the strided chain; both are worked out here from alpha_bar alone, not from the table.
    """
    table = ddim(schedule, timesteps(1000, steps), prediction=prediction, eta=eta)
    from_table = closed_recursion(table, schedule, prediction, variance)
    from_alpha_bar = gaussian_chain(schedule, table.t, eta, variance)
    assert from_table == pytest.approx(from_alpha_bar, rel=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("kind", ["fixed_small", "fixed_large"])
def test_a_thousand_ddpm_steps_reproduce_the_variance_of_the_data(prediction, kind):
    table = ddpm(LINEAR, ALL, prediction=prediction, variance=kind)
    # With a finite number of steps, the chain itself has an error of about 1 % (Ho et al. section 3.2).
    assert closed_recursion(table, LINEAR, prediction, 0.25) == pytest.approx(0.25, rel=0.02)


def exact_gain(now, variance, prediction):
    """out / x of the exact denoiser of N(0, variance)."""
    x0 = np.sqrt(now) * variance / (now * variance + 1 - now)
    eps = (1 - np.sqrt(now) * x0) / np.sqrt(1 - now)
    return {"eps": eps, "x0": x0, "v": np.sqrt(now) * eps - np.sqrt(1 - now) * x0}[prediction]


def closed_recursion(table, schedule, prediction, variance):
    x_variance = 1.0
    for t, a, b, m0, mx, mo, mp, sigma, _ in zip(*table, strict=True):
        gain = exact_gain(schedule.alpha_bar[t], variance, prediction)
        assert mp == 0.0
        x_variance = (m0 * (a + b * gain) + mx + mo * gain) ** 2 * x_variance + sigma**2
    return x_variance


def gaussian_chain(schedule, t, eta, variance):
    """The same chain by DDIM eq. (12) in terms of x0 and eps."""
    now, x_variance = schedule.alpha_bar[t], 1.0
    for i, here in enumerate(now):
        before = now[i + 1] if i + 1 < len(now) else 1.0
        x0 = exact_gain(here, variance, "x0")
        eps = exact_gain(here, variance, "eps")
        sigma2 = eta**2 * (1 - before) / (1 - here) * (1 - here / before)
        gain = np.sqrt(before) * x0 + np.sqrt(max(1 - before - sigma2, 0.0)) * eps
        x_variance = gain**2 * x_variance + sigma2
    return x_variance


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 48, 50, 333, 600, 999, 1000])
def test_trailing_starts_at_the_noisiest_and_leading_ends_at_zero(steps):
    trailing, leading = timesteps(1000, steps), timesteps(1000, steps, "leading")
    assert trailing[0] == 999
    assert leading[-1] == 0
    for chosen in (trailing, leading, timesteps(1000, steps, "linspace")):
        assert chosen.dtype == np.int64
        assert len(chosen) == steps
        assert (np.diff(chosen) < 0).all()


def test_known_timesteps():
    assert list(timesteps(1000, 4)) == [999, 749, 499, 249]
    assert list(timesteps(1000, 4, "leading")) == [750, 500, 250, 0]
    assert list(timesteps(1000, 4, "linspace")) == [999, 666, 333, 0]
    assert timesteps(1000, 600, "leading")[0] == 599  # 1000 // 600 is 1: the chain never sees the noisiest half


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 48, 50, 600, 999, 1000])
def test_spacings_equal_those_of_diffusers(spacing, steps):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    np.testing.assert_array_equal(timesteps(1000, steps, spacing), scheduler.timesteps.numpy())


betas = st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=60)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(betas, st.sampled_from(PREDICTIONS), st.floats(0, 1), st.data())
def test_every_table_is_finite_and_ends_without_noise_at_the_predicted_x0(values, prediction, eta, data):
    schedule = Schedule(np.array(values))
    t = timesteps(len(values), data.draw(st.integers(1, len(values))))
    tables = [ddim(schedule, t, prediction=prediction, eta=eta), ddpm(schedule, t, prediction=prediction)]
    for table in tables:
        assert all(np.isfinite(column).all() for column in table)
        assert (table.sigma >= 0).all()
        assert table.sigma[-1] == 0.0
        assert table.mean_from_x0[-1] == pytest.approx(1.0, abs=1e-9)
        assert table.mean_from_x[-1] == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(betas, st.floats(0, 1))
def test_a_step_keeps_the_marginal_of_the_forward_process(values, eta):
    """For every eta, a step maps q(x_t | x_0) to q(x_prev | x_0): Song et al. 2021, lemma 1."""
    schedule = Schedule(np.array(values))
    table = ddim(schedule, timesteps(len(values), len(values)), prediction="x0", eta=eta)
    now, before = schedule.alpha_bar[table.t], np.append(schedule.alpha_bar[table.t][1:], 1.0)
    mean = table.mean_from_x0 + table.mean_from_x * np.sqrt(now)
    variance = table.mean_from_x**2 * (1 - now) + table.sigma**2
    np.testing.assert_allclose(mean, np.sqrt(before), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(variance, 1 - before, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("values", [[], [0.0], [1.0], [-0.1, 0.1], [float("nan")], [[0.1]]])
def test_betas_outside_zero_and_one_are_refused(values):
    with pytest.raises(ValueError, match="betas"):
        Schedule(np.array(values))


@pytest.mark.parametrize("t", [[], [5, 5], [3, 4], [1000, 0], [5, -1], [[1]]])
def test_timesteps_that_do_not_descend_inside_the_schedule_are_refused(t):
    with pytest.raises(ValueError, match="descend"):
        ddpm(LINEAR, np.array(t, np.int64))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_an_invalid_number_of_steps_is_refused(steps):
    with pytest.raises(ValueError, match="steps"):
        timesteps(1000, steps)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="spacing"):
        timesteps(10, 5, "even")
    with pytest.raises(ValueError, match="variance"):
        ddpm(LINEAR, ALL, variance="small")
    with pytest.raises(ValueError, match="prediction"):
        ddpm(LINEAR, ALL, prediction="noise")
    with pytest.raises(ValueError, match="eta"):
        ddim(LINEAR, ALL, eta=1.5)


@pytest.mark.parametrize("t", [[999, 500], "abc", None, 5, np.array([5, None]), np.array([True, False])])
@pytest.mark.parametrize("table", [ddim, ddpm])
def test_timesteps_are_an_array_of_numbers(table, t):
    with pytest.raises(ValueError, match="timesteps must be a NumPy array of numbers, not"):
        table(LINEAR, t)


def test_timesteps_of_unsigned_integers_descend():
    t = np.array([200, 100, 0])
    np.testing.assert_array_equal(ddim(LINEAR, t.astype(np.uint8)).mean_from_x, ddim(LINEAR, t).mean_from_x)


@pytest.mark.parametrize("steps", [2.5, "4", None, True])
def test_a_number_of_steps_is_an_integer(steps):
    with pytest.raises(ValueError, match="steps must be an integer"):
        timesteps(1000, steps)
    with pytest.raises(ValueError, match="train_steps must be an integer"):
        timesteps(steps, 1)
