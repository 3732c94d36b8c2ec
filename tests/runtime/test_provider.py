"""Which engine runs a model: --provider, --device, and what is said where there is no GPU."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from command import run
from device_world import DeviceWorld
from fake_cuda import install
from fake_onnxruntime import State, make_onnxruntime
from fake_tensorrt import State as TensorRtState
from fake_tensorrt import expected, make_tensorrt, network_of
from gaussian_model import gaussian_card, write_gaussian
from plan_files import write_plan
from toy_engine import register_kernels

import ddpm_rt
from ddpm_rt import DdpmRtError, Request
from ddpm_rt.api import read_card
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.device.device_denoiser import DeviceDenoiser
from ddpm_rt.engines.opening import open_device_engine, provider_for
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.inspection import doctor
from ddpm_rt.models import bundled_model

WITHOUT_GPU = pytest.mark.skipif(bool(doctor.gpus()), reason="there is a GPU")


@pytest.fixture
def machine(monkeypatch, tmp_path, stand_in, step_host):
    """A GPU with everything for it: onnxruntime's state, and in state.world its memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    register_kernels(stand_in, step_host)
    state, state.world = State(), DeviceWorld(stand_in)
    install(monkeypatch, make_onnxruntime(state.world, state))
    for place in ("ddpm_rt.device.gpus.gpus", "ddpm_rt.inspection.doctor.gpus"):
        monkeypatch.setattr(place, lambda: [doctor.Gpu("RTX 4090", "8.9", 24 << 30)])
    return state


@pytest.fixture
def plan(tmp_path):
    """Of the Gaussian model, from TensorRT-RTX 1.7.1 for 8.9 and 12.0, batches 1 and 1 to 64."""
    write_plan(tmp_path / "unet.plan", gaussian_card())
    return tmp_path / "unet.plan"


@pytest.fixture
def rtx(machine, monkeypatch):
    state = TensorRtState(network_of(gaussian_card()), ((1, 1, 1), (1, 8, 64)))
    install(monkeypatch, make_tensorrt(machine.world, state, name="tensorrt_rtx", version="1.7.1.116"))
    return state


def test_auto_is_cuda_where_it_is_and_the_cpu_where_it_is_not(machine, gaussian, monkeypatch):
    assert provider_for(gaussian, "auto") == "cuda"
    assert isinstance(ddpm_rt.open_denoiser(gaussian), DeviceDenoiser)
    assert isinstance(ddpm_rt.open_denoiser(gaussian, provider="cpu"), OrtDenoiser)
    machine.built_with = ("CPUExecutionProvider",)
    assert provider_for(gaussian, "auto") == "cpu"
    machine.built_with = ("CUDAExecutionProvider",)
    monkeypatch.setattr("ddpm_rt.device.gpus.gpus", list)
    assert provider_for(gaussian, "auto") == "cpu"


def test_auto_goes_on_with_the_cpu_where_cuda_does_not_start(machine, gaussian):
    machine.starts = {"CPUExecutionProvider"}
    assert isinstance(ddpm_rt.open_denoiser(gaussian), OrtDenoiser)
    for options in ({"provider": "cuda"}, {"device": 1}):  # but not where a GPU was asked for
        with pytest.raises(DdpmRtError):
            ddpm_rt.open_denoiser(gaussian, **options)


def test_auto_goes_on_with_the_cpu_where_the_kernels_cannot_be_compiled(machine, gaussian, monkeypatch):
    def without_nvrtc(device):
        raise DdpmRtError("NVRTC is not installed")

    monkeypatch.setattr("ddpm_rt.device.loop.load_kernels", without_nvrtc)
    assert isinstance(ddpm_rt.open_denoiser(gaussian), OrtDenoiser)
    with pytest.raises(DdpmRtError, match="NVRTC"):
        ddpm_rt.open_denoiser(gaussian, provider="cuda")


def test_a_file_that_cannot_be_read_is_one_line(gaussian, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refused)  # whoever runs the tests may be allowed to read everything
    with pytest.raises(DdpmRtError, match="cannot be read: Permission denied"):
        read_onnx_card(gaussian)


def test_a_plan_is_tensorrts(rtx, plan, gaussian):
    assert provider_for(plan, "auto") == provider_for(plan, "tensorrt") == "tensorrt"
    assert open_device_engine(plan).engine.card == gaussian_card()
    assert provider_for(gaussian, "tensorrt") == "tensorrt"


@pytest.mark.parametrize("verb", [(), ("--sampler", "ddpm", "--steps", 7), ("--stream-steps",)])
def test_the_command_draws_on_the_gpu_what_it_draws_on_the_cpu(machine, gaussian, tmp_path, verb):
    for provider in ("cpu", "cuda"):
        result = run("sample", "--engine", gaussian, "--provider", provider, *verb, "--count", 3,
                     "--out", tmp_path / f"{provider}.npy")  # fmt: skip
        assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(np.load(tmp_path / "cpu.npy"), np.load(tmp_path / "cuda.npy"))
    assert machine.world.stand_in.live() == []  # given back


def test_a_plan_is_drawn_from_by_a_graph_of_tensorrt_and_our_step(rtx, plan, machine, tmp_path):
    stand_in = machine.world.stand_in
    result = run("sample", "--engine", plan, "--steps", 20, "--count", 3, "--seed", 5, "--out", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    request = Request(steps=20, count=3, seed=5)
    network = Known(lambda x, t: expected(x, t), gaussian_card())
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), request.drawn(network))
    assert stand_in.calls().count("cuGraphLaunch") == 20
    assert stand_in.live() == []


def test_a_plan_that_cannot_be_captured_is_drawn_from_step_by_step(rtx, plan, machine, tmp_path):
    rtx.capturable = False
    result = run("sample", "--engine", plan, "--steps", 20, "--count", 3, "--out", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    calls = machine.world.stand_in.calls()
    assert "cuGraphLaunch" not in calls
    assert calls.count("cuLaunchKernel") >= 20


@pytest.mark.parametrize("out", ["x.gif", "x.png", "folder"])
def test_every_kind_of_output_is_made_on_the_gpu(machine, gaussian, tmp_path, out):
    for provider in ("cpu", "cuda"):
        (tmp_path / provider).mkdir()
        result = run("sample", "--engine", gaussian, "--provider", provider, "--steps", 6, "--count", 3, "--batch", 2,
                     "--out", tmp_path / provider / out)  # fmt: skip
        assert result.exit_code == 0, result.output
    for path in sorted(path for path in (tmp_path / "cpu").rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "cuda" / path.relative_to(tmp_path / "cpu")).read_bytes()


def test_masks_and_interpolation_run_the_host_loop_with_the_network_on_the_gpu(machine, gaussian):
    images = np.zeros((1, 1, 4, 6), np.float32)
    mask = np.arange(24).reshape(4, 6) % 2 == 0
    cpu, cuda = (ddpm_rt.open_denoiser(gaussian, provider=provider) for provider in ("cpu", "cuda"))
    request = Request(steps=5, count=2)
    for drawn in (
        lambda engine: ddpm_rt.inpaint(images, mask, engine, request=request),
        lambda engine: ddpm_rt.interpolate(0, 3, engine, frames=3, request=request),
    ):
        np.testing.assert_array_equal(drawn(cuda), drawn(cpu))
    assert "ddpm_rt_step" not in machine.world.stand_in.runs()
    cuda.close()


def test_the_python_interface_takes_the_same_options(machine, gaussian):
    drawn = [ddpm_rt.sample(gaussian, steps=3, provider=provider) for provider in ("cpu", "cuda")]
    np.testing.assert_array_equal(*drawn)
    assert ddpm_rt.open_denoiser(gaussian, provider="cuda", stream_steps=True).loop.mode == "stream"


class Known(NamedTuple):
    """An engine on the host."""

    function: Callable[..., Any]
    card: ddpm_rt.ModelCard

    def __call__(self, x, t, y=None, /):
        return self.function(x, t)


def test_a_plan_is_verified_against_its_onnx_file_on_the_cpu(rtx, plan, gaussian):
    """The stand-in's plan is another function than the model, so that the verdict can only be that."""
    result = run("verify", plan, "--engine-b", gaussian, "--provider", "cpu", "--sampler", "ddim", "--steps", 3)
    assert result.exit_code == 1, result.output
    assert result.output.startswith("different: x is off")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("cuMemAllocFromPoolAsync", 2, "the GPU is out of memory; ask for smaller batches"),
        ("cuLibraryLoadData", 209, "the driver does not take the kernels for sm_89; a newer one may"),
        ("cuLaunchKernel", 701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
    ],
)
def test_what_a_gpu_refuses_is_one_line_and_no_file(machine, gaussian, tmp_path, name, error, words):
    stand_in = machine.world.stand_in
    stand_in.fail(name, error)
    result = run("sample", "--engine", gaussian, "--provider", "cuda", "--out", tmp_path / "x.png")
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
    assert stand_in.live() == []


def test_an_output_that_is_not_finite_is_one_line_and_no_file(machine, tmp_path):
    path = write_gaussian(tmp_path / "unet.onnx", poison_at=599)
    result = run("sample", "--engine", path, "--provider", "cuda", "--steps", 10, "--out", tmp_path / "x.png")
    assert result.exit_code == 1
    assert result.stderr == "Error: the network's output is not finite at step 4, t = 599; check the model\n"
    assert not (tmp_path / "x.png").exists()


def test_ctrl_c_in_the_middle_keeps_the_batches_that_are_whole(machine, gaussian, tmp_path, monkeypatch):
    from ddpm_rt.device.chain import DeviceChain

    result, runs = DeviceChain.result, []

    def interrupted(self, *arguments):
        runs.append(self)
        if len(runs) == 2:
            raise KeyboardInterrupt
        return result(self, *arguments)

    monkeypatch.setattr(DeviceChain, "result", interrupted)
    asked = ("sample", "--engine", gaussian, "--provider", "cuda", "--steps", 5, "--count", 6, "--batch", 2)
    stopped = run(*asked, "--out", tmp_path / "folder")
    assert stopped.exit_code == 130
    assert "2 of 6 images are in" in stopped.stderr
    assert machine.world.stand_in.live() == []
    assert run(*asked, "--out", tmp_path / "folder").exit_code == 0
    assert len(list((tmp_path / "folder").iterdir())) == 6


@WITHOUT_GPU
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--provider", "cuda"], 1, ["GPU 0", "driver"]),  # before any package that would be of no use
        (["--provider", "tensorrt"], 1, ["GPU 0", "driver"]),
        (["--provider", "cpu", "--device", 1], 2, ["device 1"]),
        (["--device", 3], 1, ["GPU 3", "driver"]),
        (["--device", -1], 2, ["--device"]),
        (["--provider", "gpu"], 2, ["--provider"]),
    ],
)
def test_a_gpu_that_is_not_to_be_had_is_one_line_and_no_file(gaussian, tmp_path, options, code, words):
    result = run("sample", "--engine", gaussian, *options, "--out", tmp_path / "x.png")
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert [word for word in words if word not in result.stderr] == []
    assert not (tmp_path / "x.png").exists()


def test_a_provider_that_nobody_knows_is_the_callers_mistake(gaussian, plan):
    for path in (gaussian, plan):
        with pytest.raises(ValueError, match="provider must be one of auto, cpu, cuda, tensorrt, not 'bogus'"):
            ddpm_rt.open_denoiser(path, provider="bogus")


def test_an_onnxruntime_in_pieces_is_one_line(gaussian, monkeypatch, tmp_path):
    install(monkeypatch, ModuleType("onnxruntime"))  # what one of two packages leaves
    for options in ([], ["--provider", "cpu"]):
        result = run("sample", "--engine", gaussian, *options, "--out", tmp_path / "x.png")
        assert result.exit_code == 1
        assert "in pieces: pip uninstall onnxruntime onnxruntime-gpu" in result.stderr
        assert result.stderr.count("\n") == 1
    assert run("doctor").exit_code == 0


@WITHOUT_GPU
def test_a_plan_without_a_driver_names_what_would_run(plan):
    result = run("sample", "--engine", plan)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    for words in ("driver", "unet.onnx, of which it was built, runs on the CPU"):
        assert words in result.stderr


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_a_plan_is_of_no_other_provider(plan, provider):
    result = run("sample", "--engine", plan, "--provider", provider)
    assert result.exit_code == 2
    assert "name the .onnx" in result.stderr


def test_a_plan_that_is_truncated_is_one_line(rtx, plan):
    plan.write_bytes(plan.read_bytes()[:-1])
    result = run("sample", "--engine", plan)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "not the plan" in result.stderr
    assert not rtx.loaded


def test_a_device_that_is_not_there_is_named(machine, gaussian):
    result = run("sample", "--engine", gaussian, "--provider", "cuda", "--device", 3)
    assert result.exit_code == 1
    assert "there is no GPU 3: the only one is 0" in result.stderr


def test_steps_are_compiled_for_a_plan_without_a_gpu(plan, gaussian, tmp_path):
    for model, name in ((plan, "a"), (gaussian, "b")):
        result = run("steps", model, "--steps", 5, "-o", tmp_path / f"{name}.steps.json")
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a.steps.json").read_text() == (tmp_path / "b.steps.json").read_text()


def test_a_card_is_read_from_the_bytes_of_an_onnx_file(gaussian, plan):
    for path in (gaussian, bundled_model()):
        assert read_onnx_card(path) == OrtDenoiser(path).card == read_card(path)
    assert read_card(plan) == gaussian_card()


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x3a\xff\xff\xff\x7f", b"\xff" * 30, b"\x0b" * 9])
def test_what_is_no_onnx_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(DdpmRtError, match="bad.onnx is not a whole ONNX model"):
        read_onnx_card(path)


def test_a_file_cut_anywhere_is_refused(gaussian, tmp_path):
    content, path = gaussian.read_bytes(), tmp_path / "cut.onnx"
    for size in range(1, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(DdpmRtError, match="cut.onnx"):
            read_onnx_card(path)


def test_a_model_without_a_card_is_refused(machine, tmp_path):
    bare = write_gaussian(tmp_path / "bare.onnx", metadata=False)
    with pytest.raises(DdpmRtError, match="no model card"):
        open_device_engine(bare, "cuda")


def test_the_cpu_is_no_device(gaussian):
    with pytest.raises(ValueError, match="would run on the CPU"):
        open_device_engine(gaussian, "cpu")


def test_doctor_tries_the_providers(machine, monkeypatch):
    versions = dict.fromkeys((*doctor.EXTRAS, doctor.LEAN), "1")
    found = doctor.gpus()

    def said(what):
        return doctor.works(versions, found, doctor.providers())[f"sample unet.{what}"]

    assert said("onnx, CUDA") == said("onnx, TensorRT") == "yes"
    assert said("plan, TensorRT") == said("plan, TensorRT-RTX") == "yes, those of 1"
    machine.starts = {"CPUExecutionProvider"}
    assert "does not start" in said("onnx, CUDA")
    machine.built_with = ()
    assert said("onnx, CUDA") == "no: pip uninstall onnxruntime, then pip install 'ddpm-rt[gpu]'"
    versions["tensorrt"] = None
    assert said("plan, TensorRT") == "yes, version-compatible ones of 1 and older"
    versions["cuda.core"] = None
    assert said("plan, TensorRT-RTX") == "no: pip install 'ddpm-rt[cuda]'"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert doctor.providers() == ()
