"""Values beyond float32 are an error before sampling or at the step, and never become a wrong image."""

import warnings

import numpy as np
import pytest
from command import run
from gaussian_model import gaussian_card, write_gaussian

import ddpm_rt
from ddpm_rt import DdpmRtError
from ddpm_rt.errors import NotFiniteError
from ddpm_rt.host_loop import trajectory
from ddpm_rt.requests.request import Request
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers import samplers_of
from ddpm_rt.verify.comparison import compare, engine_side

FAR = {"next to nothing": (1e-300,) * 10, "next to all": (1 - 1e-16,) * 10}


class Loud:
    """A network with finite outputs whose last image is not finite."""

    def __init__(self, at, value=3e38):
        self.card = gaussian_card(clip=None)
        self.at, self.value = at, np.float32(value)

    def __call__(self, x, t, y=None, /):
        out = np.zeros_like(x)
        out[1:2] = np.where((t[1:2] == self.at)[:, None, None, None], self.value, 0)
        return out


@pytest.mark.parametrize("sampler", [name for name in samplers_of("betas") if name != "lcm"])
@pytest.mark.parametrize(("which", "prediction"), [
    ("next to nothing", "eps"), ("next to nothing", "v"), ("next to all", "eps"),
])  # fmt: skip
def test_the_error_for_a_non_finite_table_names_the_betas_without_a_warning(which, prediction, sampler):
    card = gaussian_card(betas=FAR[which], prediction=prediction)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="betas .* not finite in float32"):
            SamplerOptions(sampler=sampler, steps=10).compile(card)
        with pytest.raises(ValueError, match="betas"):
            Request(sampler=sampler, steps=10).bind(card)


@pytest.mark.parametrize("betas", [(0.5,), (1e-4, 0.02), (1e-9,) * 10, (0.99,) * 10])
def test_unusual_betas_within_float32_can_be_sampled(betas):
    class Zero:
        card = gaussian_card(betas=betas)

        def __call__(self, x, t, y=None, /):
            return 0 * x

    assert np.isfinite(ddpm_rt.sample(Zero(), steps=len(betas), count=2)).all()


def test_an_image_that_overflows_in_the_last_step_names_the_sample():
    with (
        np.errstate(all="raise"),
        pytest.raises(NotFiniteError, match="image of sample 8 is not finite at step 0, t = 999"),
    ):
        ddpm_rt.sample(Loud(at=999), steps=1, first=7, count=3)


def test_an_output_that_is_not_finite_names_the_sample():
    with pytest.raises(NotFiniteError, match="output of sample 8 is not finite at step 1"):
        ddpm_rt.sample(Loud(at=499, value=np.nan), steps=2, first=7, count=3)


def test_verify_reports_an_image_that_overflows_in_the_last_step():
    engine = ddpm_rt.engine.as_engine(Loud(at=999))
    bound = Request(steps=1, count=3).bind(engine.card)
    comparison = compare(engine_side(engine, bound), engine_side(engine, bound), bound)
    assert {(place.side, place.row) for place in comparison.non_finite} == {("reference", 0)}
    assert np.isnan(comparison.images).all()


def test_a_finite_chain_is_checked_once_after_its_last_step(monkeypatch):
    checked, isfinite = [], np.isfinite
    monkeypatch.setattr(np, "isfinite", lambda values: checked.append(1) or isfinite(values))
    card = gaussian_card()
    table = SamplerOptions(steps=10).compile(card).table
    checked.clear()
    list(trajectory(lambda x, t: 0 * x, table, card.image_shape, seed=0, samples=[0]))
    assert len(checked) == 10 + 1  # each output, and the last image


@pytest.mark.parametrize("out", ["x.npy", "x.png", "x.gif", "folder"])
def test_no_file_is_written_if_the_last_step_overflows(tmp_path, out, monkeypatch):
    engine = write_gaussian(tmp_path / "m.onnx", card=gaussian_card(clip=None))
    monkeypatch.setattr("ddpm_rt.engines.ort_cpu.OrtDenoiser.__call__", lambda self, x, t, y=None: Loud(999)(x, t))
    result = run("sample", "--engine", engine, "--steps", 1, "--count", 3, "--out", tmp_path / out)
    assert result.exit_code == 1
    assert result.stderr == "Error: the image of sample 1 is not finite at step 0, t = 999; check the model\n"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["m.onnx"]


def test_a_chain_raises_the_error_of_the_package():
    assert issubclass(NotFiniteError, DdpmRtError)
