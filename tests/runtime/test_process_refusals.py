"""Requests and cards that a process of noise levels or a flow does not allow."""

import json

import pytest
from gaussian_model import gaussian_card
from other_kinds import SEQUENCE, SIGMAS, flow_card, images, sigma_card

from ddpm_rt import DdpmRtError, ModelCard, Request
from ddpm_rt.requests.inversion import Inversion
from ddpm_rt.samplers.continuous import FlowProcess, SigmaProcess


@pytest.mark.parametrize(
    ("request_of", "card", "message"),
    [
        (lambda: Request(sampler="ddpm"), sigma_card(), "ddpm cannot sample a process of sigma; these can: ddim"),
        (lambda: Request(sampler="lcm"), flow_card(), "lcm cannot sample a process of flow"),
        (lambda: Request(sampler="consistency"), gaussian_card(), "consistency cannot sample a process of betas"),
        (lambda: Request(spacing="linspace"), sigma_card(), "karras or logsnr"),
        (lambda: Request(spacing="karras"), flow_card(), "trailing"),
        (lambda: Request(dialect="diffusers"), sigma_card(), "dialect diffusers"),
        (lambda: Inversion(noise=images(1, SEQUENCE), count=1, timesteps=[90.0]), sigma_card(), "lie in .0.002, 80"),
    ],
)
def test_an_unsupported_request_is_refused(request_of, card, message):
    with pytest.raises(ValueError, match=message):
        request_of().bind(card)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process": SIGMAS, "prediction": "velocity"}, "prediction"),
        ({"process": SIGMAS, "prediction": "edm"}, "sigma_data"),
        ({"process": SIGMAS, "spacing": "trailing"}, "spacing"),
        ({"process": SIGMAS, "betas": (0.1,)}, "betas"),
        ({"process": SIGMAS, "variance": "learned"}, "variance"),
        ({"process": FlowProcess(), "prediction": "eps", "spacing": "trailing"}, "prediction"),
        ({"image_shape": ()}, "image_shape"),
        ({"image_shape": (1, 1, 1, 1, 1)}, "image_shape"),
    ],
)
def test_a_card_with_contradictory_facts_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        sigma_card(**changes)


@pytest.mark.parametrize("numbers", [(80.0, 0.002), (0.0, 1.0), (1e-6, 1.0), (1.0, 1e7)])
def test_invalid_ranges_of_noise_levels_are_refused(numbers):
    with pytest.raises(ValueError, match="sigmas must ascend"):
        SigmaProcess(*numbers)


def test_errors_name_the_wrong_key_of_a_card_of_format_2():
    raw = json.loads(sigma_card().to_json())
    for change, message in (
        ({"process": {"kind": "heat"}}, "process.kind must be betas or sigma or flow"),
        ({"process": raw["process"] | {"rho": 7}}, "unknown key 'process.rho'"),
        ({"process": {k: v for k, v in raw["process"].items() if k != "time"}}, "missing key 'process.time'"),
        ({"process": raw["process"] | {"sigma_min": "0"}}, "wrong"),
        ({"process": raw["process"] | {"sigma_min": True}}, "process.sigma_min must not be true or false"),
        ({"process": raw["process"] | {"time_scale": True}}, "process.time_scale must not be true or false"),
        ({"inputs": {"a": {"dtype": "float16", "shape": [], "role": "condition"}}}, "dtype"),
        ({"inputs": {"a": {"dtype": "float32", "shape": [0], "role": "condition"}}}, "shape"),
        ({"inputs": {"x": {"dtype": "float32", "shape": [], "role": "condition"}}}, "names that no other tensor has"),
        ({"inputs": {"a": {"dtype": "float32", "shape": [2], "role": "prev_x0"}}}, "prev_x0"),
        ({"space": {"kind": "pixels", "scale": 1.0}}, "unknown key 'space.scale'"),
        ({"space": {"kind": "latents", "scale": 0.0, "shift": 0.0, "decoder": None}}, "scale"),
        ({"space": {"kind": "latents", "scale": 1.0, "shift": 0.0, "decoder": "../x"}}, "decoder"),
        ({"betas": [0.1]}, "unknown key 'betas'"),
    ):
        with pytest.raises(DdpmRtError, match=message):
            ModelCard.from_json(json.dumps(raw | change))
    for key in raw:
        with pytest.raises(DdpmRtError, match=key):
            ModelCard.from_json(json.dumps({name: value for name, value in raw.items() if name != key}))
