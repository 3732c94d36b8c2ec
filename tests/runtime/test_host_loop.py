import numpy as np
import pytest
from gaussian_model import BETAS, PIXEL_VARIANCE

from ddpm_rt import Beginning, DdpmRtError, Schedule, StepTable, ddim, ddpm, noise, timesteps, trajectory

LINEAR = Schedule(BETAS)
SHAPE = (1, 8, 8)


def gaussian(prediction):
    """The exact network for pixels from N(0, PIXEL_VARIANCE)."""

    def denoise(x, t):
        now = LINEAR.alpha_bar[t].reshape(-1, 1, 1, 1)
        x0 = np.sqrt(now) * PIXEL_VARIANCE * x / (now * PIXEL_VARIANCE + 1 - now)
        eps = (x - np.sqrt(now) * x0) / np.sqrt(1 - now)
        return {"eps": eps, "x0": x0, "v": np.sqrt(now) * eps - np.sqrt(1 - now) * x0}[prediction].astype(np.float32)

    return denoise


def run(table, denoise, samples=range(4), **options):
    *_, last = trajectory(denoise, table, SHAPE, seed=1, samples=samples, **options)
    return last.x


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("steps", [20, 1000])
@pytest.mark.parametrize("sampler", ["ddpm", "ddpm large", "ddim 0", "ddim 0.5"])
def test_the_loop_follows_its_table_exactly_on_gaussian_data(prediction, steps, sampler):
    """For a linear denoiser, the final x is a weighted sum of the noises, with weights from a recursion."""
    t = timesteps(1000, steps)
    table = {
        "ddpm": lambda: ddpm(LINEAR, t, prediction=prediction),
        "ddpm large": lambda: ddpm(LINEAR, t, prediction=prediction, variance="fixed_large"),
        "ddim 0": lambda: ddim(LINEAR, t, prediction=prediction),
        "ddim 0.5": lambda: ddim(LINEAR, t, prediction=prediction, eta=0.5),
    }[sampler]()
    size = int(np.prod(SHAPE))
    expected = noise.normal(1, range(4), noise.INITIAL_STEP, size).astype(np.float64)
    denoise = gaussian(prediction)
    for row, (step, a, b, m0, mx, _, _, sigma, _) in enumerate(zip(*table, strict=True)):
        gain = float(denoise(np.ones((1, *SHAPE)), np.array([step]))[0, 0, 0, 0])
        expected = (m0 * (a + b * gain) + mx) * expected
        if sigma:
            expected = expected + sigma * noise.normal(1, range(4), row, size)
    found = run(table, denoise, clip=None).reshape(4, -1)
    # float32 against float64 over the chain; eps is multiplied by 157 at the first step.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "prediction", ["eps", pytest.param("x0", marks=pytest.mark.slow), pytest.param("v", marks=pytest.mark.slow)]
)
def test_the_samples_have_the_variance_of_the_data(prediction):
    table = ddpm(LINEAR, timesteps(1000, 1000), prediction=prediction)
    images = run(table, gaussian(prediction), samples=range(500), clip=None)
    # 32 000 pixels: standard error 0.8 %; the chain's own bias is within 2 %.
    assert images.var() == pytest.approx(PIXEL_VARIANCE, rel=0.045)


def test_a_sample_is_the_same_alone_and_in_a_batch():
    table = ddpm(LINEAR, timesteps(1000, 30))
    together = run(table, gaussian("eps"), samples=range(64))
    np.testing.assert_array_equal(run(table, gaussian("eps"), samples=[40])[0], together[40])


def test_every_step_passes_its_timestep_and_noise_is_addressed_by_row():
    asked, rows = [], []
    table = ddpm(LINEAR, timesteps(1000, 4))

    def denoise(x, t):
        asked.append(t.tolist())
        return np.zeros_like(x)

    def draw(row):
        rows.append(row)
        return np.zeros((2, *SHAPE), np.float32)

    steps = [(step.row, step.t) for step in trajectory(denoise, table, SHAPE, seed=0, samples=[0, 1], noise=draw)]
    assert asked == [[999, 999], [749, 749], [499, 499], [249, 249]]
    assert steps == [(0, 999), (1, 749), (2, 499), (3, 249)]
    assert rows == [noise.INITIAL_STEP, 0, 1, 2]  # the last step adds none


@pytest.mark.parametrize("clip", [(-1.0, 1.0), (-0.5, 0.25), None])
def test_x0_is_clipped_to_the_range_of_the_card(clip):
    table = ddpm(LINEAR, timesteps(1000, 5))
    first = next(trajectory(lambda x, t: np.zeros_like(x), table, SHAPE, seed=0, samples=range(8), clip=clip))
    if clip is None:
        assert np.abs(first.x0).max() > 157  # eps is 0, so x0 is 157 times x
    else:
        assert (first.x0.min(), first.x0.max()) == clip


def test_the_columns_of_multi_step_solvers_are_used():
    one, zero = np.ones(2), np.zeros(2)
    table = StepTable(np.array([1, 0]), zero, one, zero + 0.5, zero, zero + 0.25, zero + 0.125, zero, zero)
    outs = iter([np.full((1, *SHAPE), 8.0, np.float32), np.full((1, *SHAPE), 16.0, np.float32)])
    first, second = (
        step.x.copy() for step in trajectory(lambda x, t: next(outs), table, SHAPE, seed=0, samples=[0], clip=None)
    )
    assert (first == 0.5 * 8 + 0.25 * 8).all()
    assert (second == 0.5 * 16 + 0.25 * 16 + 0.125 * 8).all()


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_an_output_that_is_not_finite_stops_the_run_and_names_the_step(poison):
    def denoise(x, t):
        out = np.zeros_like(x)
        if t[0] == 499:
            out[0, 0, 0, 0] = poison
        return out

    with pytest.raises(DdpmRtError, match="step 2, t = 499"):
        run(ddpm(LINEAR, timesteps(1000, 4)), denoise)


@pytest.mark.slow
def test_the_loop_agrees_with_the_torch_reference_on_shared_noise():
    """p_sample_loop of ddpm_ref in float64 is independent code for the same equations."""
    import torch

    from ddpm_ref.diffusion import Diffusion

    t = timesteps(1000, 1000)
    size = int(np.prod(SHAPE))

    def tape(row):
        return noise.normal(1, range(4), row, size).reshape(4, *SHAPE)

    def model(x, t):
        return torch.from_numpy(gaussian("eps")(x.numpy(), t.numpy())).double()

    reference = Diffusion(BETAS).p_sample_loop(
        model, torch.from_numpy(tape(noise.INITIAL_STEP)).double(), lambda row: torch.from_numpy(tape(row)).double()
    )
    ours = trajectory(gaussian("eps"), ddpm(LINEAR, t), SHAPE, seed=1, samples=range(4))
    for step, x in zip(ours, reference, strict=True):
        # float32 coefficients and state against float64: rounding of values up to 157 at the noisy end.
        np.testing.assert_allclose(step.x, x.numpy(), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("begin", "words"), [
    (Beginning(row=-1), "the first row must be at least 0, not -1"),
    (Beginning(row=4), "the first row must be at most 3, not 4"),
    (Beginning(row=1.0), "the first row must be an integer, not 1.0"),
    (Beginning(np.zeros((4, 1, 8, 4))), r"x at the beginning is \[4, 1, 8, 4\] but must be \[4, 1, 8, 8\]"),
    (Beginning(np.zeros((4, 8, 1, 8))), r"but must be \[4, 1, 8, 8\]"),
    (Beginning(np.zeros(256)), r"but must be \[4, 1, 8, 8\]"),
    (Beginning("photo.png"), r"but must be \[4, 1, 8, 8\]"),
    (Beginning(scale="1"), "the scale of the initial noise must be a number, not '1'"),
])  # fmt: skip
def test_a_beginning_that_does_not_fit_is_an_error(begin, words):
    with pytest.raises(ValueError, match=words):
        run(ddim(LINEAR, timesteps(1000, 4)), gaussian("eps"), begin=begin)


@pytest.mark.parametrize(("change", "found"), [
    (lambda out: out[:1], r"float32 \[1, 1, 8, 8\]"),
    (lambda out: out[..., :1], r"float32 \[4, 1, 8, 1\]"),
    (lambda out: np.concatenate([out] * 3, axis=1), r"float32 \[4, 3, 8, 8\]"),
    (lambda out: np.float32(0), r"float32 \[\]"),
    (lambda out: None, r"object \[\]"),
    (lambda out: out + 0j, r"complex64 \[4, 1, 8, 8\]"),
])  # fmt: skip
def test_an_output_that_numpy_would_broadcast_or_cut_is_an_error(change, found):
    network = gaussian("eps")
    with pytest.raises(ValueError, match=f"the denoiser gives {found} but must give float32 \\[4, 1, 8, 8\\]"):
        run(ddim(LINEAR, timesteps(1000, 4)), lambda x, t: change(network(x, t)))


def test_a_learned_variance_is_twice_the_channels():
    table = ddpm(LINEAR, timesteps(1000, 4), variance="learned_range")
    with pytest.raises(ValueError, match=r"must give float32 \[4, 2, 8, 8\]"):
        run(table, gaussian("eps"))


def test_an_output_may_be_nested_lists():
    network, table = gaussian("eps"), ddim(LINEAR, timesteps(1000, 4))
    lists = run(table, lambda x, t: network(x, t).tolist())
    np.testing.assert_allclose(lists, run(table, network), rtol=0, atol=1e-6)  # float64 until it meets x
