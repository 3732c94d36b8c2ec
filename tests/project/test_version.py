"""The version number, which several files repeat."""

import re

import pytest
from repository import ROOT, project_metadata

import ddpm_rt

VERSION = ddpm_rt.__version__
HEADER = (ROOT / "runtime" / "cpp" / "include" / "ddpm_rt.h").read_text(encoding="utf-8")
PLACES = {
    "runtime/cpp/include/ddpm_rt.h": r"^#define DDPM_RT_VERSION \"(.+)\"$",
    "CITATION.cff": r"^version: (.+)$",
}


def test_the_version_has_three_numbers():
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_the_installed_package_has_this_version():
    assert project_metadata()["version"] == VERSION


@pytest.mark.parametrize("place", PLACES)
def test_every_file_that_repeats_the_version_agrees(place):
    text = (ROOT / place).read_text(encoding="utf-8")
    assert re.findall(PLACES[place], text, re.MULTILINE) == [VERSION]


@pytest.mark.skipif("DDPM_RT_VERSION" not in HEADER, reason="the C header has no version macros yet")
def test_the_macros_of_the_c_header_have_this_version():
    major, minor, patch = VERSION.split(".")
    macros = dict(re.findall(r"^#define DDPM_RT_VERSION(_\w+)? (\S+)$", HEADER, re.MULTILINE))
    numbers = {"_MAJOR": major, "_MINOR": minor, "_PATCH": patch}
    assert macros in (numbers, {"": f'"{VERSION}"', **numbers})


def test_the_changelog_starts_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## ([\d.]+)", text, re.MULTILINE)[0] == VERSION
