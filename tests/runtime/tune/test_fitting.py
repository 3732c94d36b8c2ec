import numpy as np
import pytest
from gaussian_model import CLASS_MEANS, conditional_card
from mixture_engine import KINDS, LevelsEngine, MixtureEngine

import ddpm_rt
from ddpm_rt import Request
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.artifacts.steps_file import read_steps, write_steps
from ddpm_rt.tune import RanOn, Tuning, tune
from ddpm_rt.tune.held_out import SHOWN

RAN_ON = RanOn(model="5" * 64, precision="fp32", provider="cpu")
FEW = {"samples": 24, "held_out": 20, "teacher_calls": 30, "batch": 8}
CLIP = (-1.0, 1.0)


def fit(engine, **asked):
    return tune(engine, Tuning(**{**FEW, **asked}), RAN_ON)


def test_a_fitted_table_is_closer_to_the_teacher_than_ddim_and_dpm_on_held_out_samples():
    fitted = fit(MixtureEngine(clip=CLIP), calls=5)
    errors = fitted.fit.errors
    assert list(errors) == ["ddim", "dpm++ logsnr", "fitted"]
    assert errors["fitted"] < 0.5 * min(errors["ddim"], errors["dpm++ logsnr"])
    assert fitted.fit.worse_than == []
    assert fitted.sampler.clip == CLIP


def test_the_held_out_samples_differ_from_those_of_the_fit():
    tuning = Tuning(calls=3, seed=2**64 - 1)
    card = MixtureEngine().card
    assert tuning.fitting_to(card).seed == 2**64 - 1
    assert tuning.measured_on(card).seed == 0


def test_the_error_is_that_of_sampling_with_the_table():
    engine = MixtureEngine(clip=CLIP)
    fitted = fit(engine, calls=4, held_out=SHOWN)
    request = {"seed": 901, "count": SHOWN, "batch": 8}
    images = ddpm_rt.sample(engine, Request(compiled=fitted.sampler, **request))
    np.testing.assert_array_equal(images, fitted.distances.images["fitted"])
    wanted = fitted.distances.images["teacher"]
    dense = ddpm_rt.sample(engine, Request(sampler="dpm++", steps=300, spacing="logsnr", **request))
    assert np.sqrt(np.mean((dense - wanted) ** 2)) < 0.02  # the teacher is close to the solver with ten times the calls
    assert fitted.fit.errors["fitted"] == pytest.approx(float(np.sqrt(np.mean((images - wanted) ** 2))), rel=1e-5)
    for name, asked in (("ddim", {}), ("dpm++", {"spacing": "logsnr"})):
        plain = ddpm_rt.sample(engine, Request(sampler=name, steps=4, **asked, **request))
        key = " ".join([name, *asked.values()])
        assert fitted.fit.errors[key] == pytest.approx(float(np.sqrt(np.mean((plain - wanted) ** 2))), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_a_table_with_noise_adds_the_noise_of_ddim_and_is_closer_to_the_teacher(eta):
    fitted = fit(MixtureEngine(clip=CLIP), calls=5, eta=eta)
    errors = fitted.fit.errors
    plain = ddpm_rt.ddim(MixtureEngine().card.schedule, fitted.sampler.table.t, prediction="eps", eta=eta)
    np.testing.assert_array_equal(fitted.sampler.table.sigma, plain.sigma)
    assert set(errors) == {f"ddim eta {eta}", "fitted"} | ({"dpm++sde"} if eta == 1.0 else set())
    assert errors["fitted"] < 0.6 * min(error for name, error in errors.items() if name != "fitted")


def test_listed_timesteps_are_kept_and_all_tables_start_at_the_first():
    listed = (880, 610, 400, 90)
    fitted = fit(MixtureEngine(clip=CLIP), timesteps=listed)
    assert fitted.sampler.table.t.tolist() == list(listed)
    assert fitted.fit.errors["fitted"] < min(fitted.fit.errors["ddim"], fitted.fit.errors["dpm++"])


def conditional_engine(**changes):
    kept = {key: getattr(conditional_card(), key) for key in ("classes", "null_class", "names")}
    return MixtureEngine(clip=None, **{**kept, **changes})


def test_without_a_label_the_samples_cycle_through_all_classes_but_the_null_class():
    engine = conditional_engine()
    fitted = fit(engine, calls=4)
    assert fitted.fit.label == tuple(label for label in range(len(CLASS_MEANS)) if label != 3)
    assert fit(engine, calls=4, label=[2]).fit.label == (2,)


def test_the_fit_uses_the_guidance_of_sampling():
    fitted = fit(conditional_engine(), calls=5, guidance=2.0)
    assert fitted.fit.guidance == 2.0
    assert fitted.fit.errors["fitted"] < 0.6 * min(fitted.fit.errors["ddim"], fitted.fit.errors["dpm++ logsnr"])
    plain = fit(conditional_engine(), calls=5)
    assert np.abs(fitted.sampler.table.mean_from_x0 - plain.sampler.table.mean_from_x0).max() > 0.01


@pytest.mark.parametrize(
    "changes", [{"variance": "learned_range"}, {"prediction": "v"}, {"prediction": "x0", "clip": None}]
)
def test_every_kind_of_model_is_fitted(changes):
    fitted = fit(MixtureEngine(**{"clip": CLIP, **changes}), calls=5)
    assert fitted.fit.errors["fitted"] < 0.6 * min(fitted.fit.errors["ddim"], fitted.fit.errors["dpm++ logsnr"])
    assert not fitted.sampler.table.log_sigma_from_spread.any()


@pytest.mark.parametrize("clip", [None, CLIP], ids=["unclipped", "clipped"])
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_noise_levels_and_flows_are_fitted(kind, clip):
    engine = LevelsEngine(kind, clip=clip)
    fitted = fit(engine, calls=5, held_out=SHOWN)
    baselines = {"euler", "dpm++ trailing" if "flow" in kind else "dpm++ logsnr"}
    assert fitted.fit.errors.keys() == {*baselines, "fitted"}
    assert fitted.fit.errors["fitted"] < 0.6 * min(fitted.fit.errors[name] for name in baselines)
    request = {"seed": 901, "count": SHOWN, "batch": 8}
    images = ddpm_rt.sample(engine, Request(compiled=fitted.sampler, **request))
    np.testing.assert_array_equal(images, fitted.distances.images["fitted"])
    dense = ddpm_rt.sample(engine, Request(sampler="dpm++", steps=300, **request))
    wanted = fitted.distances.images["teacher"]
    assert np.sqrt(np.mean((dense - wanted) ** 2)) < 0.02  # a solver with ten times the teacher's calls agrees with it


class SelfConditioned(MixtureEngine):
    """A network that uses its previous x0, and zeros in the first step."""

    def __init__(self):
        inputs = {"before": InputFacts("float32", (1, 4, 6), "prev_x0")}
        super().__init__(prediction="x0", clip=CLIP, inputs=inputs)

    def __call__(self, x, t, y=None, inputs=None, /):
        return np.float32(0.8) * super().__call__(x, t) + np.float32(0.2) * inputs["before"]


def test_a_model_with_self_conditioning_is_fitted_on_chains_that_give_it_the_previous_x0():
    engine = SelfConditioned()
    fitted = fit(engine, calls=5, held_out=SHOWN)
    assert fitted.fit.errors["fitted"] < 0.6 * min(fitted.fit.errors["ddim"], fitted.fit.errors["dpm++ logsnr"])
    request = {"seed": 901, "count": SHOWN, "batch": 8}
    images = ddpm_rt.sample(engine, Request(compiled=fitted.sampler, **request))
    np.testing.assert_array_equal(images, fitted.distances.images["fitted"])
    with pytest.raises(ValueError, match="leave out eta"):
        fit(engine, calls=5, eta=0.5)


def test_listed_levels_are_kept():
    listed = (60.0, 4.0, 0.7, 0.05)
    fitted = fit(LevelsEngine("sigma, edm"), timesteps=listed)
    assert fitted.fit.timesteps == list(listed)
    np.testing.assert_allclose(fitted.sampler.table.t, np.log(listed) / 4, rtol=1e-12)
    assert fitted.sampler.initial_scale == pytest.approx(60 / np.hypot(60, 0.5))
    assert fitted.fit.errors["fitted"] < min(fitted.fit.errors["euler"], fitted.fit.errors["dpm++"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sigma, x0", "flow, velocity"])
def test_a_table_of_levels_with_noise_is_closer_to_the_teacher(kind):
    fitted = fit(LevelsEngine(kind), calls=5, eta=1.0)
    assert set(fitted.fit.errors) == {"ddim eta 1.0", "dpm++sde", "fitted"}
    assert fitted.fit.errors["fitted"] < 0.6 * min(fitted.fit.errors["ddim eta 1.0"], fitted.fit.errors["dpm++sde"])


def test_a_table_of_levels_is_written_and_read_again(tmp_path):
    engine = LevelsEngine("sigma, edm")
    fitted = fit(engine, calls=3)
    write_steps(tmp_path / "x.steps.json", fitted.sampler, engine.card)
    read = read_steps(tmp_path / "x.steps.json", engine.card)
    np.testing.assert_array_equal(np.stack(read.table), np.stack(fitted.sampler.table))
    assert read.initial_scale == fitted.sampler.initial_scale


@pytest.mark.parametrize(
    ("engine", "timesteps", "message"),
    [
        (MixtureEngine(), [900.5, 300], "whole timesteps"),
        (LevelsEngine("sigma, x0"), [90.0, 1.0], "lie in .0.002, 80"),
        (LevelsEngine("flow, velocity"), [0.2, 0.6], "descend"),
    ],
)
def test_timesteps_that_the_model_lacks_are_refused(engine, timesteps, message):
    with pytest.raises(ValueError, match=message):
        fit(engine, timesteps=timesteps)


def test_a_model_without_signal_at_its_last_timestep_is_fitted():
    betas = (*np.linspace(1e-4, 0.02, 999).tolist(), 1.0)
    fitted = fit(MixtureEngine(prediction="v", betas=betas, clip=CLIP), calls=5)
    assert np.isfinite(np.stack(fitted.sampler.table)).all()
    with pytest.raises(ValueError, match="start at an earlier timestep"):
        fit(MixtureEngine(betas=betas), calls=5)
    fit(MixtureEngine(betas=betas, clip=CLIP), timesteps=[998, 500, 100])


def test_the_fit_keeps_to_the_batch_which_changes_only_rounding():
    engine = MixtureEngine(clip=CLIP)
    one = fit(engine, calls=4, batch=24).sampler.table
    engine.largest = 0
    other = fit(engine, calls=4, batch=5).sampler.table
    assert engine.largest == 5
    for name in ("mean_from_x", "mean_from_x0", "mean_from_prev_x0"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4)


@pytest.mark.parametrize("asked", [{"calls": 4}, {"calls": 4, "eta": 0.5}, {"timesteps": [900, 500, 100]}])
def test_a_fit_makes_no_more_calls_than_promised_and_reports_each(asked):
    engine, stages = MixtureEngine(clip=CLIP), []
    tuning = Tuning(**FEW, **asked)
    tune(engine, tuning, RAN_ON, stages.append)
    assert len(stages) == engine.calls <= tuning.engine_calls
    assert set(stages) == {"teacher", "rows", "held-out samples"} | ({"timesteps"} if "calls" in asked else set())


def test_the_steps_file_says_how_a_table_was_fitted(tmp_path):
    engine = MixtureEngine(clip=CLIP)
    fitted = fit(engine, calls=3)
    write_steps(tmp_path / "x.steps.json", fitted.sampler, engine.card)
    words = read_steps(tmp_path / "x.steps.json", engine.card).sampler
    expected = ["sampler fitted", "steps 3", "seed 900", "samples 24", "held-out seed 901", "held-out samples 20"]
    expected += ["model " + "5" * 64, "precision fp32", "provider cpu", "teacher dpm++ ", "RMS error of fitted "]
    assert [part for part in expected if part not in words] == []
    assert "\n" not in words


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "either calls or timesteps"),
        ({"calls": 3, "timesteps": [9, 0]}, "either calls or timesteps"),
        ({"calls": 0}, "calls must be at least 1"),
        ({"calls": 3, "eta": 1.5}, "eta"),
        ({"calls": 3, "samples": 0}, "samples"),
        ({"calls": 3, "held_out": 0}, "samples"),
        ({"calls": 30}, "must be more than the table"),
        ({"calls": 3, "batch": 0}, "batch"),
        ({"calls": 3, "seed": -1}, "seed"),
        ({"timesteps": [5, 500]}, "descend"),
        ({"timesteps": [1000, 500]}, "descend"),
        ({"calls": 3, "label": [1]}, "unconditional"),
        ({"calls": 3, "guidance": 2.0}, "unconditional"),
    ],
)
def test_invalid_settings_are_refused_before_the_network_is_called(asked, message):
    engine = MixtureEngine()
    with pytest.raises(ValueError, match=message):
        fit(engine, **asked)
    assert engine.calls == 0


def test_output_that_is_not_finite_stops_the_fit():
    class Broken(MixtureEngine):
        def __call__(self, x, t, y=None, /):
            return np.full_like(super().__call__(x, t), np.nan)

    with pytest.raises(ddpm_rt.DdpmRtError, match="not finite"):
        fit(Broken(), calls=3)
