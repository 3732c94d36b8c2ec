"""Run the code blocks of the documentation as written:

    python scripts/run_pages.py [PAGE ...]

By default, all pages run. The shell and Python blocks of a page run in order, in a folder with only the files that the
page lists as given. A block does not run if its first line is a reason of `scripts/page_blocks.py`. Exits with 1 if a
block failed.
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import page_inputs
from page_blocks import Block, blocks, given, pages

PROGRAMS = Path(sys.executable).parent  # of this environment


class BlockFailed(Exception):
    """A block failed: its command exited with an error, or its Python code raised an exception."""


def run_page(
    page: Path, folder: Path, show: Callable[[str], object] = lambda line: None, programs: Path = PROGRAMS
) -> list[Block]:
    """Run the blocks of `page` in `folder`, and return those that ran. Raises BlockFailed for the first failure.

    Python blocks share their names, as the cells of a notebook do. Shell blocks look for programs in `programs` first.
    """
    for name in given(page):
        page_inputs.make_input(name, folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    ran = []
    for block in blocks(page):
        if block.runs:
            _run_shell(block, folder, programs) if block.language == "sh" else _run_python(block, folder, names)
            ran.append(block)
            show(f"{block}: ran")
        elif block.needs:
            show(f"{block}: not run, {block.needs}")
    return ran


def _run_shell(block: Block, folder: Path, programs: Path) -> None:
    places = [str(programs), str(PROGRAMS), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(places)}
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BlockFailed(f"{block} exited with {done.returncode}:\n{block.text}\n{done.stdout}{done.stderr}")


def _run_python(block: Block, folder: Path, names: dict[str, Any]) -> None:
    before = Path.cwd()
    os.chdir(folder)  # contextlib.chdir needs Python 3.11
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block.text, str(block), "exec"), names)
    except Exception as error:
        raise BlockFailed(f"{block}:\n{block.text}\n{traceback.format_exc()}") from error
    finally:
        os.chdir(before)


def main(arguments: list[str]) -> int:
    failed = False
    for page in [Path(argument).resolve() for argument in arguments] or pages():
        with tempfile.TemporaryDirectory() as folder:
            try:
                run_page(page, Path(folder), show=print)
            except BlockFailed as error:
                failed = True
                print(error, file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
