import numpy as np
import pytest
from gaussian_model import BETAS, PIXEL_VARIANCE, gaussian_card
from hypothesis import given, settings
from hypothesis import strategies as st

import ddpm_rt
from ddpm_rt import Request, Schedule, StepTable, ddim, ddim_inversion, noise, timesteps
from ddpm_rt.between import slerp
from ddpm_rt.edit import Edit, without_history

SHAPE = (1, 4, 6)
SIZE = 24
ALPHA_BAR = np.cumprod(1 - BETAS)


class Linear:
    """The exact network for Gaussian pixels; `calls` are the timesteps that it was asked for."""

    def __init__(self, prediction="eps", **facts):
        self.card = gaussian_card(prediction=prediction, **facts)
        self.calls = []

    def gain(self, t):
        """out = gain x."""
        now = ALPHA_BAR[t]
        x0 = np.sqrt(now) * PIXEL_VARIANCE / (now * PIXEL_VARIANCE + 1 - now)
        eps = (1 - np.sqrt(now) * x0) / np.sqrt(1 - now)
        return {"eps": eps, "x0": x0, "v": np.sqrt(now) * eps - np.sqrt(1 - now) * x0}[self.card.prediction]

    def __call__(self, x, t):
        self.calls.append(int(t[0]))
        return (self.gain(t).reshape(-1, 1, 1, 1) * x).astype(np.float32)


class OneValue:
    """The exact network for images of one value, itself from N(0, PIXEL_VARIANCE): pixels that hang together.

    The posterior mean of the value given x is a multiple of the mean of x.
    """

    card = gaussian_card()

    def __call__(self, x, t):
        now = ALPHA_BAR[t].reshape(-1, 1, 1, 1)
        x0 = (
            np.sqrt(now) * PIXEL_VARIANCE / (now * PIXEL_VARIANCE + (1 - now) / SIZE) * x.mean((1, 2, 3), keepdims=True)
        )
        return ((x - np.sqrt(now) * x0) / np.sqrt(1 - now)).astype(np.float32)


def pictures(count=1, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *SHAPE)).astype(np.float32)


def normal(seed, samples, step):
    return noise.normal(seed, samples, step, SIZE).reshape(-1, *SHAPE).astype(np.float64)


def recursion(engine, request, start, first_row=0):
    """The chain of a linear network in float64."""
    table, x = request.table(engine.card), start
    for row, (t, a, b, m0, mx, mo, _, sigma, _) in enumerate(zip(*table, strict=True)):
        if row >= first_row:
            gain = engine.gain(t)
            x = (m0 * (a + b * gain) + mx + mo * gain) * x + (
                sigma * normal(request.seed, request.samples, row) if sigma else 0
            )
    return x


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", None), ("ddim", None), ("ddim", 0.6)])
@pytest.mark.parametrize(("strength", "rows"), [(0.3, 12), (0.99, 40), (0.001, 1)])
def test_an_image_is_noised_to_the_first_level_that_is_run_and_brought_back(prediction, sampler, eta, strength, rows):
    engine, images = Linear(prediction), pictures(3)
    request = Request(sampler=sampler, eta=eta, steps=40, seed=7, first=5, count=3, batch=2)
    found = ddpm_rt.from_image(images, engine, strength=strength, request=request)
    t = timesteps(1000, 40)
    assert engine.calls == t[-rows:].tolist() * 2  # two batches
    first = 40 - rows
    start = normal(7, request.samples, noise.INITIAL_STEP)
    if first:
        start = np.sqrt(ALPHA_BAR[t[first]]) * images + np.sqrt(1 - ALPHA_BAR[t[first]]) * start
    # float32 against float64 over at most 40 steps; the coefficients are of size one but for the first few rows.
    np.testing.assert_allclose(found, recursion(engine, request, start, first), rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_strength_one_is_the_sample_of_that_number_to_the_bit(sampler):
    asked = {"sampler": sampler, "steps": 20, "seed": 3, "first": 9, "count": 5}
    found = ddpm_rt.from_image(pictures(), Linear(), strength=1.0, request=Request(**asked))
    np.testing.assert_array_equal(found, ddpm_rt.sample(Linear(), **asked))


def test_the_less_strength_the_nearer_to_the_image():
    images = pictures()
    off = [
        np.abs(ddpm_rt.from_image(images, Linear(), strength=s, request=Request(count=8)) - images).mean()
        for s in (0.02, 0.2, 0.5, 1.0)
    ]
    assert off == sorted(off)
    # One step from alpha_bar 0.994: noise of sqrt(1 - 0.994) = 0.08, most of which the step takes away.
    assert off[0] < 0.08


def test_one_image_gives_many_samples_and_many_give_one_each():
    request = Request(steps=10, count=4, batch=3)
    same = ddpm_rt.from_image(pictures()[0], Linear(), request=request)
    each = ddpm_rt.from_image(np.repeat(pictures(), 4, axis=0), Linear(), request=request)
    np.testing.assert_array_equal(same, each)
    assert len(np.unique(same.reshape(4, -1), axis=0)) == 4


@given(steps=st.integers(1, 1000), strength=st.floats(0, 1, exclude_min=True))
@settings(max_examples=200, deadline=None)
def test_the_share_of_steps_is_the_strength_to_half_a_step(steps, strength):
    run = steps - Edit(steps=steps, strength=strength, images=pictures()).first_row
    assert 1 <= run <= steps
    assert abs(run - strength * steps) <= 0.5 or run == 1


def test_a_solver_with_history_begins_without_one():
    """DPM-Solver++(2M): w x0 + h (x0 - x0_prev) is its first-order step when the two are one."""
    ones = np.ones(4)
    table = StepTable(np.arange(4)[::-1], ones, ones, 3 * ones, ones, 0 * ones, -0.5 * ones, 0 * ones, 0 * ones)
    begun = without_history(table, 2)
    assert begun.mean_from_x0.tolist() == [3, 3, 2.5, 3]
    assert begun.mean_from_prev_x0.tolist() == [-0.5, -0.5, 0, -0.5]
    assert table.mean_from_x0.tolist() == [3, 3, 3, 3]


MASK = np.zeros((4, 6), bool)
MASK[:, 2:5] = True


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("resample", [1, 3])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_what_is_not_marked_is_kept_to_the_bit_and_what_is_marked_is_not(sampler, resample, strength):
    images, request = pictures(4), Request(sampler=sampler, steps=10, count=4, batch=3)
    found = ddpm_rt.inpaint(images, MASK, Linear(), strength=strength, resample=resample, request=request)
    np.testing.assert_array_equal(found[..., ~MASK], images[..., ~MASK])
    assert (found[..., MASK] != images[..., MASK]).all()


def test_what_is_kept_stands_at_the_level_of_every_step():
    images, engine = pictures(), Linear()
    request = Edit(images=images, mask=MASK, strength=1.0, sampler="ddpm", steps=5, count=2000, batch=2000)
    t = timesteps(1000, 5)
    for step, level in zip(
        request.trajectory(engine, engine.card, request.samples), [*ALPHA_BAR[t[1:]], 1.0], strict=True
    ):
        kept = step.x[..., ~MASK] - np.sqrt(level) * images[..., ~MASK]
        # 24 000 values: the standard error of a standard deviation is 0.5 %, of a mean 0.7 %.
        assert kept.std() == pytest.approx(np.sqrt(1 - level), rel=0.02)
        assert abs(kept.mean()) < 0.03


def test_pixels_that_do_not_depend_on_each_other_are_drawn_as_without_the_rest():
    """For independent pixels an old frame says nothing: the new part is the ordinary sample, its noise the same."""
    asked = {"sampler": "ddpm", "steps": 20, "seed": 2, "count": 3}
    found = ddpm_rt.inpaint(pictures(), MASK, Linear(), request=Request(**asked))
    np.testing.assert_array_equal(found[..., MASK], ddpm_rt.sample(Linear(), **asked)[..., MASK])


def test_the_new_part_follows_the_old_and_the_better_for_resampling():
    """Images of one value: what is kept says what the rest must be."""
    images = np.full((1, *SHAPE), 0.6, np.float32)
    off = {}
    for resample in (1, 8):
        request = Request(sampler="ddpm", steps=50, count=64, batch=64)
        found = ddpm_rt.inpaint(images, MASK, OneValue(), resample=resample, request=request)
        off[resample] = float(np.sqrt(((found[..., MASK] - 0.6) ** 2).mean()))
    alone = ddpm_rt.sample(OneValue(), sampler="ddpm", steps=50, count=64)
    unrelated = float(np.sqrt(((alone - 0.6) ** 2).mean()))
    assert off[1] < 0.3 * unrelated
    assert off[8] < 0.5 * off[1]


def test_a_step_that_is_gone_again_is_gone_at_the_same_timestep():
    engine = Linear()
    ddpm_rt.inpaint(pictures(), MASK, engine, resample=3, request=Request(steps=3, count=1))
    first, second, last = timesteps(1000, 3).tolist()
    assert engine.calls == [first] * 3 + [second] * 3 + [last]  # the step to the data once (RePaint, line 9)


def test_between_two_goes_a_step_x_is_noised_by_one_step_of_the_forward_process():
    """The whole resampled chain of a linear network, as a recursion in float64 (Ho et al. 2020, eq. 2 and 7)."""
    engine, steps, again = Linear(), 6, 3
    asked = Request(sampler="ddpm", steps=steps, seed=8, first=3, count=2)
    found = ddpm_rt.inpaint(pictures(), np.ones((4, 6), bool), engine, resample=again, request=asked)
    table, rows = asked.table(engine.card), (steps - 1) * again + 1
    x = normal(8, asked.samples, noise.INITIAL_STEP)
    for row in range(rows):
        t, a, b, m0, mx, _, _, sigma, _ = (column[row // again] for column in table)
        x = (m0 * (a + b * engine.gain(t)) + mx) * x + sigma * normal(8, asked.samples, row)
        if row % again != again - 1 and row != rows - 1:
            beta = 1 - ALPHA_BAR[t] / ALPHA_BAR[table.t[row // again + 1]]
            x = np.sqrt(1 - beta) * x + np.sqrt(beta) * normal(8, asked.samples, rows + row)
    # float32 against float64 over 16 steps; eps is multiplied by 157 at the first ones.
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", None), ("ddim", None), ("ddim", 0.5)])
def test_both_ends_of_an_interpolation_are_the_samples_themselves(sampler, eta):
    asked = {"sampler": sampler, "eta": eta, "steps": 12, "seed": 4}
    frames = ddpm_rt.interpolate(3, 8, Linear(), frames=5, request=Request(**asked, batch=2))
    assert frames.shape == (5, *SHAPE)
    ends = [ddpm_rt.sample(Linear(), **asked, first=sample, count=1)[0] for sample in (3, 8)]
    # Noise goes through float64 and back, which is exact; the network runs with another batch.
    np.testing.assert_array_equal(frames[[0, -1]], ends)


def test_a_linear_network_draws_frames_on_the_arc_between_the_ends():
    """DDIM of a linear network is one factor: the frames are x_T's arc, scaled."""
    frames = ddpm_rt.interpolate(0, 1, Linear(), frames=4, request=Request(seed=9))
    start, end = noise.normal(9, [0, 1], noise.INITIAL_STEP, SIZE).astype(np.float64)
    angle = np.arccos(start @ end / np.linalg.norm(start) / np.linalg.norm(end))
    factor = recursion(Linear(), Request(), np.ones(1))[0]
    for frame, share in zip(frames, (0, 1 / 3, 2 / 3, 1), strict=True):
        expected = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle) * factor
        np.testing.assert_allclose(frame.ravel(), expected, rtol=0, atol=2e-5)  # float32 through 50 steps


def test_points_on_the_arc_are_of_the_length_of_noise_and_at_even_angles():
    start, end = np.random.default_rng(0).standard_normal((2, 10_000))
    points = slerp(start, end / np.linalg.norm(end) * np.linalg.norm(start), np.linspace(0, 1, 7)[:, None])
    lengths = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-9)
    cosines = (points[1:] * points[:-1]).sum(axis=1) / lengths[0] ** 2
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-9)
    np.testing.assert_array_equal(slerp(start, start, np.array([[0.5]]))[0], start)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_inversion_comes_near_to_the_exact_noise(prediction):
    """The ODE of DDIM keeps the law of every level: a Gaussian pixel is scaled from one variance to the other."""
    images, last = pictures(2), ALPHA_BAR[-1]
    exact = images * np.sqrt((last * PIXEL_VARIANCE + 1 - last) / PIXEL_VARIANCE)
    found = ddpm_rt.invert(images, Linear(prediction), request=Request(steps=100))
    # Steps of finite length: 0.25 % at 100 steps (and 0.14 % at 200).
    np.testing.assert_allclose(found, exact, rtol=3e-3, atol=1e-5)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_an_image_comes_back_from_its_noise_with_an_error_of_first_order_in_the_step(prediction):
    images, off = pictures(3), []
    for steps in (50, 100, 200):
        request, engine = Request(steps=steps, batch=2), Linear(prediction)
        again = ddpm_rt.from_noise(ddpm_rt.invert(images, engine, request=request), engine, request=request)
        off.append(np.abs(again - images).max())
    # eps is taken from the end of each step that is left; by the recursion of the factors 5.4 % of a pixel at 50 steps.
    assert off[0] < 0.055
    assert off[1] / off[0] == pytest.approx(0.5, abs=0.02)
    assert off[2] / off[1] == pytest.approx(0.5, abs=0.02)


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
            """What a network says at x that sees `eps` in it."""
            x0 = (x - np.sqrt(1 - level) * eps) / np.sqrt(level)
            return {"eps": eps, "x0": x0, "v": np.sqrt(level) * eps - np.sqrt(1 - level) * x0}[prediction]

        noisier = back.mean_from_x[row] * x + back.mean_from_out[row] * out(x)
        down = steps - 1 - row
        x0 = forth.x0_from_x[down] * noisier + forth.x0_from_out[down] * out(noisier)
        again = forth.mean_from_x0[down] * x0 + forth.mean_from_x[down] * noisier
        assert again == pytest.approx(x, abs=1e-10)  # float64, factors of up to 157


def test_a_noise_is_a_sample_when_it_is_the_one_of_its_number():
    request = Request(sampler="ddpm", steps=9, seed=5, count=3)
    x_t = noise.normal(5, range(3), noise.INITIAL_STEP, SIZE).reshape(3, *SHAPE)
    np.testing.assert_array_equal(
        ddpm_rt.from_noise(x_t, Linear(), request=request),
        ddpm_rt.sample(Linear(), sampler="ddpm", steps=9, seed=5, count=3),
    )


@pytest.mark.parametrize("turn", [ddpm_rt.invert, ddpm_rt.from_noise])
def test_one_image_without_a_batch_is_a_batch_of_one(turn):
    image = pictures()
    np.testing.assert_array_equal(turn(image[0], Linear()), turn(image, Linear()), strict=True)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: ddpm_rt.from_image(pictures(), Linear(), strength=0.0), r"strength must lie in \(0, 1\], not 0.0"),
    (lambda: ddpm_rt.from_image(pictures(), Linear(), strength=1.1), r"strength must lie in \(0, 1\]"),
    (lambda: ddpm_rt.from_image(pictures(), Linear(), strength=float("nan")), r"strength must lie in \(0, 1\]"),
    (lambda: ddpm_rt.from_image(pictures(3), Linear()), r"images \[3, 1, 4, 6\] must be"),
    (lambda: ddpm_rt.from_image(np.zeros((1, 5, 6)), Linear()), "images are 1 x 5 x 6 but the model draws 1 x 4 x 6"),
    (lambda: ddpm_rt.from_image(np.full(SHAPE, np.nan), Linear()), "not finite"),
    (lambda: ddpm_rt.inpaint(pictures(), MASK.T, Linear()), "mask is 6 x 4 but the model draws 4 x 6"),
    (lambda: ddpm_rt.inpaint(pictures(), MASK & False, Linear()), "marks nothing"),
    (lambda: ddpm_rt.inpaint(pictures(), MASK, Linear(), resample=0), "resample must be at least 1"),
    (lambda: ddpm_rt.interpolate(0, 1, Linear(), frames=1), "at least 2"),
    (lambda: ddpm_rt.interpolate(-1, 1, Linear()), "samples must lie in"),
    (lambda: ddpm_rt.invert(pictures(), Linear(), request=Request(sampler="ddpm")), "only ddim"),
    (lambda: ddpm_rt.invert(pictures(), Linear(), request=Request(eta=0.5)), "only ddim"),
    (lambda: ddpm_rt.invert(np.zeros((1, 1, 5, 6)), Linear()), "1 x 5 x 6 but the model draws 1 x 4 x 6"),
    (lambda: ddpm_rt.invert(np.zeros((4, 6)), Linear()), r"the images are \[4, 6\] but must be \[count, C, H, W\]"),
    (lambda: ddpm_rt.invert(np.full(SHAPE, np.nan), Linear()), "the images are not finite"),
    (lambda: ddpm_rt.from_noise(np.zeros((4, 6)), Linear()), r"the noise is \[4, 6\] but must be \[count, C, H, W\]"),
    (lambda: ddpm_rt.from_noise(np.zeros((1, 3, 4, 6)), Linear()), "3 x 4 x 6 but the model draws 1 x 4 x 6"),
])  # fmt: skip
def test_what_cannot_be_edited_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
