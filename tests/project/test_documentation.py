"""The examples, links and figures of the documentation are correct."""

import ast
import doctest
import importlib
import re
from typing import get_args

import numpy as np
import pytest
from repository import ROOT, project_metadata

import ddpm_rt
from ddpm_rt.extras import Extra

MODULES = ["ddpm_rt", "ddpm_rt.api", "ddpm_rt.noise"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_docstring_give_the_shown_results(name):
    module = importlib.import_module(name)
    scope = {"ddpm_rt": ddpm_rt, "np": np, **vars(module)}
    result = doctest.testmod(module, extraglobs=scope, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


PROJECT = "https://github.com/ddpm-rt/ddpm-rt"
SITE = "https://ddpm-rt.github.io/ddpm-rt/"
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(page):
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))


def local_file(page, link):
    """The file in this checkout that a link leads to, or None for an external link."""
    target = link.split("#")[0]
    for prefix in (
        f"{PROJECT}/blob/main/",
        f"{PROJECT}/tree/main/",
        "https://raw.githubusercontent.com/ddpm-rt/ddpm-rt/main/",
    ):
        if target.startswith(prefix):
            return ROOT / target.removeprefix(prefix)
    if target.startswith(SITE):
        return ROOT / "docs" / (target.removeprefix(SITE).removesuffix("html") + "md" if target != SITE else "index.md")
    return None if "://" in target or not target else page.parent / target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_links_to_exists(page):
    files = {link: local_file(page, link) for link in links(page)}
    assert [link for link, file in files.items() if file is not None and not file.exists()] == []


def test_links_of_the_readme_work_on_a_package_index():
    """On a package index, a relative link of the README is broken."""
    assert [link for link in links(ROOT / "README.md") if not link.startswith("https://")] == []


def test_the_readme_can_be_read_in_one_go():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_figure_of_the_readme_is_in_the_output_of_a_benchmark():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    figures = re.findall(r"\d+\.\d+", text[text.index("## Figures") : text.index("## Documentation")])
    printed = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.txt"))
    assert len(figures) > 15
    assert [figure for figure in figures if not re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", printed)] == []


def named_extras():
    """Checks `ddpm-rt[...]` and `.[...]` in pages and messages, and the extras that messages name."""
    sources = [
        path
        for folder in ("runtime", "export", "ddpm_ref", "scripts", "examples")
        for path in (ROOT / folder).rglob("*.py")
    ]
    for path in [*PAGES, *sources, ROOT / "Makefile"]:
        for extras in re.findall(
            r"(?:ddpm-rt|ddpm_rt-\*\.whl\)|'\.)\[([a-z0-9,]+)\]", path.read_text(encoding="utf-8")
        ):
            yield from ((extra, str(path.relative_to(ROOT))) for extra in extras.split(","))
    yield from ((extra, "ddpm_rt.extras") for extra in get_args(Extra))


def test_every_named_extra_exists():
    named = list(named_extras())
    assert len({place for _, place in named}) > 5
    known = project_metadata()["optional-dependencies"]
    assert [place for place in named if place[0] not in known] == []


def test_the_reference_describes_every_public_name():
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\.\. auto\w+:: (?:ddpm_rt\.)?(\w+)$", text, re.MULTILINE))
    assert set(ddpm_rt.__all__) - described == set()


NETWORK = {
    "socket",
    "ssl",
    "http",
    "urllib",
    "ftplib",
    "smtplib",
    "asyncio",
    "requests",
    "aiohttp",
    "httpx",
    "websockets",
}


def test_no_module_of_ours_but_the_server_imports_a_network_library():
    """docs/howto/network.md says so. The server is loaded by `ddpm-rt serve` alone."""
    found = set()
    for folder in ("runtime/ddpm_rt", "export/ddpm_export", "ddpm_ref"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.parent == ROOT / "runtime/ddpm_rt/serve":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                found |= {f"{path.relative_to(ROOT)}: {name}" for name in names if name.split(".")[0] in NETWORK}
    assert found == set()


def test_only_the_verb_serve_loads_the_server():
    loads = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "runtime/ddpm_rt").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level and (node.module or "").split(".")[0] == "serve"
    }
    assert loads == {"runtime/ddpm_rt/cli/serve.py"}
