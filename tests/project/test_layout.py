"""tests/ mirrors the sources, has each helper once, and consists of short files."""

import ast

from repository import ROOT

TESTS = ROOT / "tests"
SUPPORT = TESTS / "support"
SOURCES = sorted(TESTS.rglob("*.py"))
LINES = 260  # most lines of a file


def imported(path):
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def test_no_file_imports_a_test_module_or_a_conftest():
    """Shared code is a module in tests/support, and is imported by its plain name."""
    wrong = [
        f"{path.relative_to(TESTS)} imports {name}"
        for path in SOURCES
        for name in imported(path)
        if name.startswith((".", "tests"))
        or any(part.startswith("test_") or part == "conftest" for part in name.split("."))
    ]
    assert wrong == []


def test_a_test_module_is_in_the_folder_of_what_it_tests():
    folders = {path.relative_to(TESTS).parts[0] for path in SOURCES if path.name.startswith("test_")}
    assert folders == {"cli", "cpp", "device", "export", "project", "ref", "runtime", "scripts", "support"}


def test_shared_helpers_are_in_one_folder():
    shared = [path for path in SOURCES if not path.name.startswith("test_") and path.name != "conftest.py"]
    assert {path.parent for path in shared} == {SUPPORT}
    test_modules_use = {name for path in SOURCES for name in imported(path)}
    assert [path.stem for path in shared if path.stem not in test_modules_use] == []


def test_no_helper_is_defined_twice():
    """A function with the same name and text in two files belongs in tests/support."""
    found = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.setdefault(ast.dump(node), []).append(f"{path.relative_to(TESTS)}: {node.name}")
    assert [places for places in found.values() if len(places) > 1] == []


def test_no_file_is_too_long_to_be_read_in_one_go():
    files = [*SOURCES, *(path for path in SUPPORT.rglob("*.*") if path.suffix in (".h", ".c", ".cpp"))]
    lengths = {str(path.relative_to(TESTS)): len(path.read_text().splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LINES} == {}
