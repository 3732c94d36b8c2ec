import gc
import os
import signal
from pathlib import Path

import pytest
from cuda_stand_in import StandIn
from gaussian_model import write_gaussian
from held_clock import HeldClock
from hypothesis import HealthCheck, settings
from shared_files import SharedFiles
from step_host import StepHost, compile_step_host
from toy_engine import register_kernels

from ddpm_rt.device.driver import open_gpu
from ddpm_rt.engines.cpu_threads import allowed_processors, default_threads

# Hypothesis has no time limits, because times depend on the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

MOST_WORKERS = 8  # each imports PyTorch and makes networks, which takes memory


def pytest_configure(config):
    """Use one thread in each worker: the networks are small, and threads of several workers would compete.

    PyTorch and the processes that tests start read OMP_NUM_THREADS; ONNX Runtime counts the processors.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job; the tests send this signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker and hasattr(os, "sched_setaffinity"):
        processors = sorted(allowed_processors())
        os.sched_setaffinity(0, {processors[int(worker.removeprefix("gw")) % len(processors)]})


def pytest_collection_finish():
    """Exclude the imported modules from garbage collection, which would scan them for a tenth of a second each time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """`-n auto` means one worker for each processor that this process may use."""
    return min(MOST_WORKERS, default_threads() or os.cpu_count() or 1)


@pytest.fixture(scope="session")
def shared(request, tmp_path_factory):
    """Files that are made once for all workers of a session."""
    own = tmp_path_factory.getbasetemp()  # the folder of a worker is inside that of the session
    return SharedFiles(Path(own.parent if hasattr(request.config, "workerinput") else own) / "shared")


@pytest.fixture(scope="session")
def gaussian(shared):
    """The path of the Gaussian model."""
    return shared.folder("gaussian", lambda folder: write_gaussian(folder / "gaussian.onnx")) / "gaussian.onnx"


@pytest.fixture
def clock(monkeypatch):
    """The clock of the device loop. It stands still until a test moves it."""
    held = HeldClock()
    monkeypatch.setattr("ddpm_rt.device.throttle.time", held)
    return held


@pytest.fixture
def stand_in(clock):
    """A stand-in for a GPU. The test fails if it does something that a GPU forbids."""
    try:
        loaded = StandIn.load()
    except RuntimeError as error:
        pytest.skip(str(error))
    with loaded.test():
        yield loaded


@pytest.fixture
def device(stand_in, step_host):
    """The stand-in as a `cuda.core.Device`, with the package's kernels."""
    register_kernels(stand_in, step_host)
    return open_gpu()


@pytest.fixture(scope="session")
def step_host(shared):
    """The package's kernels, compiled for the host."""
    return StepHost(shared.folder("step_host", compile_step_host) / "step_host.so")
