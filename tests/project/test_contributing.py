"""The imports of the sources match the pictures of the layers in CONTRIBUTING.md."""

import ast
import re

import pytest
from repository import ROOT

PACKAGES = {"runtime/ddpm_rt": "ddpm_rt", "export/ddpm_export": "ddpm_export"}
OUTSIDE = {"__init__", "__main__"}  # modules of public names, which may import from every layer


def layers(package):
    """The names in the package's picture, from the lowest layer to the highest."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (picture,) = re.findall(rf"```\n{package}/\n(.*?)```", text, re.DOTALL)
    return [line.split()[0] for line in picture.splitlines()]


def layer_of(path, package):
    return path.relative_to(ROOT / package).parts[0].removesuffix(".py")


def modules(path, package):
    """The dotted names, below the package, that a source file imports or names in a string."""
    folder = path.relative_to(ROOT / package).parts[:-1]
    name = PACKAGES[package]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = ".".join([*folder[: len(folder) - node.level + 1], *filter(None, [node.module])])
            yield from [start] if start else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{name}."):
            yield from [f"{node.module}.{alias.name}".removeprefix(f"{name}.") for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix(f"{name}.") for a in node.names if a.name.startswith(f"{name}."))
        elif isinstance(node, ast.Constant) and re.fullmatch(rf"{name}(\.\w+)+(:\w+)?", str(node.value)):
            dotted = node.value.split(":")[0].removeprefix(f"{name}.")
            if (ROOT / package / dotted.replace(".", "/")).with_suffix(".py").exists():  # "ddpm_rt.card" is a key
                yield dotted


def upward_imports(package):
    """Every import from the same layer or a higher one, as text."""
    order = layers(package)
    wrong = []
    for path in (ROOT / package).rglob("*.py"):
        here = layer_of(path, package)
        if here in OUTSIDE:
            continue
        for module in modules(path, package):
            there = re.split(r"[.:]", module)[0]
            if there != here and (there not in order or order.index(there) > order.index(here)):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    return wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_the_picture_lists_every_file_and_folder_of_the_package_once(package):
    there = {layer_of(path, package) for path in (ROOT / package).rglob("*.py")} - OUTSIDE
    assert sorted(layers(package)) == sorted(there)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_layer_imports_only_layers_that_the_picture_has_above_it(package):
    assert upward_imports(package) == []


def test_every_file_that_the_page_names_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:runtime|export|tests|scripts|docs|ddpm_ref)/[\w./]*)`", text)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
