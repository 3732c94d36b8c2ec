import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_network import ALPHA_BAR, SHAPE, Linear, OneValue, normal, pictures, recursion

import ddpm_rt
from ddpm_rt import Request, StepTable, noise, timesteps
from ddpm_rt.requests.edit import Edit, without_history


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", None), ("ddim", None), ("ddim", 0.6)])
@pytest.mark.parametrize(("strength", "rows"), [(0.3, 12), (0.99, 40), (0.001, 1)])
def test_an_image_is_noised_to_the_first_level_and_denoised(prediction, sampler, eta, strength, rows):
    engine, images = Linear(prediction), pictures(3)
    request = Request(sampler=sampler, eta=eta, steps=40, seed=7, first=5, count=3, batch=2)
    found = ddpm_rt.from_image(images, engine, strength=strength, request=request)
    t = timesteps(1000, 40)
    assert engine.calls == t[-rows:].tolist() * 2  # two batches
    first = 40 - rows
    start = normal(7, request.samples, noise.INITIAL_STEP)
    if first:
        start = np.sqrt(ALPHA_BAR[t[first]]) * images + np.sqrt(1 - ALPHA_BAR[t[first]]) * start
    # float32 against float64 over at most 40 steps; all coefficients are near one except in the first few rows.
    np.testing.assert_allclose(found, recursion(engine, request, start, first), rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_strength_one_is_bit_equal_to_the_sample_of_that_number(sampler):
    asked = {"sampler": sampler, "steps": 20, "seed": 3, "first": 9, "count": 5}
    found = ddpm_rt.from_image(pictures(), Linear(), strength=1.0, request=Request(**asked))
    np.testing.assert_array_equal(found, ddpm_rt.sample(Linear(), **asked))


def test_lower_strength_stays_closer_to_the_image():
    images = pictures()
    off = [
        np.abs(ddpm_rt.from_image(images, Linear(), strength=s, request=Request(count=8)) - images).mean()
        for s in (0.02, 0.2, 0.5, 1.0)
    ]
    assert off == sorted(off)
    # One step from alpha_bar 0.994: noise of sqrt(1 - 0.994) = 0.08, most of which the step removes.
    assert off[0] < 0.08


def test_one_image_gives_many_samples_and_many_give_one_each():
    request = Request(steps=10, count=4, batch=3)
    same = ddpm_rt.from_image(pictures()[0], Linear(), request=request)
    each = ddpm_rt.from_image(np.repeat(pictures(), 4, axis=0), Linear(), request=request)
    np.testing.assert_array_equal(same, each)
    assert len(np.unique(same.reshape(4, -1), axis=0)) == 4


@given(steps=st.integers(1, 1000), strength=st.floats(0, 1, exclude_min=True))
@settings(max_examples=200, deadline=None)
def test_the_share_of_steps_equals_the_strength_within_half_a_step(steps, strength):
    run = steps - Edit(steps=steps, strength=strength, images=pictures()).first_row
    assert 1 <= run <= steps
    assert abs(run - strength * steps) <= 0.5 or run == 1


def test_a_multistep_solver_starts_an_edit_without_history():
    """DPM-Solver++(2M): w x0 + h (x0 - x0_prev) is the first-order step if x0_prev = x0."""
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
def test_pixels_outside_the_mask_stay_bit_equal_and_the_others_change(sampler, resample, strength):
    images, request = pictures(4), Request(sampler=sampler, steps=10, count=4, batch=3)
    found = ddpm_rt.inpaint(images, MASK, Linear(), strength=strength, resample=resample, request=request)
    np.testing.assert_array_equal(found[..., ~MASK], images[..., ~MASK])
    assert (found[..., MASK] != images[..., MASK]).all()


def test_kept_pixels_have_the_noise_level_of_every_step():
    images, engine = pictures(), Linear()
    request = Edit(images=images, mask=MASK, strength=1.0, sampler="ddpm", steps=5, count=2000, batch=2000)
    t = timesteps(1000, 5)
    for step, level in zip(
        request.bind(engine.card).trajectory(engine, request.samples), [*ALPHA_BAR[t[1:]], 1.0], strict=True
    ):
        kept = step.x[..., ~MASK] - np.sqrt(level) * images[..., ~MASK]
        # 24 000 values: the standard error of a standard deviation is 0.5 %, of a mean 0.7 %.
        assert kept.std() == pytest.approx(np.sqrt(1 - level), rel=0.02)
        assert abs(kept.mean()) < 0.03


def test_independent_pixels_are_drawn_as_without_a_mask():
    """For independent pixels the kept part has no influence: the new part equals the ordinary sample."""
    asked = {"sampler": "ddpm", "steps": 20, "seed": 2, "count": 3}
    found = ddpm_rt.inpaint(pictures(), MASK, Linear(), request=Request(**asked))
    np.testing.assert_array_equal(found[..., MASK], ddpm_rt.sample(Linear(), **asked)[..., MASK])


def test_the_new_part_fits_the_old_part_better_with_resampling():
    """All pixels of an image have one value, so the kept pixels determine the others."""
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


def test_a_repeated_step_uses_the_same_timestep():
    engine = Linear()
    ddpm_rt.inpaint(pictures(), MASK, engine, resample=3, request=Request(steps=3, count=1))
    first, second, last = timesteps(1000, 3).tolist()
    assert engine.calls == [first] * 3 + [second] * 3 + [
        last
    ]  # the last step, to the data, runs once (RePaint, line 9)


def test_between_repeats_x_is_noised_by_one_forward_step():
    """The whole resampled chain of a linear network as a recursion in float64 (Ho et al. 2020, eq. 2 and 7)."""
    engine, steps, again = Linear(), 6, 3
    asked = Request(sampler="ddpm", steps=steps, seed=8, first=3, count=2)
    found = ddpm_rt.inpaint(pictures(), np.ones((4, 6), bool), engine, resample=again, request=asked)
    table, rows = asked.bind(engine.card).table, (steps - 1) * again + 1
    x = normal(8, asked.samples, noise.INITIAL_STEP)
    for row in range(rows):
        t, a, b, m0, mx, _, _, sigma, _ = (column[row // again] for column in table)
        x = (m0 * (a + b * engine.gain(t)) + mx) * x + sigma * normal(8, asked.samples, row)
        if row % again != again - 1 and row != rows - 1:
            beta = 1 - ALPHA_BAR[t] / ALPHA_BAR[table.t[row // again + 1]]
            x = np.sqrt(1 - beta) * x + np.sqrt(beta) * normal(8, asked.samples, rows + row)
    # float32 against float64 over 16 steps; eps is multiplied by 157 at the first ones.
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("turn", [ddpm_rt.invert, ddpm_rt.from_noise])
def test_one_image_without_a_batch_is_a_batch_of_one(turn):
    image = pictures()
    np.testing.assert_array_equal(turn(image[0], Linear()), turn(image, Linear()), strict=True)


NO_NUMBERS = {
    "no array": [[1.0, 2.0], [1.0]],
    "of type <U": np.full(SHAPE, "0.5"),
    "of type complex": np.zeros(SHAPE, complex),
    "of type datetime": np.zeros(SHAPE, "M8[s]"),
    "of type object": np.full(SHAPE, None),
    r"of type \[": np.zeros(SHAPE, [("x", "f4")]),
    "masked in part": np.ma.masked_less(np.zeros(SHAPE), 1.0),
    "not finite": np.full(SHAPE, 1e300),
    r"\[0, 1, 4, 6\] but must be": np.zeros((0, *SHAPE)),
    r"\[\] but must be": 0.5,
}


@pytest.mark.parametrize(("words", "value"), NO_NUMBERS.items())
@pytest.mark.parametrize("draw", [
    ddpm_rt.from_image, ddpm_rt.invert, ddpm_rt.from_noise, lambda images, engine: ddpm_rt.inpaint(images, MASK, engine)
])  # fmt: skip
def test_what_is_no_image_is_an_error(draw, words, value):
    with pytest.raises(ValueError, match=f"^the (images are|noise is) {words}"):
        draw(value, Linear())


@pytest.mark.parametrize("draw", [
    ddpm_rt.from_image, ddpm_rt.invert, lambda images, engine: ddpm_rt.inpaint(images, MASK, engine)
])  # fmt: skip
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_bytes_are_no_picture_in_the_range_of_the_model(draw, kind):
    with pytest.raises(ValueError, match=r"have values up to 255; scale images to \[-1, 1\]"):
        draw(np.full(SHAPE, 255, kind), Linear(clip=(-1.0, 1.0)))


@pytest.mark.parametrize("mask", [MASK * 0.5, MASK * np.nan, -1.0 * MASK, MASK.astype(np.uint8) * 7, MASK.astype(str)])
def test_a_mask_without_a_threshold_is_an_error(mask):
    with pytest.raises(ValueError, match="the mask (must be of booleans|is of type <U)"):
        ddpm_rt.inpaint(pictures(), mask, Linear())


def test_a_mask_of_zero_and_one_or_of_bytes_is_that_of_booleans():
    asked = Request(steps=2, count=1)
    expected = ddpm_rt.inpaint(pictures(), MASK, Linear(), request=asked)
    for mask in (MASK.astype(int), MASK.tolist(), MASK.astype(np.uint8) * 255, MASK.astype(np.float32)):
        np.testing.assert_array_equal(ddpm_rt.inpaint(pictures(), mask, Linear(), request=asked), expected)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: ddpm_rt.from_image(pictures(), Linear(), strength="0.5"), "strength must be a number, not '0.5'"),
    (lambda: ddpm_rt.from_image(pictures(), Linear(), strength=0.0), r"strength must lie in \(0, 1\], not 0.0"),
    (lambda: ddpm_rt.from_image(pictures(), Linear(), strength=1.1), r"strength must lie in \(0, 1\]"),
    (lambda: ddpm_rt.from_image(pictures(), Linear(), strength=float("nan")), r"strength must lie in \(0, 1\]"),
    (lambda: ddpm_rt.from_image(pictures(3), Linear()), r"images \[3, 1, 4, 6\] must be"),
    (lambda: ddpm_rt.from_image(np.zeros((1, 5, 6)), Linear()), "images are 1 x 5 x 6 but the model draws 1 x 4 x 6"),
    (lambda: ddpm_rt.from_image(np.full(SHAPE, np.nan), Linear()), "not finite"),
    (lambda: ddpm_rt.inpaint(pictures(), MASK.T, Linear()), "mask is 6 x 4 but the model draws 4 x 6"),
    (lambda: ddpm_rt.inpaint(pictures(), MASK & False, Linear()), "marks no pixel"),
    (lambda: ddpm_rt.inpaint(pictures(), MASK, Linear(), resample=0), "resample must be at least 1"),
    (lambda: ddpm_rt.interpolate(0, 1, Linear(), frames=1), "at least 2"),
    (lambda: ddpm_rt.interpolate(-1, 1, Linear()), "samples must lie in"),
    (lambda: ddpm_rt.invert(pictures(), Linear(), request=Request(sampler="ddpm")), "only ddim"),
    (lambda: ddpm_rt.invert(pictures(), Linear(), request=Request(eta=0.5)), "only ddim"),
    (lambda: ddpm_rt.invert(np.zeros((1, 1, 5, 6)), Linear()), "1 x 5 x 6 but the model draws 1 x 4 x 6"),
    (lambda: ddpm_rt.invert(np.zeros((4, 6)), Linear()), r"images are \[4, 6\] but must be \[1, 4, 6\] or \[count"),
    (lambda: ddpm_rt.invert(np.full(SHAPE, np.nan), Linear()), "the images are not finite"),
    (lambda: ddpm_rt.from_noise(np.zeros((4, 6)), Linear()), r"noise is \[4, 6\] but must be \[1, 4, 6\] or \[count"),
    (lambda: ddpm_rt.from_noise(np.zeros((1, 3, 4, 6)), Linear()), "3 x 4 x 6 but the model draws 1 x 4 x 6"),
])  # fmt: skip
def test_an_invalid_edit_is_an_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()
