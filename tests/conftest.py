import pytest
from cuda_stand_in import StandIn
from gaussian_model import write_gaussian
from held_clock import HeldClock
from hypothesis import HealthCheck, settings
from step_host import StepHost
from toy_engine import register_kernels

from ddpm_rt.device.driver import open_gpu

# Neither an example nor the making of examples is held to a time: both depend on the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def gaussian(tmp_path_factory):
    """The path of the Gaussian model."""
    return write_gaussian(tmp_path_factory.mktemp("models") / "gaussian.onnx")


@pytest.fixture
def clock(monkeypatch):
    """The time as the device loop reads it, which stands still until a test moves it."""
    held = HeldClock()
    monkeypatch.setattr("ddpm_rt.device.throttle.time", held)
    return held


@pytest.fixture
def stand_in(clock):
    """A device that stands in for a GPU; the test fails if it does to it what a GPU forbids."""
    try:
        loaded = StandIn.load()
    except RuntimeError as error:
        pytest.skip(str(error))
    with loaded.test():
        yield loaded


@pytest.fixture
def device(stand_in, step_host):
    """That device as cuda.core has it, with the package's kernels."""
    register_kernels(stand_in, step_host)
    return open_gpu()


@pytest.fixture(scope="session")
def step_host(tmp_path_factory):
    """The package's kernels, compiled for the host."""
    return StepHost(tmp_path_factory.mktemp("step"))
