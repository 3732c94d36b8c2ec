import pytest
from gaussian_model import write_gaussian


@pytest.fixture(scope="session")
def gaussian(tmp_path_factory):
    """The path of the Gaussian model."""
    return write_gaussian(tmp_path_factory.mktemp("models") / "gaussian.onnx")
