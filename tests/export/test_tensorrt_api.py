"""All members of TensorRT that `ddpm-rt` uses exist, in the recorded releases and in the installed TensorRT-RTX."""

import ast
import json

import pytest
import tensorrt_rtx
from repository import ROOT, load_script

RELEASES = json.loads((ROOT / "tests" / "data" / "tensorrt_api.json").read_text())
# 10.3 lacks this level; there, `ddpm-rt build --hardware-compatible same` reports it.
KNOWN_GAPS = {"tensorrt_cu12_bindings-10.3.0": ["HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY"]}


@pytest.fixture(scope="module")
def script():
    return load_script("check_tensorrt_api")


def test_the_installed_rtx_has_every_member(script):
    found = script.members_of(tensorrt_rtx, "tensorrt_rtx")
    assert [member for member, there in found.items() if not there] == []


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_on_record_has_every_member(script, release):
    used = {f"{kind}.{name}" for part in script.parts(release) for kind in part for name in part[kind]}
    assert RELEASES[release]["members"] == len(used)  # the record has the members that are used now
    assert RELEASES[release]["missing"] == KNOWN_GAPS.get(release, [])


def test_the_releases_that_matter_are_on_record():
    for version in ("10.3.", "10.9.", "10.16.", "11.1.", "11.4."):
        assert any(f"bindings-{version}" in release and "rtx" not in release for release in RELEASES)
    for package, version in (("lean", "10.3."), ("lean", "11.4."), ("rtx", "1.4."), ("rtx", "1.7.")):
        assert any(package in release and f"bindings-{version}" in release for release in RELEASES)


def attributes_of(source, owners):
    """The attributes that the sources read from objects with these names."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", getattr(node.value, "attr", "")) in owners:
            yield node.attr


def test_the_list_has_the_members_that_a_build_uses(script):
    """The list has every name that the sources look up, and every attribute of TensorRT's objects."""
    listed = {name for names in (*script.USED.values(), *script.RTX_ONLY.values()) for name in names}
    owners = {"builder", "network", "config", "parser", "error", "layer", "entry", "tensor"}
    owners |= {"runtime", "engine", "refitter"}
    classes = {"__name__", "__version__", *script.USED}
    used = set()
    for name in ("tensorrt_api.py", "builder.py", "refitter.py"):
        source = ROOT / "export" / "ddpm_export" / "plans" / name
        used |= set(attributes_of(source, owners))
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "member" and len(node.args) == 3:
                used |= {arg.value for arg in node.args[2:] if isinstance(arg, ast.Constant)}
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "trt":
                assert node.attr in classes
    assert len(used) > 30
    assert used <= listed


def test_the_list_has_the_members_that_running_a_plan_uses(script):
    parts = (script.RUNTIME, script.RTX_RUNTIME)
    kinds = {kind for part in parts for kind in part}
    listed = {name for part in parts for names in part.values() for name in names}
    owners = {"_runtime", "engine", "_engine", "context", "_context", "config", "cache", "_cache", *kinds}
    sources = [ROOT / "runtime" / "ddpm_rt" / "engines" / f"tensorrt{part}.py" for part in ("", "_context", "_network")]
    used = {name for source in sources for name in attributes_of(source, owners)}
    assert len(used) > 20
    assert used <= listed
    assert {name for source in sources for name in attributes_of(source, {"trt"})} <= {
        *kinds,
        "__name__",
        "__version__",
    }
