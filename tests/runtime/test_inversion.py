"""Inversion of images to noise, and interpolation between noises."""

import numpy as np
import pytest
from device_loops import Host
from gaussian_model import BETAS, PIXEL_VARIANCE
from linear_network import ALPHA_BAR, SHAPE, SIZE, Linear, pictures, recursion
from mixture_engine import DEVIATION, KINDS, LevelsEngine
from other_kinds import flow_card, sigma_card, velocity_of_flow, x0_of_sigma

import ddpm_rt
from ddpm_rt import Request, Schedule, ddim, ddim_inversion, noise, timesteps
from ddpm_rt.requests.interpolation import slerp
from ddpm_rt.requests.inversion import Inversion


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", None), ("ddim", None), ("ddim", 0.5)])
def test_both_ends_of_an_interpolation_are_the_samples_themselves(sampler, eta):
    asked = {"sampler": sampler, "eta": eta, "steps": 12, "seed": 4}
    frames = ddpm_rt.interpolate(3, 8, Linear(), frames=5, request=Request(**asked, batch=2))
    assert frames.shape == (5, *SHAPE)
    ends = [ddpm_rt.sample(Linear(), **asked, first=sample, count=1)[0] for sample in (3, 8)]
    # The conversion of noise to float64 and back is exact; the network runs with another batch size.
    np.testing.assert_array_equal(frames[[0, -1]], ends)


def test_a_linear_network_draws_frames_on_the_arc_between_the_ends():
    """DDIM of a linear network multiplies by one factor, so the frames are the scaled arc of x_T."""
    frames = ddpm_rt.interpolate(0, 1, Linear(), frames=4, request=Request(seed=9))
    start, end = noise.normal(9, [0, 1], noise.INITIAL_STEP, SIZE).astype(np.float64)
    angle = np.arccos(start @ end / np.linalg.norm(start) / np.linalg.norm(end))
    factor = recursion(Linear(), Request(), np.ones(1))[0]
    for frame, share in zip(frames, (0, 1 / 3, 2 / 3, 1), strict=True):
        expected = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle) * factor
        np.testing.assert_allclose(frame.ravel(), expected, rtol=0, atol=2e-5)  # float32 through 50 steps


def test_points_on_the_arc_have_the_norm_of_noise_and_even_angles():
    start, end = np.random.default_rng(0).standard_normal((2, 10_000))
    points = slerp(start, end / np.linalg.norm(end) * np.linalg.norm(start), np.linspace(0, 1, 7)[:, None])
    lengths = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-9)
    cosines = (points[1:] * points[:-1]).sum(axis=1) / lengths[0] ** 2
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-9)
    np.testing.assert_array_equal(slerp(start, start, np.array([[0.5]]))[0], start)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_inversion_approximates_the_exact_noise(prediction):
    """The ODE of DDIM preserves the distribution of every level: it scales a Gaussian pixel between variances."""
    images, last = pictures(2), ALPHA_BAR[-1]
    exact = images * np.sqrt((last * PIXEL_VARIANCE + 1 - last) / PIXEL_VARIANCE)
    found = ddpm_rt.invert(images, Linear(prediction), request=Request(steps=100))
    # Steps of finite length: 0.25 % at 100 steps (and 0.14 % at 200).
    np.testing.assert_allclose(found, exact, rtol=3e-3, atol=1e-5)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_inversion_reconstructs_an_image_with_a_first_order_error(prediction):
    images, off = pictures(3), []
    for steps in (50, 100, 200):
        request, engine = Request(steps=steps, batch=2), Linear(prediction)
        again = ddpm_rt.from_noise(ddpm_rt.invert(images, engine, request=request), engine, request=request)
        off.append(np.abs(again - images).max())
    # eps is taken from the start of each inverted step: by the recursion of the factors, 5.4 % of a pixel at 50 steps.
    assert off[0] < 0.055
    assert off[1] / off[0] == pytest.approx(0.5, abs=0.02)
    assert off[2] / off[1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("network", "card"), [(x0_of_sigma, sigma_card()), (velocity_of_flow, flow_card())])
def test_inversion_of_levels_approximates_the_exact_noise(network, card):
    """The flow scales a Gaussian number from its deviation to that of x_T, which is sigma_max z, or z at t = 1."""
    engine = Host(network, card)
    images = np.random.default_rng(1).standard_normal((2, *card.image_shape)).astype(np.float32)
    last = 80.0 if card.process.kind == "sigma" else None
    deviation = 1.0 if last is None else np.sqrt(PIXEL_VARIANCE + last**2) / last
    request = Inversion(noise=images, count=2, steps=200)
    # Steps of finite length: 0.4 % at 200 steps for the sigmas, 0.9 % for the flow.
    np.testing.assert_allclose(request.drawn(engine), images * deviation / PIXEL_VARIANCE**0.5, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("sampler", ["ddim", "euler"])
@pytest.mark.parametrize("kind", KINDS)
def test_inversion_of_levels_reconstructs_an_image_with_a_first_order_error(kind, sampler):
    generator, off = np.random.default_rng(0), []
    images = generator.choice([-1.0, 1.0], (3, 1, 4, 6)) + DEVIATION * generator.standard_normal((3, 1, 4, 6))
    for steps in (100, 200, 400):
        request, engine = Request(sampler=sampler, steps=steps, batch=2), LevelsEngine(kind)
        noise = ddpm_rt.invert(images, engine, request=request)
        off.append(np.abs(ddpm_rt.from_noise(noise, engine, request=request) - images).max())
    assert noise.std() == pytest.approx(1.0, abs=0.1)  # 72 numbers
    assert off[0] < 0.03  # of pixels near -1 and 1
    assert off[1] / off[0] == pytest.approx(0.5, abs=0.04)
    assert off[2] / off[1] == pytest.approx(0.5, abs=0.03)


def test_a_sampler_with_noise_is_not_inverted():
    for asked in ({"sampler": "euler-a"}, {"sampler": "dpm++"}, {"eta": 0.5}):
        with pytest.raises(ValueError, match="only ddim with eta 0, which euler equals"):
            ddpm_rt.invert(np.zeros((1, 4, 6)), LevelsEngine("sigma, x0"), request=Request(**asked))


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_row_of_the_inversion_undoes_the_row_of_ddim_given_the_same_eps(prediction, steps):
    """DDIM's row without a clip is linear in (x, out); its inverse, given the eps, is this table's row."""
    schedule, t = Schedule(BETAS), timesteps(1000, steps)
    back = ddim_inversion(schedule, t, prediction=prediction)
    forth = ddim(schedule, t, prediction=prediction)
    assert back.t.tolist() == t[::-1].tolist()
    x, eps = np.random.default_rng(0).standard_normal(2)
    for row, level in enumerate(ALPHA_BAR[back.t]):

        def out(x, level=level):
            """The output of a network that sees `eps` in x."""
            x0 = (x - np.sqrt(1 - level) * eps) / np.sqrt(level)
            return {"eps": eps, "x0": x0, "v": np.sqrt(level) * eps - np.sqrt(1 - level) * x0}[prediction]

        noisier = back.mean_from_x[row] * x + back.mean_from_out[row] * out(x)
        down = steps - 1 - row
        x0 = forth.x0_from_x[down] * noisier + forth.x0_from_out[down] * out(noisier)
        again = forth.mean_from_x0[down] * x0 + forth.mean_from_x[down] * noisier
        assert again == pytest.approx(x, abs=1e-10)  # float64, factors of up to 157


def test_the_noise_of_a_sample_number_draws_that_sample():
    request = Request(sampler="ddpm", steps=9, seed=5, count=3)
    x_t = noise.normal(5, range(3), noise.INITIAL_STEP, SIZE).reshape(3, *SHAPE)
    np.testing.assert_array_equal(
        ddpm_rt.from_noise(x_t, Linear(), request=request),
        ddpm_rt.sample(Linear(), sampler="ddpm", steps=9, seed=5, count=3),
    )
