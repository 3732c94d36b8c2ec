"""Properties of every sampler's table, for all betas."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ddpm_rt import Schedule, ddim, ddpm, dpm, dpm_sde, euler, euler_ancestral, logsnr_timesteps, timesteps, trajectory
from ddpm_rt.samplers import SAMPLERS, samplers_of
from ddpm_rt.samplers.dialects import DIALECTS

LINEAR = Schedule(np.linspace(1e-4, 0.02, 1000))
ZERO_SNR = Schedule(np.append(np.linspace(1e-4, 0.02, 999), 1.0))
betas = st.lists(st.floats(1e-4, 0.9), min_size=1, max_size=60)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    betas,
    st.sampled_from(list(samplers_of("betas"))),
    st.sampled_from(["eps", "x0", "v"]),
    st.sampled_from(["ho2020", "guided"]),
    st.data(),
)
def test_a_table_is_finite_without_noise_at_the_end_and_lands_on_x0(values, name, prediction, dialect, data):
    schedule = Schedule(np.array(values))
    spacing = data.draw(st.sampled_from(["trailing", "leading", "linspace", "logsnr"]))
    steps = data.draw(st.integers(1, len(values)))
    if (dialect, spacing) == ("guided", "leading"):  # this combination has an integer stride
        strides = range(1, len(values))
        assume(any(len(range(0, len(values), stride)) == steps for stride in strides))
    t = DIALECTS[dialect].timesteps(schedule, steps, spacing, name)
    table = SAMPLERS[name].table(schedule, t, prediction=prediction)
    assert table.steps == steps
    for column in table:
        assert len(column) == steps
        assert np.isfinite(column).all()
    assert all(column.dtype == np.float64 for column in table[1:])
    assert (table.sigma >= 0).all()
    assert table.sigma[-1] == 0.0
    assert table.mean_from_prev_x0[0] == 0.0  # the first row has no previous x0
    if name != "lcm":  # the last row of lcm keeps a little of x
        assert table.mean_from_x0[-1] == pytest.approx(1.0, abs=1e-9)
        assert table.mean_from_x[-1] == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(betas, st.data())
def test_logsnr_timesteps_have_the_requested_number_and_reach_both_ends(values, data):
    schedule = Schedule(np.array(values))
    steps = data.draw(st.integers(1, len(values)))
    t = logsnr_timesteps(schedule, steps)
    assert t.dtype == np.int64
    assert len(t) == steps
    assert t[0] == len(values) - 1
    assert (np.diff(t) < 0).all()
    assert steps == 1 or t[-1] == 0


def test_logsnr_timesteps_are_evenly_spaced_in_logsnr():
    logsnr = np.log(LINEAR.alpha_bar / (1 - LINEAR.alpha_bar))
    gaps = np.diff(logsnr[logsnr_timesteps(LINEAR, 20)])
    # Except at the last few, where one timestep is larger than a step: the value changes by 1.1 from t = 1 to 0.
    np.testing.assert_allclose(gaps[:-5], np.ptp(logsnr) / 19, rtol=0.15)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(betas, st.sampled_from(["eps", "x0", "v"]), st.data())
def test_samplers_that_are_equal_in_theory_are_equal(values, prediction, data):
    """Song et al. 2021, section 4.1; DPM-Solver++ of first order is DDIM, its SDE DDIM with eta 1 (Lu et al., 4.2)."""
    schedule = Schedule(np.array(values))
    t = timesteps(len(values), data.draw(st.integers(1, len(values))))
    deterministic, ancestral = (ddim(schedule, t, prediction=prediction, eta=eta) for eta in (0.0, 1.0))
    same(euler(schedule, t, prediction=prediction), deterministic)
    same(euler_ancestral(schedule, t, prediction=prediction), ancestral)
    same(ddpm(schedule, t, prediction=prediction), ancestral)
    for solver, first in ((dpm, deterministic), (dpm_sde, ancestral)):
        table = solver(schedule, t, prediction=prediction)
        merged = table.mean_from_x0 + table.mean_from_prev_x0  # with x0 = prev_x0 the order does not matter
        same(table._replace(mean_from_x0=merged, mean_from_prev_x0=np.zeros_like(merged)), first)


def same(a, b):
    for here, there in zip(a, b, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-6, atol=1e-7)  # the worst is 1 - alpha_bar cancelling at 1e-4


@settings(max_examples=60, deadline=None)
@given(betas, st.sampled_from(["eps", "x0", "v"]), st.floats(0, 1))
def test_without_clipping_raw_eps_equals_derived_eps(values, prediction, eta):
    schedule = Schedule(np.array(values))
    t = timesteps(len(values), len(values))
    tables = [ddim(schedule, t, prediction=prediction, eta=eta, raw_eps=raw) for raw in (False, True)]
    # x_next as a function of x and out
    from_x, from_out = zip(
        *(
            (m.mean_from_x0 * m.x0_from_x + m.mean_from_x, m.mean_from_x0 * m.x0_from_out + m.mean_from_out)
            for m in tables
        ),
        strict=True,
    )
    np.testing.assert_allclose(*from_x, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(*from_out, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("variance", ["learned", "learned_range"])
def test_a_learned_variance_is_its_formula(variance):
    """Nichol and Dhariwal 2021, eq. (15), in terms of the two fixed variances."""
    t = timesteps(1000, 50)
    small, large = (ddpm(LINEAR, t, variance=kind).sigma[:-1] for kind in ("fixed_small", "fixed_large"))
    table = ddpm(LINEAR, t, variance=variance)
    for v in (-1.0, -0.3, 0.0, 1.0, 1.7):
        sigma = (table.sigma * np.exp(table.log_sigma_from_spread * v))[:-1]
        share = (v + 1) / 2
        expected = large**share * small ** (1 - share) if variance == "learned_range" else np.exp(v / 2)
        np.testing.assert_allclose(sigma, np.broadcast_to(expected, sigma.shape), rtol=1e-12)
    assert table.sigma[-1] == 0.0


def test_the_second_half_of_the_channels_gives_the_variance_of_each_pixel():
    table = ddpm(LINEAR, timesteps(1000, 2), variance="learned_range")
    spread = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 2, 2, 2)
    z = np.ones((1, 2, 2, 2), np.float32)

    def denoise(x, t):
        return np.concatenate([np.zeros_like(x), spread], axis=1)

    noised, quiet = (
        next(trajectory(denoise, rows, (2, 2, 2), seed=0, samples=[0], noise=lambda row: z)).x
        for rows in (table, table._replace(sigma=np.zeros(2)))
    )
    expected = table.sigma[0] * np.exp(table.log_sigma_from_spread[0] * spread)
    np.testing.assert_allclose(noised - quiet, expected, rtol=1e-5)  # float32 beside an x of about 1


@pytest.mark.parametrize("name", samplers_of("betas"))
@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("spacing", ["trailing", "linspace", "logsnr"])
def test_betas_that_end_without_signal_can_be_sampled_with_v_and_x0(name, prediction, spacing):
    t = DIALECTS["ho2020"].timesteps(ZERO_SNR, 20, spacing, name)
    assert t[0] == 999
    assert ZERO_SNR.alpha_bar[999] == 0.0
    assert all(np.isfinite(column).all() for column in SAMPLERS[name].table(ZERO_SNR, t, prediction=prediction))
    with pytest.raises(ValueError, match="eps cannot give x0 where alpha_bar is 0"):
        SAMPLERS[name].table(ZERO_SNR, t)
    assert np.isfinite(SAMPLERS[name].table(ZERO_SNR, t[1:]).sigma).all()  # eps works from the next timestep on


@pytest.mark.parametrize("values", [[0.1, 1.0, 0.1], [1.0], [1.0, 1.0], [0.1, 1.5]])
def test_only_the_last_of_several_betas_may_be_one(values):
    with pytest.raises(ValueError, match="the last may be 1"):
        Schedule(np.array(values))
