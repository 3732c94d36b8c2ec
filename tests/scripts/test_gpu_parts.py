"""The parts of `scripts/gpu_check.py` on a stand-in for a GPU."""

import numpy as np
import pytest
import torch
from gpu import contestants, fitted, int8, memory, modes, noise, providers, race, rates, sanitizer, step, timing, unet
from gpu.check import Ask, held
from gpu.models import load_model
from gpu.torch_engine import TorchEngine, TorchNetwork
from gpu.toy import ToyEngine, toy_card
from toy_kernel import register_toy

from ddpm_rt import DdpmRtError, open_denoiser
from ddpm_rt.artifacts.fitted_tables import embed
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.request import Request
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.tune import Tuning

DDPM = Request(sampler="ddpm", steps=4, count=2, batch=2)


@pytest.fixture
def device(stand_in, device):
    """With the toy network in NumPy."""
    register_toy(stand_in)
    return device


@pytest.fixture
def torch_on_host(stand_in, monkeypatch):
    """`engine_of` for the bundled model, which torch runs on the CPU in the order of the device's stream."""

    def on_stream(stream, run):
        assert stand_in.enqueue(stream, run, "torch") == 0

    def engine_of(name, dtype="float32", *, compiled=False):
        module, card = load_model("bundled")
        return TorchEngine(module, card, place="cpu", dtype=getattr(torch, dtype), on_stream=on_stream)

    for module in (unet, memory, contestants, fitted):
        monkeypatch.setattr(module, "engine_of", engine_of)
    return engine_of


def states(checks):
    return {check.state for check in checks}


# The stand-in tests the loop, its buffers and graphs, and the parts themselves.


def test_noise_of_the_kernels_is_bit_equal_to_numpy(device):
    assert noise.initial_noise(device, (3, 5, 7), 7, (0, 1, 2**64 - 1)) == 0
    assert noise.step_noise(device, (1, 3, 3), 2**64 - 1, 2**32) == 0


def test_noise_that_differs_is_counted(device, monkeypatch):
    normal = noise.noise.normal
    monkeypatch.setattr(noise.noise, "normal", lambda seed, *more: normal(seed + 1, *more))
    assert noise.initial_noise(device, (1, 2, 2), 7, (0,)) == 4


@pytest.mark.slow
def test_the_step_is_bit_equal_to_numpy_for_all_kinds_of_tables(device):
    few = list(step.cases())[::2] + list(step.cases())[-19:]
    found = {one.name: step.compare(device, one) for one in few}
    assert {name: outcome.text for name, outcome in found.items() if outcome.state != "ok"} == {}


def test_cases_cover_every_column_of_a_table():
    tables = [one.request.bind(one.card).table for one in step.cases()]
    assert all(any(np.any(getattr(table, column)) for table in tables) for column in tables[0]._fields)


def test_a_wrong_step_is_named(device, monkeypatch):
    network = step.ToyNetwork
    monkeypatch.setattr(step, "ToyNetwork", lambda card: off_below(network(card), 571))
    outcome = step.compare(device, step.case("ddim", {"steps": 7}))
    assert outcome.state == "FAIL"
    assert outcome.figures["row"] == 3  # of timesteps 999, 856, 713, 570


def off_below(network, t):
    def run(x, times, y=None):
        out = network(x, times, y)
        return out + np.float32(1e-3) if times[0] < t else out

    run.card = network.card
    return run


@pytest.mark.slow
@pytest.mark.parametrize("mode", modes.MODES)
def test_a_mode_draws_numpys_images_and_ends_at_nan(device, mode):
    request = Request(sampler="ddpm", steps=40, count=3, batch=2)
    assert modes.in_mode(device, request, (1, 5, 5), mode, streams=2).state == "ok"
    assert modes.watched(device, Request(sampler="dpm++", steps=20, count=2), mode).state == "ok"
    assert modes.broken(device, mode).state == "ok"


def test_the_step_alone_is_timed(device, monkeypatch):
    monkeypatch.setattr(timing, "UNROLLED", 2)
    monkeypatch.setattr(timing, "LAUNCHES", 1)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    checks = list(timing.checks(Ask(device, batches=(1,))))
    assert [check.name for check in checks if "history" not in check.name] == [
        "the step alone, MNIST, batch 1",
        "the step alone, CIFAR-10, batch 1",
    ]
    assert all(check.figures["gpu_us"] > 0 for check in checks)


@pytest.mark.slow
def test_a_long_run_and_ctrl_c_free_all_memory(device, stand_in):
    engine = ToyEngine(device, toy_card())
    assert memory.long_run(device, engine, 3, 3).figures["growth"] == 0
    for mode in modes.MODES:
        assert memory.interrupted(device, engine, 10, mode, times=1).figures["growth"] == 0


@pytest.mark.slow
def test_a_run_that_grows_is_seen(device, monkeypatch):
    levels = iter(range(0, 100 * memory.MIB, 10 * memory.MIB))
    monkeypatch.setattr(memory, "used", lambda device: next(levels))
    assert memory.long_run(device, ToyEngine(device, toy_card()), 3, 3).state == "FAIL"


@pytest.mark.slow
def test_the_run_under_the_sanitizer_passes(device):
    assert states(sanitizer.sanitized(Ask(device))) == {"ok"}


def test_chains_of_a_torch_module_match_onnx_runtime(device, torch_on_host):
    engine = torch_on_host("bundled")
    assert unet.parity(device, engine, open_denoiser(), DDPM).state == "ok"
    assert unet.parity(device, engine, TorchNetwork(engine), DDPM).figures["worst"] == 0.0


@pytest.mark.slow
def test_a_torch_module_is_replayed_and_looped(device, torch_on_host):
    assert unet.same_in(device, "bundled", DDPM, "replay").state == "ok"
    answer = unet.in_while(device, "bundled", "float32", DDPM)
    assert (answer.state, answer.figures) == ("noted", {"accepted": 1})


def test_half_precision_differs_from_single_precision(device, torch_on_host):
    outcome = unet.psnr(device, "bundled", "bfloat16", DDPM)
    assert outcome.state == "noted"
    assert 15 < outcome.figures["psnr"] < 80  # 8 bits of mantissa, over four steps


def test_an_engine_that_refuses_a_while_graph_is_an_answer(device, torch_on_host, monkeypatch):
    def images(device, engine, request, mode="replay"):
        raise DdpmRtError("the GPU refused: CUDA_ERROR_NOT_SUPPORTED")

    monkeypatch.setattr(unet, "images", images)
    outcome = unet.in_while(device, "bundled", "float32", DDPM)
    assert (outcome.state, outcome.text) == ("noted", "no: the GPU refused: CUDA_ERROR_NOT_SUPPORTED")


@pytest.mark.slow
def test_every_available_contestant_runs_the_race(device, torch_on_host, monkeypatch):
    monkeypatch.setattr(contestants, "steps_of", lambda batch, quick: 3)
    for name, value in {"FEW": 2, "PLACE": "cpu", "HALF": "float32"}.items():
        monkeypatch.setattr(contestants, name, value)
    monkeypatch.setattr(contestants, "torch_with_cuda", lambda: torch)
    monkeypatch.setattr(providers, "PROVIDER", "CPUExecutionProvider")

    def nobody(*given):
        raise ValueError("did not come")

    def breaks_down(*given):
        laps = iter([None, None])
        return contestants.Entry(lambda seed: next(laps), 1, "")

    field = {**race.TIMES, "nobody": nobody, "breaks down": breaks_down}
    finished = race.race(device, "bundled", 2, field, quick=True)
    there = [check.figures["who"] for check in finished.checks if check.state == "noted"]
    assert there == [race.BARE, race.OURS, race.EAGER, race.ORT]
    assert [check.name for check in finished.checks if check.state == "FAIL"] == [
        "bundled, batch 2: nobody",
        "bundled, batch 2: breaks down",
    ]
    assert finished.ratio > 0
    compared = list(race.compare("bundled, batch 2", finished.ms, race.EAGER, 5.0, is_aim=False))
    assert compared[0].figures["times"] == finished.ms[race.EAGER] / finished.ms[race.OURS]


@pytest.mark.slow
def test_the_fitted_tables_of_the_bundled_model_run_and_one_is_fitted(device, torch_on_host, monkeypatch, tmp_path):
    model, card = tmp_path / "bundled.onnx", read_onnx_card(bundled_model())
    model.write_bytes(bundled_model().read_bytes())
    embed(model, SamplerOptions(steps=2).compile(card), card)
    monkeypatch.setattr(fitted, "bundled_model", lambda: model)
    monkeypatch.setattr(fitted, "IMAGES", 2)
    monkeypatch.setattr(fitted, "ROUNDS", 1)
    monkeypatch.setattr(fitted, "DDIM_STEPS", 3)
    monkeypatch.setattr(fitted, "FIT", {})
    few = {"calls": 3, "samples": 4, "held_out": 2, "batch": 4, "teacher_calls": 10}
    monkeypatch.setattr(fitted, "Tuning", lambda calls, **how: Tuning(**few))
    found = list(fitted.checks(Ask(device, quick=True)))
    assert [check.state for check in found if " 2 calls" in check.name] == ["ok", "noted"]
    assert found[0].figures["tables"] >= 1
    assert found[-1].figures.keys() == {"seconds", "ddim", "dpm++ logsnr", "fitted"}


def test_int8_without_providers_says_what_is_missing(device, monkeypatch):
    monkeypatch.setattr(int8, "quantised", lambda folder: (bundled_model(), held(True, "as it is")))
    monkeypatch.setattr(int8, "FLAVOURS", {"no_such_tensorrt": "tensorrt"})
    quantised, *others = int8.checks(Ask(device, quick=True))
    assert quantised.state == "ok"
    assert [check.state for check in others] == ["not run", "not run"]
    assert others[1].text == "no_such_tensorrt is not installed"


def test_nothing_is_run_in_int8_where_nothing_could_be_quantised(device, monkeypatch):
    def broken(folder):
        raise DdpmRtError("no layer")

    monkeypatch.setattr(int8, "quantised", broken)
    assert [check.state for check in int8.checks(Ask(device, quick=True))] == ["FAIL"]


# The figures.


def test_the_counted_work_matches_the_published_network():
    module, card = load_model("cifar10")
    work = rates.work_of(module, card.image_shape, 1)
    assert work.flops == pytest.approx(
        2 * 6.222e9, rel=1e-3
    )  # multiply-adds of the network of Ho et al., counted apart
    assert 2 * 35_746_307 < work.bytes < 2 * 35_746_307 + 6 * 16e6  # the weights, and layers of 16 MB in total


def test_the_roofline_is_the_slower_of_arithmetic_and_memory():
    assert rates.Work(2e12, 1e9).seconds(rates.Rates(1e12, 1e12)) == 2.0
    assert rates.Work(1e9, 3e12).seconds(rates.Rates(1e12, 1e12)) == 3.0
