"""The code blocks of a documentation page, and what keeps some of them from running on any machine."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
GIVEN = re.compile(r"<!-- given: (?P<names>.+) -->")
RUN = ("sh", "python")  # languages of blocks that are run

# The first line of a block says why it is not run. Nothing else is skipped.
NEEDS = (
    "# needs a cluster",
    "# needs a GPU",
    "# needs a Jetson",
    "# needs CMake and a C++ compiler",
    "# needs the network",
    "# runs until Ctrl-C",
    "# takes hours",
    "# takes minutes",
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int  # of its first line of text, from 1
    language: str
    text: str

    @property
    def needs(self) -> str | None:
        """What the block needs that a machine without a GPU and a network lacks; None if it is to be run."""
        first = self.text.split("\n", 1)[0]
        return first.removeprefix("# ") if first in NEEDS else None

    @property
    def runs(self) -> bool:
        return self.language in RUN and self.needs is None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def pages() -> list[Path]:
    """The pages whose blocks are run."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 2, found["language"], found["text"])


def given(page: Path) -> list[str]:
    """The files that a reader of the page has already, as `<!-- given: NAME NAME -->` lists them."""
    return [name for found in GIVEN.finditer(page.read_text(encoding="utf-8")) for name in found["names"].split()]
