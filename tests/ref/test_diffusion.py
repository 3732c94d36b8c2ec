"""The reference against mathematics: each equation of the paper is checked by another derivation."""

import numpy as np
import pytest
import torch

from ddpm_ref import betas as schedules
from ddpm_ref.diffusion import Diffusion, at_timesteps

LINEAR = schedules.linear(1000)
DDPM = Diffusion(LINEAR)


def images(count, seed=0):
    return torch.randn(count, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def times(*values):
    return torch.tensor(values)


def test_single_steps_add_up_to_the_closed_form():
    """t steps of eq. (2) give the mean and variance of eq. (4)."""
    x0, steps = images(1), 30
    mean, variance = x0.clone(), 0.0
    zero = torch.zeros_like(x0)
    for t in range(steps):
        mean = DDPM.q_step(mean, times(t), zero)
        beta = float(DDPM.q_step(zero, times(t), torch.ones_like(x0))[0, 0, 0, 0]) ** 2
        variance = (1 - beta) * variance + beta
    torch.testing.assert_close(mean, DDPM.q_sample(x0, times(steps - 1), zero), rtol=1e-12, atol=1e-12)
    assert variance == pytest.approx(1 - DDPM.alpha_bars[steps - 1], rel=1e-12)


@pytest.mark.parametrize("t", [1, 2, 500, 999])
def test_the_posterior_follows_bayes_rule(t):
    """q(x_{t-1} | x_t, x_0) from the product of two Gaussians: precisions add, means are weighted by them."""
    x0, x = images(1, 1), images(1, 2)
    beta, before = LINEAR[t], DDPM.alpha_bars[t - 1]
    likelihood, prior = (1 - beta) / beta, 1 / (1 - before)
    variance = 1 / (likelihood + prior)
    mean = variance * (likelihood * x / np.sqrt(1 - beta) + prior * np.sqrt(before) * x0)
    torch.testing.assert_close(DDPM.q_posterior_mean(x0, x, times(t)), mean, rtol=1e-10, atol=1e-10)
    assert DDPM.q_posterior_variance()[t] == pytest.approx(variance, rel=1e-10)


def test_the_posterior_at_the_last_step_is_x0_itself():
    x0 = images(1)
    torch.testing.assert_close(DDPM.q_posterior_mean(x0, images(1, 3), times(0)), x0, rtol=1e-12, atol=1e-12)
    assert DDPM.q_posterior_variance()[0] == 0.0


@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_the_eps_form_of_the_mean_is_the_posterior_mean_of_the_predicted_x0(t):
    x, eps = images(2, 4), images(2, 5)
    step = times(t, t)
    by_x0 = DDPM.q_posterior_mean(DDPM.predict_x0(eps, x, step), x, step)
    # At t = 999, x_0 is 157 times x and is then multiplied by 1e-4, which costs seven of sixteen digits.
    torch.testing.assert_close(DDPM.mean_from_eps(eps, x, step), by_x0, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_training_target_gives_back_x0(prediction):
    process = Diffusion(LINEAR, prediction)
    x0, noise, t = images(4), images(4, 6), times(0, 10, 500, 999)
    x = process.q_sample(x0, t, noise)
    recovered = process.predict_x0(process.target(x0, t, noise), x, t)
    torch.testing.assert_close(recovered, x0, rtol=1e-9, atol=1e-9)


def gaussian_eps(process, variance):
    """The exact network for pixels drawn from N(0, variance): E[eps | x_t]."""
    alpha_bars = torch.from_numpy(process.alpha_bars)

    def model(x, t):
        now = alpha_bars[t].reshape(-1, 1, 1, 1)
        return (1 - now).sqrt() * x / (now * variance + 1 - now)

    return model


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["fixed_small", pytest.param("fixed_large", marks=pytest.mark.slow)])
def test_the_reverse_chain_draws_the_data_distribution(variance):
    x = images(4000)
    generator = torch.Generator().manual_seed(1)

    def noise(row):
        return torch.randn(x.shape, dtype=x.dtype, generator=generator)

    *_, out = DDPM.p_sample_loop(gaussian_eps(DDPM, 0.25), x, noise, variance=variance, clip=None)
    # 64 000 values: the standard error of a variance is 0.56 %; the chain's own bias at T = 1000 is below 1 %.
    assert float(out.var()) == pytest.approx(0.25, rel=0.025)


def test_the_respaced_process_is_the_same_chain_with_longer_strides():
    """Strided DDPM equals DDIM at eta = 1 without clipping: Song et al. 2021, section 4.1."""
    timesteps = list(range(999, -1, -20))
    x, model = images(8), gaussian_eps(DDPM, 0.25)
    tape = [images(8, 100 + row) for row in range(len(timesteps))]
    strided = DDPM.respaced(timesteps).p_sample_loop(at_timesteps(model, timesteps), x, tape.__getitem__, clip=None)
    ddim = DDPM.ddim_sample_loop(model, x, tape.__getitem__, timesteps=timesteps, eta=1.0, clip=None)
    for ours, theirs in zip(strided, ddim, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fixed_small", "fixed_large"])
def test_the_chain_equals_that_of_diffusers_on_the_same_noise(kind, monkeypatch):
    from diffusers import DDPMScheduler
    from diffusers.schedulers import scheduling_ddpm

    scheduler = DDPMScheduler(variance_type=kind, clip_sample=True)
    x = theirs = images(2).float()
    tape = [images(2, 1000 + row).float() for row in range(1000)]
    rows = iter(tape)
    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", lambda *args, **kwargs: next(rows))

    def model(x, t):
        return torch.tanh(x) * 0.9 + 0.01 * x

    chain = DDPM.p_sample_loop(model, x, tape.__getitem__, variance=kind)
    for t, ours in zip(range(999, -1, -1), chain, strict=True):
        theirs = scheduler.step(model(theirs, t), t, theirs).prev_sample
        # diffusers' tables are float32 products with relative errors of up to 1.7e-4 at small t.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-4)
