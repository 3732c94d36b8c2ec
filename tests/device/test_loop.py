"""The device loop on a stand-in for the driver draws images that are bit-equal to those of the host loop."""

from itertools import pairwise

import numpy as np
import pytest
from device_loops import MODES, Gpu, Host, final
from gaussian_model import conditional_card, gaussian_card
from toy_engine import eps_of_gaussian, eps_of_label, with_spread

from ddpm_rt import DdpmRtError, Request
from ddpm_rt.device.driver import open_gpu
from ddpm_rt.engine import Watch
from ddpm_rt.requests.edit import Edit
from ddpm_rt.requests.inversion import FromNoise
from ddpm_rt.samplers import samplers_of

pytest.importorskip("cuda.core")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampler", samplers_of("betas"))
def test_the_images_are_bit_equal_to_those_of_the_host_loop(stand_in, device, mode, sampler):
    request = Request(sampler=sampler, steps=35, seed=7, first=40, count=5, batch=4)
    gpu = Gpu(stand_in, device, mode=mode)
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))
    gpu.close()
    assert not stand_in.live()


# Variants of networks and requests, each with one difference from the simplest case.
CASES = {
    "an image of a size that four does not divide": (eps_of_gaussian, gaussian_card(image_shape=(1, 3, 7)), {}, {}),
    "a clip": (eps_of_gaussian, gaussian_card(clip=(-0.3, 0.3)), {"sampler": "ddpm"}, {}),
    "t as int32": (eps_of_gaussian, gaussian_card(), {}, {"time_type": np.int32}),
    "t as float32": (eps_of_gaussian, gaussian_card(), {}, {"time_type": np.float32}),
    "one t for all": (eps_of_gaussian, gaussian_card(), {}, {"one_time": True}),
    "a learned variance": (
        with_spread, gaussian_card(variance="learned_range"), {"sampler": "ddpm"}, {},
    ),
    "labels": (eps_of_label, conditional_card(), {"label": [0, 2, 1]}, {}),
    "guidance": (eps_of_label, conditional_card(), {"label": [2, 0], "guidance": 3.0}, {}),
    "guidance with a learned variance": (
        with_spread, conditional_card(variance="learned_range"),
        {"label": [1], "guidance": 2.5, "sampler": "ddpm"}, {},
    ),
    "guidance where the engine has no such batch": (
        eps_of_label, conditional_card(), {"label": [1, 0], "guidance": 2.0}, {"batches": (3, 7)},
    ),
    "a batch larger than the samples": (eps_of_gaussian, gaussian_card(), {}, {"batches": (8,)}),
    "the last sample numbers": (eps_of_gaussian, gaussian_card(), {"first": 2**64 - 5, "seed": 2**64 - 1}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_variants_are_bit_equal_to_the_host_loop(stand_in, device, case):
    function, card, asked, engine = CASES[case]
    request = Request(**{"steps": 9, "count": 5, "batch": 4} | asked)
    gpu = Gpu(stand_in, device, function, card=card, **engine)
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host(function, card)))


def test_a_chain_may_start_from_an_image_or_from_noise(stand_in, device):
    images = np.random.default_rng(0).normal(size=(3, 1, 4, 6)).astype(np.float32)
    gpu, asked = Gpu(stand_in, device), {"steps": 9, "count": 3, "batch": 2, "sampler": "ddpm"}
    for request in (Edit(images=images, strength=0.4, **asked), FromNoise(noise=images, **asked)):
        np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))


@pytest.mark.slow
@pytest.mark.parametrize("streams", [1, 2, 3])
def test_batches_have_the_engine_s_size_and_come_in_order(stand_in, device, streams):
    gpu = Gpu(stand_in, device, batches=(1, 4), streams=streams)
    request = Request(steps=40, count=10, batch=16)
    images, batches = final(request, gpu)
    assert batches == [4, 4, 2]
    np.testing.assert_array_equal(images, request.drawn(Host()))


def test_two_streams_have_work_at_the_same_time(stand_in, device):
    gpu = Gpu(stand_in, device, batches=(2,), streams=2)
    final(Request(steps=40, count=8, batch=2), gpu)
    launches = [call.stream for call in stand_in.records() if call.name == "cuGraphLaunch"]
    assert len(set(launches)) == 2
    changes = sum(before != after for before, after in pairwise(launches))
    assert changes >= 4  # the streams alternate every 16 steps; the chains do not run one after the other


def test_frames_are_x_and_x0_after_their_rows(stand_in, device):
    request, seen = Request(sampler="dpm++", steps=9, count=6, batch=3), []
    gpu = Gpu(stand_in, device)
    final(request, gpu, Watch(frame=lambda step: seen.append(copied(step)), frames={0, 3, 4, 5, 8}))
    known = []
    bound = request.bind(Host().card)
    for samples in bound.batches(request.samples):
        known += [copied(step) for step in bound.trajectory(Host(), samples) if step.row in {0, 3, 4, 5, 8}]
    assert [(step.row, step.t) for step in seen] == [(step.row, step.t) for step in known]
    for ours, theirs in zip(seen, known, strict=True):
        np.testing.assert_array_equal(ours.x, theirs.x)
        np.testing.assert_array_equal(ours.x0, theirs.x0)


def copied(step):
    return step._replace(x=step.x.copy(), x0=step.x0.copy())


def test_a_smaller_last_batch_uses_the_chain_of_the_full_batches(stand_in, device):
    gpu = Gpu(stand_in, device, batches=(8,))
    final(Request(steps=5, count=19, batch=8), gpu)
    assert stand_in.calls().count("cuGraphInstantiate") == 1


def test_the_driver_gives_the_number_of_gpus(stand_in):
    stand_in.settings.devices = 0
    with pytest.raises(DdpmRtError, match="the driver finds none"):
        open_gpu(0)
    stand_in.settings.devices = 1
    with pytest.raises(DdpmRtError, match="there is no GPU 1: the only one is 0"):
        open_gpu(1)
    with pytest.raises(ValueError, match="at least 0"):
        open_gpu(-1)
