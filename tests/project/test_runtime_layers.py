"""The layers of the packages, read from the pictures in CONTRIBUTING.md: a layer imports itself and those above it."""

import ast
import re
from functools import cache

import pytest
from repository import ROOT

SOURCES = {
    "ddpm_rt": ROOT / "runtime/ddpm_rt",
    "ddpm_export": ROOT / "export/ddpm_export",
    "ddpm_ref": ROOT / "ddpm_ref",
}
LAYERED = ("ddpm_rt", "ddpm_export")
TOP = ("__init__", "__main__")  # a package's face may import all of it
# Strings that name an entry point: "ddpm_export.cli.build:build" and import_module("ddpm_export.verify_reference").
ENTRY_POINT = re.compile(r"(ddpm_rt|ddpm_export|ddpm_ref)(\.\w+)+(:\w+)?")


@cache
def layers(package):
    """Module or folder of the package: its place in the picture."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    picture = re.search(rf"```text\n{package}/\n(.*?)```", page, re.DOTALL)
    assert picture, f"CONTRIBUTING.md has no picture of {package}"
    lines = [re.split(r"\s{2,}", line.strip(), maxsplit=1)[0] for line in picture[1].splitlines() if line.strip()]
    return {name.rstrip("/"): place for place, line in enumerate(lines) for name in line.split()}


def modules(package):
    """Dotted name of every module: its file."""
    folder = SOURCES[package]
    return {
        ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in sorted(folder.rglob("*.py"))
    }


def imports(name, path, known):
    """The modules of the project that a module imports anywhere, also inside functions and by strings."""
    is_package, tree = path.name == "__init__.py", ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")[: None if is_package else -1]
            base = base[: len(base) - node.level + 1] if node.level else []
            source = ".".join([*base, *((node.module or "").split("."))]).strip(".")
            found |= {f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ENTRY_POINT.fullmatch(node.value):
            found.add(node.value.split(":")[0])
    return {found_name for found_name in found if found_name in known}


def layer_of(name):
    package, *rest = name.split(".")
    return rest[0] if rest else "__init__"


@pytest.mark.parametrize("package", LAYERED)
def test_every_module_has_a_layer_and_every_layer_is_there(package):
    there = {layer_of(name) for name in modules(package)} - set(TOP)
    assert there == set(layers(package))


@pytest.mark.parametrize("package", LAYERED)
def test_no_layer_imports_one_below_it(package):
    known = {name for one in SOURCES for name in modules(one)}
    for name, path in modules(package).items():
        if layer_of(name) in TOP:
            continue
        for other in imports(name, path, known):
            if other.startswith(package) and layer_of(other) not in TOP:
                places = layers(package)
                assert places[layer_of(other)] <= places[layer_of(name)], f"{name} imports {other}"


@pytest.mark.parametrize("package", SOURCES)
def test_no_modules_import_each_other_in_a_circle(package):
    known = modules(package)
    graph = {
        name: {other for other in imports(name, path, known) if other != package and other != name}
        for name, path in known.items()
        if name != package
    }
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done or name not in graph:
            return
        path.append(name)
        for other in sorted(graph[name]):
            visit(other)
        done.add(path.pop())

    for name in graph:
        visit(name)


def test_only_the_command_line_names_other_packages_by_strings():
    known = {name for one in SOURCES for name in modules(one)}
    for name, path in modules("ddpm_rt").items():
        foreign = {other for other in imports(name, path, known) if not other.startswith("ddpm_rt")}
        assert not foreign or layer_of(name) == "cli", f"{name} names {foreign}"
