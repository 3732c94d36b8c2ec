"""The headers of the C and C++ library agree with the rest of the project."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "runtime/cpp/include/ddpm_rt.h"
STEP = ROOT / "runtime/ddpm_rt/include/ddpm_rt/step.h"

ARITHMETIC = (
    "out     = null + guidance * (labelled - null)",
    "prev_x0 = x0",
    "x0      = x0_from_x * x + x0_from_out * out",
    "x0      = clip_low if x0 < clip_low",
    "x0      = clip_high if x0 > clip_high",
    "x       = mean_from_x * x",
    "x       = x + mean_from_x0 * x0",
    "x       = x + mean_from_out * out",
    "x       = x + mean_from_prev_x0 * prev_x0",
    "part    = sigma * z",
    "part    = part * exp(log_sigma_from_spread * spread)",
    "x       = x + part",
)


def test_the_specification_of_a_step_has_one_operation_a_line():
    """A formatter once joined the lines of this comment, and no test failed."""
    comment = STEP.read_text().split("*/")[1]
    pattern = re.compile(r"^ \*     (\w+ += .*?)(?:   .*)?$", re.MULTILINE)
    assert tuple(pattern.findall(comment)) == ARITHMETIC


@pytest.mark.parametrize("name", ["", "_MAJOR", "_MINOR", "_PATCH"])
def test_the_version_of_the_header_is_the_version_of_the_package(name):
    """CMake and the library read the version from the header."""
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    parts = dict(zip(("_MAJOR", "_MINOR", "_PATCH"), version.split("."), strict=True))
    found = re.search(rf'^#define DDPM_RT_VERSION{name} "?([\d.]+)"?$', HEADER.read_text(), re.MULTILINE)[1]
    assert found == parts.get(name, version)
