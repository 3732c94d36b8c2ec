"""Dialect `diffusers` against diffusers' own schedulers."""

import itertools

import numpy as np
import pytest
from diffusers_chain import (
    BETAS,
    CLIPS,
    FEW,
    MANY,
    PREDICTIONS,
    SAMPLES,
    SHAPE,
    chain,
    compare,
    covered,
    ours,
    settings,
    started,
    tape,
    toy,
)
from gaussian_model import gaussian_card

from ddpm_rt import trajectory
from ddpm_rt.requests.sampler_options import SamplerOptions

STEPS = [pytest.param(steps, marks=[pytest.mark.slow] * (steps > 7)) for steps in FEW + MANY]
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*__array__ implementation:DeprecationWarning"
)  # a warning of diffusers


@pytest.fixture(scope="module", autouse=True)
def count(pytestconfig):
    yield
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{covered['settings']} settings of diffusers covered, worst {covered['worst']:.1e} of the tolerance")


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("schedule", BETAS)
def test_ddpm_equals_that_of_diffusers(schedule, steps):
    from diffusers import DDPMScheduler

    z = tape(steps)
    variances = ["fixed_small", "fixed_small_log", "fixed_large", "learned_range"]
    for index, (prediction, spacing, clip) in enumerate(settings(schedule, steps)):
        for variance in variances if steps in FEW else [variances[(index + MANY.index(steps)) % 4]]:
            scheduler = DDPMScheduler(
                beta_schedule=schedule,
                prediction_type=PREDICTIONS[prediction],
                timestep_spacing=spacing,
                variance_type=variance,
                clip_sample=clip is not None,
            )
            scheduler.set_timesteps(steps)
            kind = variance.removesuffix("_log")
            x = ours(BETAS[schedule], "ddpm", steps, spacing, prediction, z, clip=clip, variance=kind)
            network = toy(np.cumprod(1 - BETAS[schedule]), prediction, variance == "learned_range")
            compare(x, chain(scheduler, network, z))


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm++"])
def test_the_options_of_users_compile_the_compared_tables(name, spacing):
    """`--dialect diffusers` with a card alone equals the three schedulers with the card's settings."""
    import diffusers

    betas, z = BETAS["linear"], tape(7)
    kind = {"ddpm": "DDPMScheduler", "ddim": "DDIMScheduler", "dpm++": "DPMSolverMultistepScheduler"}[name]
    config = {"variance_type": "fixed_large"} if name == "ddpm" else {}
    scheduler = getattr(diffusers, kind)(timestep_spacing=spacing, **config)
    scheduler.set_timesteps(7)
    card = gaussian_card(image_shape=SHAPE, clip=(-1.0, 1.0), spacing=spacing, variance="fixed_large")
    plan = SamplerOptions(sampler=name, steps=7, dialect="diffusers").compile(card)
    network = toy(np.cumprod(1 - betas), "eps")
    steps = trajectory(
        network,
        plan.table,
        SHAPE,
        seed=0,
        samples=range(SAMPLES),
        clip=plan.clip,
        noise=lambda row: z[(row + 1) % 2**32],
    )
    x = np.stack([step.x.copy() for step in steps])
    compare((x, np.zeros(7)), chain(scheduler, network, z))


def ddim_scheduler(schedule, prediction, spacing, clip, **config):
    from diffusers import DDIMScheduler

    kind = PREDICTIONS[prediction]
    common = {"prediction_type": kind, "timestep_spacing": spacing, "clip_sample": clip is not None, **config}
    if schedule == "sigmoid":  # only DDPMScheduler has this schedule by name
        return DDIMScheduler(trained_betas=BETAS[schedule], **common)
    return DDIMScheduler(beta_schedule=schedule, **common)


def goes_to_the_next(scheduler):
    """Whether DDIMScheduler's t - T // steps is the next timestep."""
    t = scheduler.timesteps.tolist()
    stride = 1000 // len(t)
    return all(here - stride == there for here, there in itertools.pairwise(t)) and t[-1] - stride < 0


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("schedule", BETAS)
def test_ddim_equals_that_of_diffusers_unless_diffusers_ends_at_the_wrong_noise_level(schedule, steps):
    z = tape(steps)
    variants = list(itertools.product([0.0, 0.5], [False, True]))
    for index, (prediction, spacing, clip) in enumerate(settings(schedule, steps)):
        for eta, again in variants if steps in FEW else [variants[index % 4]]:
            scheduler = ddim_scheduler(schedule, prediction, spacing, clip)
            scheduler.set_timesteps(steps)
            if spacing == "linspace" and not goes_to_the_next(scheduler):
                continue  # the test below
            x = ours(BETAS[schedule], "ddim", steps, spacing, prediction, z, clip=clip, eta=eta, raw_eps=not again)
            network = toy(np.cumprod(1 - BETAS[schedule]), prediction)
            compare(x, chain(scheduler, network, z, eta=eta, use_clipped_model_output=again))


@pytest.mark.parametrize("steps", [2, 7, 20, 50])
def test_ddim_with_linspace_leads_to_the_next_timestep(steps):
    """DDIMScheduler uses t - T // steps here (diffusers issue 12633). diffusers' Euler, which is DDIM, does not."""
    from diffusers import EulerDiscreteScheduler

    betas, z = BETAS["linear"], tape(steps)
    x = ours(betas, "ddim", steps, "linspace", "eps", z)
    wrong = ddim_scheduler("linear", "eps", "linspace", None)
    wrong.set_timesteps(steps)
    network = toy(np.cumprod(1 - betas), "eps")
    assert np.abs(x[0] - chain(wrong, network, z)[0]).max() > 1e-3
    right = EulerDiscreteScheduler(timestep_spacing="linspace")
    right.set_timesteps(timesteps=wrong.timesteps.tolist())
    compare(ours(betas, "ddim", steps, "linspace", "eps", z, start=started(right, z)), chain(right, network, z))


@pytest.mark.slow
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("schedule", BETAS)
@pytest.mark.parametrize(("name", "algorithm"), [("dpm++", "dpmsolver++"), ("dpm++sde", "sde-dpmsolver++")])
def test_dpm_solver_equals_that_of_diffusers(name, algorithm, schedule, steps):
    from diffusers import DPMSolverMultistepScheduler

    z, betas = tape(steps), BETAS[schedule]
    for prediction, spacing, clip in settings(schedule, steps):
        scheduler = DPMSolverMultistepScheduler(
            trained_betas=betas,
            prediction_type=PREDICTIONS[prediction],
            timestep_spacing=spacing,
            algorithm_type=algorithm,
        )
        scheduler.set_timesteps(steps)
        if steps == 1000 and spacing != "trailing":  # diffusers divides by a step of 0 here
            with pytest.raises(ValueError, match="descend"):
                ours(betas, name, steps, spacing, prediction, z)
            continue
        x = ours(betas, name, steps, spacing, prediction, z, clip=clip)
        # Its h is the difference of two float32 near -5, with an error of 5e-7 in 0.01 for a thousand steps.
        tolerance = 1e-4 if name == "dpm++sde" and steps in MANY else 1e-5
        compare(x, chain(scheduler, toy(np.cumprod(1 - betas), prediction), z), tolerance)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("schedule", BETAS)
@pytest.mark.parametrize("name", ["euler", "euler-a"])
def test_euler_equals_that_of_diffusers_at_integer_timesteps(name, schedule, steps):
    from diffusers import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler

    z, betas = tape(steps), BETAS[schedule]
    for prediction, spacing, clip in settings(schedule, steps):
        if (name, prediction) == ("euler-a", "x0"):
            continue  # not implemented there
        kind = EulerDiscreteScheduler if name == "euler" else EulerAncestralDiscreteScheduler
        scheduler = kind(trained_betas=betas, prediction_type=PREDICTIONS[prediction], timestep_spacing=spacing)
        scheduler.set_timesteps(steps)
        if (scheduler.timesteps % 1).any():
            continue  # diffusers' linspace is not rounded and calls the network between integers
        x = ours(betas, name, steps, spacing, prediction, z, clip=clip, start=started(scheduler, z))
        compare(x, chain(scheduler, toy(np.cumprod(1 - betas), prediction), z))


@pytest.mark.parametrize("steps", STEPS[: len(FEW)])
@pytest.mark.parametrize("schedule", BETAS)
def test_lcm_equals_that_of_diffusers_at_its_timesteps(schedule, steps):
    from diffusers import LCMScheduler

    z, betas = tape(steps), BETAS[schedule]
    for prediction, clip in itertools.product(PREDICTIONS, CLIPS):
        scheduler = LCMScheduler(
            trained_betas=betas, prediction_type=PREDICTIONS[prediction], clip_sample=clip is not None
        )
        scheduler.set_timesteps(steps)
        x = ours(betas, "lcm", scheduler.timesteps.tolist(), None, prediction, z, clip=clip)
        compare(x, chain(scheduler, toy(np.cumprod(1 - betas), prediction), z))


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm++", "dpm++sde", "euler", "euler-a"])
@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_zero_terminal_snr_equals_that_of_diffusers(name, prediction):
    import diffusers

    kinds = {
        "ddpm": ("DDPMScheduler", {"clip_sample": False}),
        "ddim": ("DDIMScheduler", {"clip_sample": False}),
        "dpm++": ("DPMSolverMultistepScheduler", {}),
        "dpm++sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        "euler": ("EulerDiscreteScheduler", {}),
        "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    }
    if (name, prediction) == ("euler-a", "x0"):
        prediction = "v"  # x0 is not implemented there
    kind, config = kinds[name]
    z = tape(20)
    common = {"prediction_type": PREDICTIONS[prediction], "timestep_spacing": "trailing"}
    scheduler = getattr(diffusers, kind)(rescale_betas_zero_snr=True, **common, **config)
    scheduler.set_timesteps(20)
    betas = scheduler.betas.numpy().astype(np.float64)
    assert betas[-1] == 1.0
    start = started(scheduler, z) if name.startswith("euler") else None
    # In Euler x / sqrt(alpha_bar) starts at 4096 z, whose rounding is 2e-4 of x0; see `compare`.
    compare(
        ours(betas, name, 20, "trailing", prediction, z, start=start),
        chain(scheduler, toy(np.cumprod(1 - betas), prediction), z),
    )


def test_a_table_that_is_nan_in_diffusers_is_finite_here():
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(variance_type="fixed_large_log", clip_sample=False)
    scheduler.set_timesteps(7)
    z = tape(7)
    network = toy(np.cumprod(1 - BETAS["linear"]), "eps")
    assert np.isnan(chain(scheduler, network, z)[0]).any()  # if this fails, remove the note from the docs
    assert np.isfinite(ours(BETAS["linear"], "ddpm", 7, "leading", "eps", z, variance="fixed_large")[0]).all()
