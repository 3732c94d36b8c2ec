"""A server of two toy models, without and with classes."""

import pytest
from device_loops import Host
from gaussian_model import conditional_card
from served import Server
from toy_engine import eps_of_label


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    with Server({"toy": Host(), "classes": Host(eps_of_label, conditional_card())}) as running:
        yield running
