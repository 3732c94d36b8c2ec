"""A machine with a GPU, ONNX Runtime and TensorRT-RTX, and a plan."""

import pytest
from device_world import DeviceWorld, install
from fake_onnxruntime import State, make_onnxruntime
from fake_tensorrt import State as TensorRtState
from fake_tensorrt import make_tensorrt, network_of
from gaussian_model import gaussian_card
from plan_files import write_plan
from toy_engine import register_kernels

from ddpm_rt.inspection import doctor


@pytest.fixture
def machine(monkeypatch, tmp_path, stand_in, step_host):
    """A machine with a GPU and all packages: the state of onnxruntime, with the memory in `state.world`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    register_kernels(stand_in, step_host)
    state, state.world = State(), DeviceWorld(stand_in)
    install(monkeypatch, make_onnxruntime(state.world, state))
    for place in ("ddpm_rt.device.gpus.gpus", "ddpm_rt.inspection.doctor.gpus"):
        monkeypatch.setattr(place, lambda: [doctor.Gpu("RTX 4090", "8.9", 24 << 30)])
    return state


@pytest.fixture
def plan(tmp_path):
    """A plan of the Gaussian model for TensorRT-RTX 1.7.1, GPUs 8.9 and 12.0, batches 1 and 1 to 64."""
    write_plan(tmp_path / "unet.plan", gaussian_card())
    return tmp_path / "unet.plan"


@pytest.fixture
def rtx(machine, monkeypatch):
    state = TensorRtState(network_of(gaussian_card()), ((1, 1, 1), (1, 8, 64)))
    install(monkeypatch, make_tensorrt(machine.world, state, name="tensorrt_rtx", version="1.7.1.116"))
    return state
