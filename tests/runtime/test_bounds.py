"""Options have upper bounds; a larger value is a one-line error that names the bound."""

import numpy as np
import pytest
from command import run
from gaussian_model import gaussian_card

import ddpm_rt
from ddpm_rt import limits
from ddpm_rt.requests.labels import check_labels
from ddpm_rt.samplers.schedule import Schedule, logsnr_timesteps


@pytest.mark.parametrize(("options", "bound"), [
    (["--count", limits.MAX_COUNT + 1], limits.MAX_COUNT),
    (["--count", 2**64], limits.MAX_COUNT),
    (["--batch", limits.MAX_BATCH + 1], limits.MAX_BATCH),
    (["--steps", limits.MAX_TIMESTEPS + 1], limits.MAX_TIMESTEPS),
    (["--threads", 2**63], 1024),
    (["--device", 2**40], limits.MAX_GPUS - 1),
    (["--resample", limits.MAX_RESAMPLE + 1], limits.MAX_RESAMPLE),
    (["--timesteps", 2**64], "integer"),
    (["--timesteps", "1" * 5000], "20 digits"),
    (["--timesteps", "," * 100_000], limits.MAX_TIMESTEPS),
    (["--label", "1" * 5000], "20 digits"),
    (["--seed", "1" * 5000], "integer"),
])  # fmt: skip
def test_an_option_beyond_its_bound_is_a_one_line_error(gaussian, tmp_path, options, bound):
    result = run("sample", "--engine", gaussian, *options, "--out", tmp_path / "x.npy")
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 1100
    assert str(bound) in result.stderr or "timesteps" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keywords", [
    {"count": limits.MAX_COUNT + 1}, {"batch": limits.MAX_BATCH + 1}, {"steps": limits.MAX_TIMESTEPS + 1},
    {"count": 1.5}, {"batch": True}, {"steps": "3"}, {"timesteps": [2**64]}, {"timesteps": [float("nan")]}, 
    {"seed": 10**5000},
    {"timesteps": ["a"]}, {"timesteps": [True]}, {"timesteps": 5}, {"timesteps": iter([5])},
    {"seed": 1.0}, {"seed": "1"}, {"seed": None}, {"seed": True}, {"first": 1.5}, {"first": "1"},
    {"guidance": "2"}, {"guidance": None}, {"guidance": 10**400}, {"guidance": np.ones(2)}, {"eta": "1"}, {"eta": 1j},
])  # fmt: skip
def test_the_python_interface_has_the_same_bounds(keywords):
    with pytest.raises(ValueError, match=next(iter(keywords))):
        ddpm_rt.Request(**keywords)


@pytest.mark.parametrize("inputs", [
    "x", [1], {1: 2}, {"x": "1"}, {"x": [[1], [1, 2]]}, {"x": 1j}, {"x": np.ma.masked_equal([1, 2], 2)},
])  # fmt: skip
def test_what_is_no_named_number_is_no_input(inputs):
    with pytest.raises(ValueError, match="^input(s must be a mapping| 'x' is)"):
        ddpm_rt.Request(inputs=inputs)


def test_integers_of_numpy_are_counts():
    request = ddpm_rt.Request(count=np.int64(3), batch=np.int32(2), timesteps=np.array([5, 0]))
    assert request.bind(gaussian_card()).table.t.tolist() == [5, 0]


def test_integers_of_numpy_do_not_overflow(gaussian):
    last = 2**64 - 1
    numpy = {"seed": np.uint64(last), "first": np.uint64(last - 99), "count": np.int8(100), "batch": np.int8(100)}
    found = ddpm_rt.sample(gaussian, steps=2, **numpy)
    expected = ddpm_rt.sample(gaussian, steps=2, seed=last, first=last - 99, count=100, batch=100)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("number", [0.5, True, "1", None])
def test_a_sample_is_an_integer(gaussian, number):
    with pytest.raises(ValueError, match="start must be an integer"):
        ddpm_rt.interpolate(number, 2, gaussian)
    with pytest.raises(ValueError, match="a sample number must be an integer"):
        ddpm_rt.noise.normal(0, [number], 0, 4)


@pytest.mark.parametrize(("step", "size", "message"), [
    (0.5, 4, "a step must be an integer"), (0, 2.5, "size must be an integer"), (0, -1, "size must be at least 0"),
])  # fmt: skip
def test_the_address_of_noise_is_of_integers(step, size, message):
    with pytest.raises(ValueError, match=message):
        ddpm_rt.noise.normal(0, [0], step, size)


def test_sizes_of_noise_do_not_overflow():
    found = ddpm_rt.noise.normal(np.uint8(7), [np.int8(3)], np.uint32(2), np.int8(100))
    np.testing.assert_array_equal(found, ddpm_rt.noise.normal(7, [3], 2, 100))


@pytest.mark.parametrize("keywords", [{"threads": "2"}, {"threads": 1.5}, {"device": "0"}, {"device": None}])
def test_an_option_of_the_engine_is_an_integer(gaussian, keywords):
    with pytest.raises(ValueError, match=f"{next(iter(keywords))} must be an integer"):
        ddpm_rt.open_denoiser(gaussian, **keywords)


@pytest.mark.parametrize("model", [3, b"unet.onnx", ["unet.onnx"], gaussian_card(), lambda x, t: x])
def test_what_is_no_model_and_no_request_is_a_line(model, gaussian):
    with pytest.raises(ValueError, match="a model is a path, an open engine, or a callable with a card, not"):
        ddpm_rt.sample(model)
    for draw in (ddpm_rt.sample, lambda *given: ddpm_rt.interpolate(0, 1, given[0], request=given[1])):
        with pytest.raises(ValueError, match=r"request must be a ddpm_rt.Request, not"):
            draw(gaussian, model)


def test_a_guidance_beyond_float32_is_refused():
    with pytest.raises(ValueError, match="guidance"):
        check_labels(
            gaussian_card(classes=2, names={"x": "x", "t": "t", "y": "y", "out": "out"}, null_class=1), [0], 1e39
        )


def test_logsnr_timesteps_do_not_depend_on_the_size_of_chunks(monkeypatch):
    schedule = Schedule(np.linspace(1e-4, 0.02, 1000))
    whole = logsnr_timesteps(schedule, 333)
    monkeypatch.setattr("ddpm_rt.samplers.schedule.NUMBERS_AT_ONCE", 7000)
    np.testing.assert_array_equal(logsnr_timesteps(schedule, 333), whole)
