"""A plan of the stand-in, its ONNX file, other weights, and a machine that can refit."""

import fake_refitter
import pytest
from refit_plans import make_plan, other_weights

from ddpm_export.plans import refit as refit_file


@pytest.fixture(scope="session")
def source(exported):
    """The ONNX file of the plans: the tiny network in fp16 with its time embedding in tables."""
    return exported("fp16", hoist=True)


@pytest.fixture
def plan(source, tmp_path):
    return make_plan(tmp_path / "unet.plan", source)


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU and the TensorRT of the plans."""
    monkeypatch.setattr(refit_file, "gpus", lambda: ["a GPU"])
    monkeypatch.setattr(refit_file, "load_tensorrt", lambda flavour: (flavour, fake_refitter.module()))


@pytest.fixture
def other(source, tmp_path_factory):
    return other_weights(source, tmp_path_factory.mktemp("other") / "longer.onnx")
