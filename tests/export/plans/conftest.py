"""An exported network for builds, and a plan."""

import pytest

from ddpm_export.plans.build import build_plan
from ddpm_export.plans.build_options import BuildOptions


@pytest.fixture(scope="session")
def tiny(exported):
    return exported("fp32", hoist=False)


@pytest.fixture(scope="session")
def built(tiny, shared):
    """A plan of two static batches for all GPUs that TensorRT-RTX supports."""
    folder = shared.folder("tiny-plan", lambda folder: build_plan(tiny, folder / "unet.plan", BuildOptions()))
    return folder / "unet.plan"
