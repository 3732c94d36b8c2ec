"""The device loop with named inputs, self-conditioning, noise levels and shapes that are no images: the host's bits."""

import numpy as np
import pytest
from device_loops import MODES, Gpu, Host
from gaussian_model import gaussian_card
from other_kinds import (
    SEQUENCE,
    flow_card,
    images,
    mixed,
    mixed_card,
    sigma_card,
    velocity_of_flow,
    x0_of_sigma,
)
from toy_engine import eps_of_gaussian

from ddpm_rt import Request
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.requests.edit import Edit
from ddpm_rt.samplers import samplers_of

pytest.importorskip("cuda.core")

FLOAT_TIME = {"time_type": np.float32}
GIVEN = {"image": images(3, (1, 4, 6)), "number": np.arange(4)}


def shaped(x, t, y=None):
    return np.float32(0.3) * x


LONG = (2, 256)


def resolved(x, t, y=None, inputs=None):
    return np.float32(0.3) * x - np.float32(0.5) * inputs["low_res"]


CASES = {
    "inputs and self-conditioning": (mixed, mixed_card(), {"inputs": GIVEN}, {}),
    "the same with guidance": (
        mixed, mixed_card(), {"inputs": GIVEN, "null_inputs": {"image": 0.0}, "guidance": 2.5, "sampler": "dpm++"}, {},
    ),
    "the same with a batch larger than the samples": (
        mixed, mixed_card(), {"inputs": GIVEN, "null_inputs": {"number": 7}, "guidance": 2.5}, {"batches": (3, 16)},
    ),
    "a flow": (velocity_of_flow, flow_card(), {}, FLOAT_TIME),
    "one number": (shaped, gaussian_card(image_shape=(1,)), {}, {}),
    "a volume": (shaped, gaussian_card(image_shape=(1, 32, 32, 32)), {"sampler": "ddpm"}, {}),
    "super-resolution of sequences": (
        resolved, gaussian_card(image_shape=LONG, inputs={"low_res": InputFacts("float32", LONG)}),
        {"inputs": {"low_res": images(3, LONG)}, "sampler": "ddpm"}, {},
    ),
    "noise levels with a condition": (
        x0_of_sigma, sigma_card(inputs={"shift": InputFacts("float32", ())}), {"inputs": {"shift": [0.1, -0.2]}},
        FLOAT_TIME,
    ),
    "noise levels from images": (
        x0_of_sigma, sigma_card(), {"images": images(1, SEQUENCE), "strength": 0.6}, FLOAT_TIME,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_device_loop_gives_the_bits_of_the_host_loop(stand_in, device, case):
    function, card, asked, engine = CASES[case]
    kind = Edit if "images" in asked else Request
    request = kind(**{"steps": 6, "count": 5, "batch": 4, "first": 3} | asked)
    gpu = Gpu(stand_in, device, function, card=card, **engine)
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host(function, card)))
    gpu.close()
    assert not stand_in.live()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampler", samplers_of("sigma"))
def test_every_sampler_of_noise_levels_in_every_mode(stand_in, device, mode, sampler):
    request = Request(sampler=sampler, steps=5, count=3, batch=2)
    gpu = Gpu(stand_in, device, x0_of_sigma, card=sigma_card(), mode=mode, **FLOAT_TIME)
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host(x0_of_sigma, sigma_card())))
    gpu.close()


def test_a_fractional_timestep_reaches_a_network_that_takes_float32(stand_in, device):
    def network(x, t, y=None):
        return eps_of_gaussian(x, np.rint(t).astype(np.int64))

    card = gaussian_card(spacing="karras")
    request = Request(sampler="dpm++", steps=4, count=1)
    gpu = Gpu(stand_in, device, network, card=card, **FLOAT_TIME)
    found = request.drawn(gpu)
    np.testing.assert_array_equal(found, request.drawn(Host(network, card)))
    table = request.bind(card).table
    assert any(t != int(t) for t in table.t)
    gpu.close()
