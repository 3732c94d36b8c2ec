"""There is no import circle, and only the command line names packages by strings."""

import ast
import re

import pytest
from repository import ROOT

SOURCES = {
    "ddpm_rt": ROOT / "runtime/ddpm_rt",
    "ddpm_export": ROOT / "export/ddpm_export",
    "ddpm_ref": ROOT / "ddpm_ref",
}
# Strings that name an entry point: "ddpm_export.cli.build:build" and import_module("ddpm_export.verify_reference").
ENTRY_POINT = re.compile(r"(ddpm_rt|ddpm_export|ddpm_ref)(\.\w+)+(:\w+)?")


def modules(package):
    """The file of every module, by dotted name."""
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
        assert not foreign or name.startswith("ddpm_rt.cli."), f"{name} names {foreign}"
