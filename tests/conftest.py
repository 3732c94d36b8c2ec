import pytest
from cuda_stand_in import StandIn
from gaussian_model import write_gaussian
from step_host import StepHost


@pytest.fixture(scope="session")
def gaussian(tmp_path_factory):
    """The path of the Gaussian model."""
    return write_gaussian(tmp_path_factory.mktemp("models") / "gaussian.onnx")


@pytest.fixture
def stand_in():
    """A device that stands in for a GPU; the test fails if it does to it what a GPU forbids."""
    try:
        loaded = StandIn.load()
    except RuntimeError as error:
        pytest.skip(str(error))
    with loaded.test():
        yield loaded


@pytest.fixture(scope="session")
def step_host(tmp_path_factory):
    """The package's kernels, compiled for the host."""
    return StepHost(tmp_path_factory.mktemp("step"))
