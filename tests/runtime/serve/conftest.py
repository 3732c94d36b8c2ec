"""A running server for the tests of its protocols."""

import pytest
from device_loops import Host
from gaussian_model import conditional_card
from toy_engine import eps_of_label


@pytest.fixture(scope="module")
def server():
    """A server of two toy models, one of them with classes."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    from served import Server

    with Server({"toy": Host(), "classes": Host(eps_of_label, conditional_card())}) as running:
        yield running
