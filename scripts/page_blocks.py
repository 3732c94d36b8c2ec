"""The code blocks of a documentation page, and the reasons why some cannot run on every machine."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
GIVEN = re.compile(r"<!-- given: (?P<names>.+) -->")
RUN = ("sh", "python")  # languages of the blocks that run

# A block runs unless its first line has one of these reasons.
NEEDS = (
    "# needs a cluster",
    "# needs a GPU",
    "# needs a Jetson",
    "# needs CMake and a C++ compiler",
    "# needs internet access",
    "# needs models of your own",
    "# runs until Ctrl-C",
    "# takes hours",
    "# takes minutes",
)


@dataclass(frozen=True)
class Block:
    """One fenced code block."""

    page: Path
    line: int  # of its first line of text, from 1
    language: str
    text: str

    @property
    def needs(self) -> str | None:
        """The need of the block that a machine without a GPU and a network cannot meet; None if the block runs."""
        first = self.text.split("\n", 1)[0]
        return first.removeprefix("# ") if first in NEEDS else None

    @property
    def runs(self) -> bool:
        return self.language in RUN and self.needs is None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def pages() -> list[Path]:
    """The pages whose blocks run."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 2, found["language"], found["text"])


def given(page: Path) -> list[str]:
    """The files that the page assumes, from its comment `<!-- given: NAME NAME -->`."""
    return [name for found in GIVEN.finditer(page.read_text(encoding="utf-8")) for name in found["names"].split()]
