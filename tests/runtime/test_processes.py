"""Noise levels and flows: every sampler against the loop of its paper in float64, written in the paper's own state."""

import numpy as np
import pytest
from device_loops import Host
from gaussian_model import BETAS
from other_kinds import SEQUENCE, flow_card, images, sigma_card, velocity_of_flow, x0_of_sigma

from ddpm_rt import Request, Schedule, noise, open_denoiser
from ddpm_rt.requests.edit import Edit
from ddpm_rt.requests.inversion import FromNoise
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers import SAMPLERS, Sampler, ddim
from ddpm_rt.samplers.continuous import FlowProcess, SigmaProcess
from ddpm_rt.samplers.schedule import karras

SIZE = int(np.prod(SEQUENCE))
SEED, COUNT, STEPS = 3, 4, 7
CLOSE = 2e-5  # a chain rounds to float32 some fifty times, and its values are below 4


def z(step):
    return noise.normal(SEED, range(COUNT), step, SIZE).reshape(COUNT, *SEQUENCE).astype(np.float64)


def x0_at(x, sigma):
    return 0.25 / (0.25 + sigma**2) * x


def karras_sigmas(steps=STEPS):
    """Karras et al. 2022, eq. (5)."""
    i = np.arange(steps)
    return np.append((80.0 ** (1 / 7) + i / (steps - 1) * (0.002 ** (1 / 7) - 80.0 ** (1 / 7))) ** 7, 0.0)


def euler(sigmas):
    """Karras et al. 2022, algorithm 1 without churn."""
    x = sigmas[0] * z(noise.INITIAL_STEP)
    for now, after in zip(sigmas[:-1], sigmas[1:], strict=True):
        x = x + (after - now) * (x - x0_at(x, now)) / now
    return x


def euler_ancestral(sigmas):
    """As in k-diffusion: an Euler step to s_down, then noise of deviation s_up."""
    x = sigmas[0] * z(noise.INITIAL_STEP)
    for row, (now, after) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        up = np.sqrt(after**2 * (now**2 - after**2) / now**2)
        down = np.sqrt(after**2 - up**2)
        x = x + (down - now) * (x - x0_at(x, now)) / now
        x = x + up * z(row)
    return x


def dpm_2m(sigmas):
    """DPM-Solver++(2M) in sigma, Lu et al. 2022, algorithm 2 with alpha 1; the first and last steps are first order."""
    x, before, old_h = sigmas[0] * z(noise.INITIAL_STEP), None, None
    for now, after in zip(sigmas[:-1], sigmas[1:], strict=True):
        x0 = x0_at(x, now)
        if after == 0:
            return x0
        h = np.log(now / after)
        best = x0 if before is None else x0 + (x0 - before) * h / (2 * old_h)
        x = after / now * x - np.expm1(-h) * best
        before, old_h = x0, h
    return x


def dpm_sde_2m(sigmas):
    """SDE-DPM-Solver++(2M), Lu et al. 2022, appendix, with alpha 1."""
    x, before, old_h = sigmas[0] * z(noise.INITIAL_STEP), None, None
    for row, (now, after) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        x0 = x0_at(x, now)
        if after == 0:
            return x0
        h = np.log(now / after)
        best = x0 if before is None else x0 + (x0 - before) * h / (2 * old_h)
        x = after / now * np.exp(-h) * x - np.expm1(-2 * h) * best + after * np.sqrt(-np.expm1(-2 * h)) * z(row)
        before, old_h = x0, h
    return x


def consistency(sigmas):
    """Song et al. 2023, algorithm 1."""
    x = x0_at(sigmas[0] * z(noise.INITIAL_STEP), sigmas[0])
    for row, sigma in enumerate(sigmas[1:-1]):
        x = x + np.sqrt(sigma**2 - 0.002**2) * z(row)
        x = x0_at(x, sigma)
    return x


LOOPS = {
    "ddim": euler,
    "euler": euler,
    "euler-a": euler_ancestral,
    "dpm++": dpm_2m,
    "dpm++sde": dpm_sde_2m,
    "consistency": consistency,
}


@pytest.mark.parametrize("sampler", LOOPS)
def test_a_sampler_of_noise_levels_is_the_loop_of_its_paper(sampler):
    request = Request(sampler=sampler, steps=STEPS, seed=SEED, count=COUNT)
    found = request.drawn(Host(x0_of_sigma, sigma_card()))
    np.testing.assert_allclose(found, LOOPS[sampler](karras_sigmas()), rtol=0, atol=CLOSE)


def test_every_step_has_the_noise_of_its_level():
    """x after a row, in the scale of the next call of the network, is that of the paper's loop after as many steps."""
    bound = Request(sampler="euler", steps=STEPS, seed=SEED, count=COUNT).bind(sigma_card())
    sigmas, x = karras_sigmas(), 80.0 * z(noise.INITIAL_STEP)
    steps = bound.trajectory(Host(x0_of_sigma, sigma_card()), range(COUNT))
    for step, now, after in zip(steps, sigmas[:-1], sigmas[1:], strict=True):
        x = x + (after - now) * (x - x0_at(x, now)) / now
        np.testing.assert_allclose(step.x, x, rtol=1e-6, atol=CLOSE)
        assert step.t == pytest.approx(now, rel=1e-12)


def preconditioned(x, t, y=None, inputs=None):
    """The raw network F of Karras et al. 2022, eq. (7), of which D is the exact denoiser; sigma_data is 0.4."""
    sigma = np.exp(4 * t.astype(np.float32).astype(np.float64)).reshape(-1, 1, 1)
    total = np.sqrt(sigma**2 + 0.4**2)
    clean = x * total  # x is c_in times the noisy data
    skip, out = 0.4**2 / total**2, sigma * 0.4 / total
    return ((x0_at(clean, sigma) - skip * clean) / out).astype(np.float32)


@pytest.mark.parametrize("sampler", LOOPS)
def test_raw_outputs_of_a_preconditioned_network_give_the_same_images(sampler):
    process = SigmaProcess(0.002, 80.0, time="log_sigma", time_scale=0.25, sigma_data=0.4)
    card = sigma_card(prediction="edm", process=process)
    request = Request(sampler=sampler, steps=STEPS, seed=SEED, count=COUNT)
    found = request.drawn(Host(preconditioned, card))
    np.testing.assert_allclose(
        found, LOOPS[sampler](karras_sigmas()), rtol=0, atol=5 * CLOSE
    )  # x = 80 z is 200 of c_in


@pytest.mark.parametrize("reversed_time", [False, True])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_is_the_euler_method_on_its_velocity(reversed_time, shift):
    process = FlowProcess(time="1-t" if reversed_time else "t", time_scale=1000.0, shift=shift)

    def network(x, t, y=None):
        t = t / 1000.0
        return -velocity_of_flow(x, 1 - t) if reversed_time else velocity_of_flow(x, t)

    card = flow_card(process=process)
    found = Request(sampler="euler", steps=STEPS, seed=SEED, count=COUNT).drawn(Host(network, card))
    t = 1.0 - np.arange(STEPS + 1) / STEPS
    t = shift * t / (1 + (shift - 1) * t)
    x = z(noise.INITIAL_STEP)
    for now, after in zip(t[:-1], t[1:], strict=True):
        gain = (now - (1 - now) * 0.25) / ((1 - now) ** 2 * 0.25 + now**2)
        x = x + (after - now) * gain * x
    np.testing.assert_allclose(found, x, rtol=0, atol=CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ddim", "dpm++", "euler-a", "dpm++sde"])
def test_many_steps_of_any_sampler_end_in_the_distribution_of_the_data(sampler):
    for card, network in ((sigma_card(), x0_of_sigma), (flow_card(), velocity_of_flow)):
        found = Request(sampler=sampler, steps=200, count=400, batch=400).drawn(Host(network, card))
        # 9600 numbers: the standard error of their deviation is 0.0036; 200 steps are off by less than that
        assert found.std() == pytest.approx(0.5, abs=0.02)
        assert abs(found.mean()) < 0.02


def test_a_consistency_model_draws_in_one_step():
    asked = []

    def network(x, t, y=None):
        asked.append(t.tolist())
        return x0_of_sigma(x, t)

    found = Request(sampler="consistency", steps=1, seed=SEED, count=COUNT).drawn(Host(network, sigma_card()))
    assert asked == [[80.0] * COUNT]
    np.testing.assert_allclose(found, x0_at(80.0 * z(noise.INITIAL_STEP), 80.0), rtol=1e-5)


def test_listed_sigmas_replace_the_spacing():
    bound = Request(sampler="consistency", timesteps=[80, 0.661]).bind(sigma_card())
    assert bound.table.t.tolist() == [80.0, 0.661]
    with pytest.raises(ValueError, match=r"sigmas must descend strictly and lie in \[0.002, 80\]"):
        Request(timesteps=[81, 1]).bind(sigma_card())


def test_karras_timesteps_of_betas_have_the_sigmas_of_the_paper():
    schedule = Schedule(BETAS)
    sigma = np.sqrt((1 - schedule.alpha_bar) / schedule.alpha_bar)
    t = schedule.karras_timesteps(9)
    wanted = karras(sigma[-1], sigma[0], 9)
    np.testing.assert_allclose(np.exp(np.interp(t, np.arange(1000), np.log(sigma))), wanted, rtol=1e-9)
    now = schedule.alpha_bar_at(t)
    np.testing.assert_allclose(np.sqrt((1 - now) / now), wanted, rtol=1e-9)
    assert (t[0], t[-1]) == (999.0, 0.0)


def test_fractional_timesteps_need_a_network_that_takes_them(gaussian):
    with open_denoiser(gaussian, provider="cpu") as engine, pytest.raises(ValueError, match="whole timesteps"):
        Request(spacing="karras", steps=4).drawn(engine)


def test_an_edit_starts_at_the_level_of_its_first_row():
    card, start = sigma_card(), images(1, SEQUENCE)
    edit = Edit(images=start, strength=0.5, steps=8, sampler="euler", seed=SEED, count=COUNT)
    bound = edit.bind(card)
    sigma = karras_sigmas(8)[4]
    given = bound.chain(range(COUNT)).begin.x
    np.testing.assert_allclose(given, start + sigma * z(noise.INITIAL_STEP), rtol=1e-5, atol=1e-6)


def test_a_mask_keeps_the_image_at_every_level():
    card, start = flow_card(), images(1, SEQUENCE)
    mask = np.zeros(SEQUENCE[1:], bool)
    mask[:5] = True
    edit = Edit(images=start, strength=1.0, mask=mask, resample=2, steps=6, sampler="ddim", count=2)
    found = edit.drawn(Host(velocity_of_flow, card))
    np.testing.assert_array_equal(found[:, :, 5:], np.repeat(start[:, :, 5:], 2, axis=0))
    assert np.abs(found[:, :, :5] - start[:, :, :5]).max() > 0.1


def test_given_noise_is_that_of_a_sample():
    card = sigma_card()
    given = z(noise.INITIAL_STEP).astype(np.float32)
    options = {"sampler": "dpm++", "steps": 5, "seed": SEED, "count": COUNT}
    drawn = Request(**options).drawn(Host(x0_of_sigma, card))
    np.testing.assert_array_equal(FromNoise(noise=given, **options).drawn(Host(x0_of_sigma, card)), drawn)


@pytest.mark.parametrize("card", [sigma_card(), flow_card()])
def test_a_sampler_of_levels_gets_every_option_that_it_declares(monkeypatch, card):
    given = {}

    def table(process, levels, *, prediction, **options):
        given.update(options)
        return ddim(process, levels, prediction=prediction)

    every = ("variance", "eta", "last_noise", "raw_eps", "leads_to")
    monkeypatch.setitem(SAMPLERS, "ddim", Sampler(table, every))
    SamplerOptions(sampler="ddim", steps=3, eta=0.5).compile(card)
    assert given == dict(zip(every, ("fixed_small", 0.5, False, False, None), strict=True))
