"""Which engine runs a model: --provider, --device, and the errors without a GPU."""

import sys
from types import ModuleType

import pytest
from command import run
from device_world import install
from gaussian_model import gaussian_card, write_gaussian

import ddpm_rt
from ddpm_rt import DdpmRtError
from ddpm_rt.device.device_denoiser import DeviceDenoiser
from ddpm_rt.engines.opening import open_device_engine, provider_for
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.inspection import doctor

pytest.importorskip("cuda.core")

WITHOUT_GPU = pytest.mark.skipif(bool(doctor.gpus()), reason="there is a GPU")


@pytest.mark.slow
def test_auto_chooses_cuda_if_available_and_else_the_cpu(machine, gaussian, monkeypatch):
    assert provider_for(gaussian, "auto") == "cuda"
    assert isinstance(ddpm_rt.open_denoiser(gaussian), DeviceDenoiser)
    assert isinstance(ddpm_rt.open_denoiser(gaussian, provider="cpu"), OrtDenoiser)
    machine.built_with = ("CPUExecutionProvider",)
    assert provider_for(gaussian, "auto") == "cpu"
    machine.built_with = ("CUDAExecutionProvider",)
    monkeypatch.setattr("ddpm_rt.device.gpus.gpus", list)
    assert provider_for(gaussian, "auto") == "cpu"


def test_auto_falls_back_to_the_cpu_if_cuda_does_not_start(machine, gaussian):
    machine.starts = {"CPUExecutionProvider"}
    assert isinstance(ddpm_rt.open_denoiser(gaussian), OrtDenoiser)
    for options in ({"provider": "cuda"}, {"device": 1}):  # a GPU that the user asked for is never replaced by the CPU
        with pytest.raises(DdpmRtError):
            ddpm_rt.open_denoiser(gaussian, **options)


def test_auto_falls_back_to_the_cpu_if_the_kernels_do_not_compile(machine, gaussian, monkeypatch):
    def without_nvrtc(device):
        raise DdpmRtError("NVRTC is not installed")

    monkeypatch.setattr("ddpm_rt.device.loop.load_kernels", without_nvrtc)
    assert isinstance(ddpm_rt.open_denoiser(gaussian), OrtDenoiser)
    with pytest.raises(DdpmRtError, match="NVRTC"):
        ddpm_rt.open_denoiser(gaussian, provider="cuda")


def test_a_plan_runs_with_tensorrt(rtx, plan, gaussian):
    assert provider_for(plan, "auto") == provider_for(plan, "tensorrt") == "tensorrt"
    assert open_device_engine(plan).engine.card == gaussian_card()
    assert provider_for(gaussian, "tensorrt") == "tensorrt"


@WITHOUT_GPU
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--provider", "cuda"], 1, ["GPU 0", "driver"]),  # the GPU is checked before the packages
        (["--provider", "tensorrt"], 1, ["GPU 0", "driver"]),
        (["--provider", "cpu", "--device", 1], 2, ["device 1"]),
        (["--device", 3], 1, ["GPU 3", "driver"]),
        (["--device", -1], 2, ["--device"]),
        (["--provider", "gpu"], 2, ["--provider"]),
    ],
)
def test_an_unavailable_gpu_is_a_one_line_error_and_leaves_no_file(gaussian, tmp_path, options, code, words):
    result = run("sample", "--engine", gaussian, *options, "--out", tmp_path / "x.png")
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert [word for word in words if word not in result.stderr] == []
    assert not (tmp_path / "x.png").exists()


def test_an_unknown_provider_is_a_value_error(gaussian, plan):
    for path in (gaussian, plan):
        with pytest.raises(ValueError, match="provider must be one of auto, cpu, cuda, tensorrt, not 'bogus'"):
            ddpm_rt.open_denoiser(path, provider="bogus")


def test_a_broken_onnxruntime_is_a_one_line_error(gaussian, monkeypatch, tmp_path):
    install(monkeypatch, ModuleType("onnxruntime"))  # the state after one of two conflicting packages was removed
    for options in ([], ["--provider", "cpu"]):
        result = run("sample", "--engine", gaussian, *options, "--out", tmp_path / "x.png")
        assert result.exit_code == 1
        assert "of onnxruntime is broken: pip uninstall onnxruntime onnxruntime-gpu" in result.stderr
        assert result.stderr.count("\n") == 1
    assert run("doctor").exit_code == 0


@WITHOUT_GPU
def test_the_error_for_a_plan_without_a_driver_names_an_alternative(plan):
    result = run("sample", "--engine", plan)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    for words in ("driver", "unet.onnx, from which it was built, also runs on the CPU"):
        assert words in result.stderr


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_a_plan_runs_with_no_other_provider(plan, provider):
    result = run("sample", "--engine", plan, "--provider", provider)
    assert result.exit_code == 2
    assert f"--provider {provider} cannot run it" in result.stderr


def test_a_plan_that_is_truncated_is_a_one_line_error(rtx, plan):
    plan.write_bytes(plan.read_bytes()[:-1])
    result = run("sample", "--engine", plan)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "not the plan" in result.stderr
    assert not rtx.loaded


def test_a_missing_device_is_named(machine, gaussian):
    result = run("sample", "--engine", gaussian, "--provider", "cuda", "--device", 3)
    assert result.exit_code == 1
    assert "there is no GPU 3: the only one is 0" in result.stderr


def test_a_model_without_a_card_is_refused(machine, tmp_path):
    bare = write_gaussian(tmp_path / "bare.onnx", metadata=False)
    with pytest.raises(DdpmRtError, match="no model card"):
        open_device_engine(bare, "cuda")


def test_a_device_number_for_the_cpu_is_refused(gaussian):
    with pytest.raises(ValueError, match="would run on the CPU"):
        open_device_engine(gaussian, "cpu")


@pytest.mark.slow
def test_doctor_tries_the_providers(machine, monkeypatch):
    versions = dict.fromkeys((*doctor.EXTRAS, doctor.LEAN), "1")
    found = doctor.gpus()

    def said(what):
        return doctor.works(versions, found, doctor.providers())[f"sample unet.{what}"]

    assert said("onnx, CUDA") == said("onnx, TensorRT") == "yes"
    assert said("plan, TensorRT") == said("plan, TensorRT-RTX") == "yes, plans of 1"
    machine.starts = {"CPUExecutionProvider"}
    assert "does not start" in said("onnx, CUDA")
    machine.built_with = ()
    assert said("onnx, CUDA") == "no: pip uninstall onnxruntime, then pip install 'ddpm-rt[gpu]'"
    versions["tensorrt"] = None
    assert said("plan, TensorRT") == "yes, version-compatible plans of 1 and older"
    versions["cuda.core"] = None
    assert said("plan, TensorRT-RTX") == "no: pip install 'ddpm-rt[cuda]'"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert doctor.providers() == ()
