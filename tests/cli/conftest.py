"""What the tests of the command line share."""

import pytest
from gaussian_model import gaussian_card, write_gaussian


@pytest.fixture
def model(tmp_path):
    """The path of a Gaussian model that clips x0."""
    return write_gaussian(tmp_path / "g.onnx", card=gaussian_card(clip=(-1.0, 1.0)))
