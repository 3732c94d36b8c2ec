"""Valid files with changed, removed, repeated or inserted bytes, which the verbs then read."""

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from .children import Child, command
from .result import Result
from .world import World

SECONDS = 20.0  # time limit for any input
READERS = {  # changed file: a command that reads it
    "model.onnx": ("inspect", "model.onnx"),
    "drawn.onnx": ("sample", "--engine", "drawn.onnx", "--threads", "1", "--quiet", "--count", "1", "--steps", "2",
                   "--out", "x.npy"),
    "x.steps.json": ("sample", "--engine", "model.onnx", "--threads", "1", "--quiet", "--count", "1",
                     "--steps-file", "x.steps.json", "--out", "x.npy"),
    "unet.plan.json": ("inspect", "unet.plan"),
    "digit.npy": ("sample", "--engine", "model.onnx", "--threads", "1", "--quiet", "--count", "1", "--steps", "2",
                  "--init-image", "digit.npy", "--out", "x.npy"),
    "digit.png": ("sample", "--engine", "model.onnx", "--threads", "1", "--quiet", "--count", "1", "--steps", "2",
                  "--init-image", "digit.png", "--out", "x.npy"),
    "folder/000000.png": ("sample", "--engine", "model.onnx", "--threads", "1", "--quiet", "--count", "1",
                          "--steps", "2", "--out", "folder"),
    "carded.onnx": ("card", "carded.onnx", "-o", "y.onnx", "--betas", "linear:40:1e-3:0.3", "--prediction", "eps",
                    "--variance", "fixed_small", "--clip", "-1,1"),
}  # fmt: skip
WORDS = (b"null", b"1e999", b"-1", b"NaN", b'"', b"[" * 2000, b"{", b"\\u0000", b"\x00" * 64, b"\xff\xfe", b"9" * 5000,
         b"\x1b[2J", b"true", b"1e-400")  # fmt: skip


def run(world: World, count: int, seed: int) -> Result:
    """Give each of `count` inputs to a forked child."""
    result, chance = Result("hostile"), random.Random(seed)
    with world.place() as folder:
        _write_valid(folder)
        for number in range(count):
            name = list(READERS)[number % len(READERS)]
            with changed(folder / name, chance):
                result.count(name, _one(READERS[name], folder))
            (folder / "y.onnx").unlink(missing_ok=True)
    return result


def _one(arguments: tuple[str, ...], folder: Path) -> list[str]:
    started = time.monotonic()
    ended = Child(arguments, folder).end(SECONDS * 3)
    faults = ended.faults(0, 1, 2)
    if "\x1b" in ended.err + ended.out:
        faults.append("an escape sequence reaches the terminal")
    if time.monotonic() - started > SECONDS:
        faults.append(f"it took {time.monotonic() - started:.0f} s")
    return faults


class changed:
    """Change the file at `path` within this context."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path, self.chance, self.before = path, chance, path.read_bytes()

    def __enter__(self) -> None:
        self.path.write_bytes(mutated(self.before, self.chance))

    def __exit__(self, *error: object) -> None:
        self.path.write_bytes(self.before)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """`content` with one to four changes at random places."""
    for _ in range(chance.randint(1, 4)):
        first = chance.randrange(len(content) + 1)
        last = min(len(content), first + chance.choice((1, 2, 8, 100, 5000)))
        piece = content[first:last]
        replaced = chance.choice(
            (b"", bytes(chance.randrange(256) for _ in piece[:64]), piece * 3, chance.choice(WORDS), piece[::-1])
        )
        content = content[:first] + replaced + content[last:]
        if chance.random() < 0.1:
            content = content[:first]
    return content


def _write_valid(folder: Path) -> None:
    """Write the valid files with the commands themselves."""
    from plan_files import write_plan

    from ddpm_rt.artifacts.onnx_card import read_onnx_card

    for arguments in _commands():
        ended = command(arguments, folder)
        assert ended.code == 0, f"{arguments}: {ended.err}"
    os.rename(folder / "folder" / "000000.png", folder / "digit.png")
    command(READERS["folder/000000.png"], folder)
    for name in ("drawn.onnx", "carded.onnx"):
        shutil.copyfile(folder / "model.onnx", folder / name)
    write_plan(folder / "unet.plan", read_onnx_card(folder / "model.onnx"))


def _commands() -> Iterator[tuple[str, ...]]:
    yield ("steps", "model.onnx", "--steps", "5", "-o", "x.steps.json")
    yield READERS["folder/000000.png"]
