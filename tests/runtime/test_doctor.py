import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ddpm_rt.cli import main
from ddpm_rt.device.gpus import Gpu, cuda_version, gpus
from ddpm_rt.inspection.doctor import works

ALL = {
    **{"onnxruntime": "1.32", "cuda.core": "1.2", "tensorrt": "11.4", "tensorrt_rtx": "1.7"},
    **{"torch": "2.13", "onnx": "1.23"},
}
ADA, HOPPER = Gpu("RTX 4090", "8.9", 24 << 30), Gpu("H100", "9.0", 80 << 30)


def fake_driver(count=1):
    """A fake libcuda for a GPU of compute capability 8.9 with 24 GiB."""

    def put(reference, value):
        reference._obj.value = value
        return 0

    def put_name(buffer, size, device):
        buffer.value = b"NVIDIA GeForce RTX 4090"
        return 0

    return SimpleNamespace(
        cuDeviceGetCount=lambda out: put(out, count),
        cuDeviceGet=lambda out, index: put(out, index),
        cuDeviceGetName=put_name,
        cuDeviceTotalMem_v2=lambda out, device: put(out, 24 << 30),
        cuDeviceGetAttribute=lambda out, attribute, device: put(out, {75: 8, 76: 9}[attribute]),
        cuDriverGetVersion=lambda out: put(out, 13010),
    )


def test_a_gpu_is_described_by_the_driver_s_facts(monkeypatch):
    monkeypatch.setattr("ddpm_rt.device.gpus.cuda_driver", fake_driver)
    assert gpus() == [Gpu("NVIDIA GeForce RTX 4090", "8.9", 24 << 30)]
    assert cuda_version() == "13.1"


def test_without_a_driver_there_is_no_gpu_and_no_cuda(monkeypatch):
    monkeypatch.setattr("ddpm_rt.device.gpus.cuda_driver", lambda: None)
    assert gpus() == []
    assert cuda_version() is None


@pytest.mark.parametrize(
    ("lacking", "found", "verb", "answer"),
    [
        ("onnxruntime", [], "sample unet.onnx, CPU", "no: pip install 'ddpm-rt[cpu]'"),
        ("torch", [], "export", "no: pip install 'ddpm-rt[export]'"),
        ("tensorrt_rtx", [], "build for TensorRT-RTX", "no: pip install 'ddpm-rt[rtx]'"),
        ("tensorrt", [HOPPER], "build for TensorRT", "no: pip install 'ddpm-rt[tensorrt]'"),
        (None, [], "build for TensorRT", "no: it needs the GPU that the plan is for, and NVIDIA's driver"),
        (None, [HOPPER], "build for TensorRT", "yes, for compute capability 9.0"),
        (None, [ADA], "build for TensorRT-RTX", "yes, even without a GPU"),
        ("onnx", [], "build for TensorRT-RTX", "no: pip install 'ddpm-rt[export]'"),
        (None, [], "refit a plan", "no: it needs the GPU that the plan is for, and NVIDIA's driver"),
        ("onnx", [ADA], "refit a plan", "no: pip install 'ddpm-rt[export]'"),
    ],
)  # fmt: skip
def test_doctor_says_what_works_and_what_to_install(lacking, found, verb, answer):
    assert works({name: None if name == lacking else version for name, version in ALL.items()}, found)[verb] == answer


def test_a_gpu_that_rtx_does_not_support_is_named():
    answer = works(ALL, [HOPPER])["build for TensorRT-RTX"]
    assert answer == "yes, but not for this GPU: TensorRT-RTX does not support compute capability 9.0"


def test_the_command_names_what_is_installed():
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    found = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    assert found["packages"]["onnxruntime"] in result.stdout
    assert found["works"]["sample unet.onnx, CPU"] == "yes"
