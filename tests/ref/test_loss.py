"""The training loss against the formulas of its papers, by independent derivations."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from ddpm_ref import betas as schedules
from ddpm_ref.diffusion import Diffusion
from ddpm_ref.loss import Loss, log_likelihood_of_bytes, normal_divergence

STEPS = 50
PREDICTIONS = ["eps", "x0", "v"]


def images(count, seed=0, channels=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, 4, 4, dtype=torch.float64, generator=generator)


def bytes_as_images(count, seed=0):
    """Images whose pixels are bytes, scaled to [-1, 1], the first two of them 0 and 255."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 1, 4, 4))
    pixels[:, 0, 0, :2] = 0, 255
    return torch.from_numpy(pixels / 127.5 - 1.0)


def normal_cdf(value, mean, deviation):
    return 0.5 * math.erfc((mean - value) / deviation / 2**0.5)


def loss_for(prediction="eps", variance="fixed_small", **options):
    return Loss(Diffusion(schedules.cosine(STEPS), prediction), variance, **options)


def test_the_loss_of_the_true_noise_is_zero_and_that_of_zero_is_the_noise_squared():
    x0, noise, t, loss = images(STEPS), images(STEPS, 7), torch.arange(STEPS), loss_for()
    assert loss(lambda x, t: noise, x0, t, noise) == 0.0
    assert loss(lambda x, t: torch.zeros_like(x), x0, t, noise) == noise.square().mean()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_min_snr_weight_of_the_x0_error_is_clamped_at_gamma(prediction):
    """Hang et al. 2023: for every prediction, the loss is min(SNR, gamma) |x_0 - predicted x_0|^2."""
    loss, gamma = loss_for(prediction, min_snr_gamma=5.0), 5.0
    x0, noise, out = images(STEPS), images(STEPS, 1), images(STEPS, 2)
    t = torch.arange(STEPS)
    alpha_bars = torch.from_numpy(np.cumprod(1 - schedules.cosine(STEPS)))
    signal, sigma = (a.sqrt().reshape(-1, 1, 1, 1) for a in (alpha_bars, 1 - alpha_bars))
    x = signal * x0 + sigma * noise
    guess = {"eps": (x - sigma * out) / signal, "x0": out, "v": signal * x - sigma * out}[prediction]
    snr = (alpha_bars / (1 - alpha_bars)).clamp(max=gamma).reshape(-1, 1, 1, 1)
    expected = (snr * (x0 - guess) ** 2).mean()
    torch.testing.assert_close(loss(lambda x, t: out, x0, t, noise), expected, rtol=1e-9, atol=0)


def test_a_large_gamma_leaves_the_loss_of_eps_as_it_is():
    x0, noise, out, t = images(8), images(8, 1), images(8, 2), torch.arange(8) + 20
    plain, weighted = (loss_for(min_snr_gamma=gamma)(lambda x, t: out, x0, t, noise) for gamma in (0.0, 1e9))
    torch.testing.assert_close(weighted, plain, rtol=1e-12, atol=0)


def test_the_divergence_equals_its_integral():
    p, q, width = NormalDist(0.3, 0.7), NormalDist(-0.5, 1.3), 1e-3
    # The midpoint rule; both densities vanish beyond six.
    expected = sum(p.pdf(u) * math.log(p.pdf(u) / q.pdf(u)) * width for u in np.arange(-6, 6, width) + width / 2)
    arguments = (
        torch.tensor(value, dtype=torch.float64) for value in (0.3, 2 * math.log(0.7), -0.5, 2 * math.log(1.3))
    )
    assert float(normal_divergence(*arguments)) == pytest.approx(expected, rel=1e-8)


def test_the_likelihoods_of_all_bytes_sum_to_one_and_each_is_the_mass_of_its_bin():
    levels = torch.arange(256, dtype=torch.float64) / 127.5 - 1.0
    for mean, deviation in ((0.1, 0.05), (-1.0, 0.01), (0.95, 0.5)):
        mass = log_likelihood_of_bytes(
            levels, torch.tensor(mean), torch.tensor(2 * math.log(deviation), dtype=torch.float64)
        ).exp()
        assert float(mass.sum()) == pytest.approx(1.0, abs=1e-9)
        edges = [-math.inf, *((levels[1:] + levels[:-1]) / 2).tolist(), math.inf]
        expected = np.diff([normal_cdf(edge, mean, deviation) for edge in edges])
        # The mean is float32 beside float64 levels; masses below the floor of 1e-12 are not compared.
        np.testing.assert_allclose(mass, np.maximum(expected, 1e-12), rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_hybrid_loss_is_the_simple_loss_plus_a_thousandth_of_the_bound(prediction):
    """Nichol and Dhariwal 2021, eqs. (4) to (6), (15) and (16), one image a timestep, written out in NumPy."""
    betas = schedules.cosine(STEPS)
    loss = loss_for(prediction, "learned_range")
    x0, noise = bytes_as_images(STEPS), images(STEPS, 1)
    t = torch.arange(STEPS)
    out = loss.diffusion.target(x0, t, noise) + 0.01 * images(STEPS, 2)
    spread = images(STEPS, 3).clamp(-1, 1)
    found = loss(lambda x, t: torch.cat([out, spread], 1), x0, t, noise)

    bits = 0.0
    alpha_bars = np.cumprod(1 - betas)
    for i in range(STEPS):
        now, before, beta = alpha_bars[i], alpha_bars[i - 1] if i else 1.0, betas[i]
        x = now**0.5 * x0[i].numpy() + (1 - now) ** 0.5 * noise[i].numpy()
        o = out[i].numpy()
        guess = {
            "eps": (x - (1 - now) ** 0.5 * o) / now**0.5,
            "x0": o,
            "v": now**0.5 * x - (1 - now) ** 0.5 * o,
        }[prediction]
        from_x0, from_x = before**0.5 * beta / (1 - now), (1 - beta) ** 0.5 * (1 - before) / (1 - now)
        tilde = (1 - before) / (1 - now) * beta if i else (1 - alpha_bars[0]) / (1 - alpha_bars[1]) * betas[1]
        v = (spread[i].numpy() + 1) / 2
        sigma = np.exp((v * np.log(beta) + (1 - v) * np.log(tilde)) / 2)
        mean = from_x0 * guess + from_x * x
        if i:
            true = from_x0 * x0[i].numpy() + from_x * x
            term = np.log(sigma / tilde**0.5) + (tilde + (true - mean) ** 2) / (2 * sigma**2) - 0.5
        else:
            upper = np.where(x0[i] == 1, np.inf, x0[i] + 1 / 255)
            lower = np.where(x0[i] == -1, -np.inf, x0[i] - 1 / 255)
            mass = np.vectorize(normal_cdf)(upper, mean, sigma) - np.vectorize(normal_cdf)(lower, mean, sigma)
            term = -np.log(np.maximum(mass, 1e-12))
        bits += term.mean() / math.log(2)
    simple = ((loss.diffusion.target(x0, t, noise) - out) ** 2).mean()
    # The batch has each timestep once, so the mean of T times a term is the sum of all terms.
    assert float(found) == pytest.approx(float(simple) + 0.001 * bits, rel=1e-9)


def test_the_bound_trains_only_the_variance():
    x0, noise, t = bytes_as_images(8), images(8, 1), torch.arange(8)
    out, spread = images(8, 2).requires_grad_(), torch.zeros(8, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    learned, fixed = loss_for("eps", "learned_range"), loss_for("eps")
    learned(lambda x, t: torch.cat([out, spread], 1), x0, t, noise).backward()
    (expected,) = torch.autograd.grad(fixed(lambda x, t: out, x0, t, noise), out)
    torch.testing.assert_close(out.grad, expected, rtol=1e-12, atol=0)
    assert spread.grad.abs().min() > 0


@pytest.mark.parametrize("variance", ["learned", "learned_range"])
def test_the_variance_equals_that_of_diffusers(variance):
    from diffusers import DDPMScheduler

    loss = Loss(Diffusion(schedules.linear(STEPS)), variance)
    scheduler = DDPMScheduler(trained_betas=schedules.linear(STEPS), variance_type=variance, clip_sample=False)
    spread = images(1, 3).float()
    for t in (1, 20, STEPS - 1):
        found = loss.log_variance(spread, torch.tensor([t]))
        given = scheduler._get_variance(t, predicted_variance=spread)
        expected = given if variance == "learned_range" else spread
        # diffusers' learned_range is the logarithm; its betas are float32.
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
