"""What the documentation shows is run."""

import doctest
import importlib
import re

import numpy as np
import pytest
from repository import ROOT

import ddpm_rt

MODULES = ["ddpm_rt", "ddpm_rt.api", "ddpm_rt.noise"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_docstring_give_what_they_show(name):
    module = importlib.import_module(name)
    scope = {"ddpm_rt": ddpm_rt, "np": np, **vars(module)}
    result = doctest.testmod(module, extraglobs=scope, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_python_of_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_every_file_that_the_documentation_links_to_is_there():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
