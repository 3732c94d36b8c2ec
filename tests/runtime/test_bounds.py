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
    {"timesteps": ["a"]}, {"timesteps": [True]},
])  # fmt: skip
def test_the_python_interface_has_the_same_bounds(keywords):
    with pytest.raises(ValueError, match=next(iter(keywords))):
        ddpm_rt.Request(**keywords)


def test_integers_of_numpy_are_counts():
    request = ddpm_rt.Request(count=np.int64(3), batch=np.int32(2), timesteps=np.array([5, 0]))
    assert request.bind(gaussian_card()).table.t.tolist() == [5, 0]


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
