"""`scripts/run_pages.py` runs the blocks of every page of the documentation."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import page_inputs
import pytest
from page_blocks import NEEDS, blocks, given, pages
from repository import ROOT
from run_pages import BlockFailed, run_page
from warm_command import WarmCommand

from ddpm_rt.cli import main

PAGES = [pytest.param(page, id=page.name) for page in pages()]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    command = WarmCommand(tmp_path_factory.mktemp("programs"))
    yield command.folder
    command.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page, tmp_path, programs):
    ran = run_page(page, tmp_path, programs=programs)
    assert ran == [block for block in blocks(page) if block.runs]


def test_a_failing_block_is_reported_with_page_and_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("One.\n\n```sh\necho fine\n```\n\n```sh\nddpm-rt sample --no-such-option\n```\n")
    with pytest.raises(BlockFailed, match=r"page.md:8 exited with 2"):
        run_page(page, tmp_path)
    page.write_text("```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(BlockFailed, match=r"(?s)page.md:6.*AssertionError"):
        run_page(page, tmp_path)


def test_the_command_exits_with_1_for_a_failing_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\n# needs a GPU\nfalse\n```\n\n```sh\nfalse\n```\n")
    command = [sys.executable, ROOT / "scripts" / "run_pages.py", page]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "page.md:2: not run, needs a GPU\n")
    assert done.stderr.startswith("page.md:7 exited with 1")


def test_a_block_is_skipped_only_for_a_listed_reason():
    reasons = [block.text.split("\n")[0] for page in pages() for block in blocks(page) if block.language == "sh"]
    assert [line for line in reasons if re.match(r"# (needs|runs|takes)\b", line) and line not in NEEDS] == []


def test_every_shell_and_python_block_names_its_language():
    """A block without a language is output, and its lines do not start like commands."""
    silent = [block for page in pages() for block in blocks(page) if block.language == ""]
    wrong = [str(block) for block in silent if re.match(r"(\$ |ddpm-rt |pip |python |import |make )", block.text)]
    assert wrong == []


def test_every_given_file_of_a_page_can_be_made_and_is_used():
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for name in given(page):
            assert name in page_inputs.MAKERS, page.name
            assert text.count(name.rstrip("/")) > 1, f"{page.name} has no use for {name}"


def test_the_hubs_program_has_the_options_that_a_page_gives_it():
    lines = [line for page in pages() for block in blocks(page) for line in block.text.splitlines()]
    downloads = [shlex.split(line) for line in lines if line.startswith("hf download ")]
    assert downloads
    command = [Path(sys.executable).with_name("hf"), "download", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert {word for words in downloads for word in words if word.startswith("--")} <= set(
        said.replace(",", " ").split()
    )


def commands():
    """The lines of all shell blocks that call ddpm-rt, including blocks that do not run."""
    for page in pages():
        for block in blocks(page):
            if block.language == "sh":
                for line in block.text.replace("\\\n", " ").splitlines():
                    words = shlex.split(line.replace("$(", "(").replace(")", ""), comments=True)
                    if "ddpm-rt" in words:
                        yield pytest.param(words[words.index("ddpm-rt") + 1 :], id=f"{block}-{line[:60]}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_has_options_and_choices_that_exist(words):
    verb, *rest = [word for word in words if word not in ("&&", "||")]
    context = click.Context(main)
    command = main.get_command(context, verb)
    assert command is not None
    given_values, _, _ = command.make_parser(click.Context(command)).parse_args(args=rest)
    for parameter in command.params:
        if isinstance(parameter.type, click.Choice) and given_values.get(parameter.name) is not None:
            parameter.type.convert(given_values[parameter.name], parameter, context)
