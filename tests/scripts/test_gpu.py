"""Tests that need a GPU: `pytest -m gpu`. `scripts/gpu_check.py` also measures times."""

import pytest
from cuda_stand_in import StandIn
from gpu import memory, modes, noise, providers, step, unet
from gpu.check import Ask, attempt
from gpu.toy import ToyEngine, toy_card

from ddpm_rt import DdpmRtError, open_denoiser
from ddpm_rt.device.driver import open_gpu
from ddpm_rt.requests.request import Request

pytest.importorskip("cuda.core")
pytestmark = pytest.mark.gpu

DDPM = Request(sampler="ddpm", steps=20, count=4, batch=4, seed=1)
CASES = {one.name: one for one in step.cases()}


@pytest.fixture
def gpu():
    """A real GPU, not the stand-in of other tests."""
    if StandIn.loaded:
        pytest.skip("this process has a stand-in for the CUDA driver, because this machine has none")
    try:
        return open_gpu()
    except DdpmRtError as error:
        pytest.skip(str(error))


def holds(run):
    """Require that a check holds, or skip the test if the machine lacks something."""
    check = attempt("it", run)
    if check.state == "not run":
        pytest.skip(check.text)
    assert check.state != "FAIL", check.text
    return check


def all_hold(checks):
    """Require that all checks hold or cannot run here, and that at least one has run."""
    checks = list(checks)
    assert {check.name: check.text for check in checks if check.state == "FAIL"} == {}
    if all(check.state == "not run" for check in checks):
        pytest.skip("; ".join(check.text for check in checks))


def test_noise_is_bit_equal_to_numpy(gpu):
    assert noise.initial_noise(gpu, (1, 1, 1 << 20), 7, (0, 1, 40, 41)) == 0


@pytest.mark.parametrize("seed", noise.EDGES)
def test_noise_is_bit_equal_to_numpy_at_the_edges_of_the_counter(gpu, seed):
    assert noise.initial_noise(gpu, (3, 5, 7), seed, noise.EDGES) == 0
    assert [noise.step_noise(gpu, (3, 5, 7), seed, sample) for sample in noise.EDGES] == [0] * len(noise.EDGES)


@pytest.mark.parametrize("name", CASES)
def test_the_step_is_bit_equal_to_numpy(gpu, name):
    holds(lambda: step.compare(gpu, CASES[name]))


@pytest.mark.parametrize("mode", modes.MODES)
@pytest.mark.parametrize("streams", [1, 3])
def test_every_mode_draws_numpys_images(gpu, mode, streams):
    request = Request(sampler="ddpm", steps=100, count=11, batch=4)
    holds(lambda: modes.in_mode(gpu, request, (3, 32, 32), mode, streams))


@pytest.mark.parametrize("mode", modes.MODES)
def test_every_mode_shows_numpys_steps(gpu, mode):
    holds(lambda: modes.watched(gpu, Request(sampler="dpm++", steps=40, count=2), mode))


@pytest.mark.parametrize("mode", modes.MODES)
def test_every_mode_ends_at_an_output_that_is_not_finite(gpu, mode):
    holds(lambda: modes.broken(gpu, mode))


@pytest.mark.parametrize("mode", modes.MODES)
def test_ctrl_c_gives_the_memory_back(gpu, mode):
    holds(lambda: memory.interrupted(gpu, ToyEngine(gpu, toy_card((3, 32, 32))), 100, mode))


def test_a_long_run_does_not_grow(gpu):
    holds(lambda: memory.long_run(gpu, ToyEngine(gpu, toy_card((3, 32, 32))), 200, 4))


def test_every_step_of_the_bundled_model_matches_the_cpu(gpu):
    holds(lambda: unet.parity(gpu, unet.engine_of("bundled"), open_denoiser(), DDPM))


@pytest.mark.parametrize("name", unet.MODELS)
@pytest.mark.parametrize("mode", ["replay", "chunks"])
def test_a_graph_of_a_network_draws_the_images_of_its_launches(gpu, name, mode):
    holds(lambda: unet.same_in(gpu, name, DDPM, mode))


@pytest.mark.parametrize("name", unet.MODELS)
def test_half_precision_ends_close_to_single_precision(gpu, name):
    request = Request(sampler="ddim", steps=50, count=16, batch=16, seed=1)
    holds(lambda: unet.psnr(gpu, name, "float16", request))


@pytest.mark.parametrize("part", [providers.ort_checks, providers.tensorrt_checks])
def test_the_package_s_engines_draw_the_images_of_the_cpu(gpu, part):
    all_hold(part(Ask(gpu, quick=True)))
