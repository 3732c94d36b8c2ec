"""Fixtures of plans and of the machines on which they are opened."""

import sys

import pytest
from device_world import DeviceWorld, install
from fake_tensorrt import State, make_tensorrt, network_of
from gaussian_model import gaussian_card
from plan_bench import FLAVOURS, PROFILES, Bench


@pytest.fixture
def bench(monkeypatch, tmp_path, stand_in):
    """Makes a plan, and the machine that it is opened on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(card=None, *, module="tensorrt", here=None, capability=(8, 9), profiles=PROFILES, build=None, **network):
        card = card or gaussian_card()
        bench = Bench(
            tmp_path / "unet.plan",
            DeviceWorld(stand_in, capability=capability),
            State(network_of(card, **network), profiles),
            card,
        )
        options = {"batch": "1,4,2:8:16", "tf32": False, "version_compatible": module == "tensorrt_lean"}
        bench.write({"flavour": FLAVOURS[module], "profiles": profiles, "options": options} | (build or {}))
        for name in FLAVOURS:  # only the requested flavour can be imported
            monkeypatch.setitem(sys.modules, name, None)
        if here != "none":
            install(monkeypatch, make_tensorrt(bench.world, bench.state, name=module, version=here or "10.3.0"))
        return bench

    return make
