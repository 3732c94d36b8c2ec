"""Whole chains match the reference in torch, with the same noise."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_unet import tiny_unet

import ddpm_rt
from ddpm_export.onnx_export import weights_of_onnx
from ddpm_ref.checkpoint import weights_sha256
from ddpm_ref.diffusion import Diffusion, at_timesteps
from ddpm_ref.recipe import load_preset
from ddpm_ref.unet import UNet
from ddpm_rt.models import bundled_model
from ddpm_rt.noise import INITIAL_STEP, normal
from ddpm_rt.requests.request import Request

# Float32 sums in another order change the output by about 1e-6. A chain of a thousand steps multiplies this error by
# at most a hundred. A wrong coefficient or flag causes an error of at least 1e-2.
TOLERANCE = 2e-4
SEED = 5


@pytest.fixture(scope="module")
def bundled():
    """The bundled model in ONNX Runtime and in torch, with the weights of its file."""
    engine = ddpm_rt.open_denoiser()
    unet = UNet(load_preset("mnist").model).eval()
    weights, own = weights_of_onnx(bundled_model()), unet.state_dict()
    unet.load_state_dict({name: weights[name].reshape(own[name].shape) for name in own})
    assert weights_sha256(unet.state_dict()) == engine.card.provenance.weights_sha256
    return engine, lambda x, t: unet(x, t, torch.arange(len(x)) % 10)  # the labels of samples 0, 1, ...


def tape(card, samples):
    """The runtime's noise as tensors, by row."""
    size = int(np.prod(card.image_shape))
    return lambda row: torch.from_numpy(normal(SEED, samples, row, size).reshape(-1, *card.image_shape))


def largest_difference(engine, request, reference):
    """max |x - x_reference| over all elements and all steps."""
    steps = request.bind(engine.card).trajectory(engine, request.samples)
    differences = [float(np.abs(step.x - x.numpy()).max()) for step, x in zip(steps, reference, strict=True)]
    assert len(differences) == request.steps
    return max(differences)


@pytest.mark.slow
def test_a_thousand_steps_of_ddpm_match_the_reference(bundled):
    engine, unet = bundled
    card, request = engine.card, Request(sampler="ddpm", steps=1000, seed=SEED, count=1)
    draw = tape(card, request.samples)
    diffusion = Diffusion(np.array(card.betas), card.prediction)
    reference = diffusion.p_sample_loop(unet, draw(INITIAL_STEP), draw, variance=card.variance, clip=card.clip)
    assert largest_difference(engine, request, reference) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_fifty_steps_of_ddim_match_the_reference(bundled, eta):
    engine, unet = bundled
    card, request = engine.card, Request(sampler="ddim", steps=50, eta=eta, seed=SEED, count=2, batch=2)
    draw = tape(card, request.samples)
    timesteps = request.bind(card).table.t.tolist()
    diffusion = Diffusion(np.array(card.betas), card.prediction)
    reference = diffusion.ddim_sample_loop(unet, draw(INITIAL_STEP), draw, timesteps=timesteps, eta=eta, clip=card.clip)
    assert largest_difference(engine, request, reference) <= TOLERANCE


@pytest.mark.slow
def test_fifteen_steps_of_the_cifar10_unet_match_the_reference(photos):
    unet = tiny_unet(config=load_preset("cifar10").model)
    engine = ddpm_rt.open_denoiser(photos / "fp32.onnx")
    card, request = engine.card, Request(sampler="ddpm", steps=15, seed=SEED, count=1, batch=1)
    timesteps = request.bind(card).table.t.tolist()
    draw = tape(card, request.samples)
    reference = (
        Diffusion(np.array(card.betas), card.prediction)
        .respaced(timesteps)
        .p_sample_loop(at_timesteps(unet, timesteps), draw(INITIAL_STEP), draw, variance=card.variance, clip=card.clip)
    )
    assert largest_difference(engine, request, reference) <= TOLERANCE


@pytest.mark.slow
def test_the_comparison_detects_another_schedule(bundled):
    """The comparison detects betas that differ by a thousandth."""
    engine, unet = bundled
    card, request = engine.card, Request(sampler="ddpm", steps=1000, seed=SEED, count=1)
    other = Diffusion(np.array(card.betas) * 0.999, card.prediction)
    draw = tape(card, request.samples)
    reference = other.p_sample_loop(unet, draw(INITIAL_STEP), draw, variance=card.variance, clip=card.clip)
    steps = request.bind(engine.card).trajectory(engine, request.samples)
    first = [float(np.abs(step.x - x.numpy()).max()) for step, x, _ in zip(steps, reference, range(100))]  # noqa: B905
    assert max(first) > TOLERANCE


@pytest.mark.slow
def test_sample_40_is_the_same_in_any_batch():
    options = {"steps": 20, "seed": 11}
    alone = ddpm_rt.sample(first=40, count=1, **options)
    for batch in (1, 16):
        among = ddpm_rt.sample(first=32, count=16, batch=batch, **options)
        # The noise is the same to the bit; ONNX Runtime may sum in another order at another batch size.
        np.testing.assert_allclose(among[8], alone[0], rtol=0, atol=1e-4)


def test_the_bundled_model_matches_its_card(bundled):
    engine, _ = bundled
    recipe = load_preset("mnist")
    assert engine.card.image_shape == (1, 28, 28)
    np.testing.assert_array_equal(engine.card.betas, recipe.diffusion.betas)
    assert engine.card.prediction == recipe.diffusion.prediction
    assert bundled_model().stat().st_size <= 6_000_000
    assert dataclasses.asdict(engine.card.provenance)["parity"]["max_abs_error"] <= 1e-4
