"""Full disks: a limit on the size of files, and a small file system if this user can mount one."""

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .children import command
from .kills import not_whole
from .result import Result
from .verbs import VERBS, Verb, content, in_turn, leftovers
from .world import World

MOUNTED = 64 << 10  # bytes of the small file system


def run(world: World, count: int, seed: int, *, slow: bool = True) -> Result:
    """Run `count` commands with a random limit on the size of files. Half of them overwrite an existing output."""
    result, chance = Result("full disk"), random.Random(seed)
    sizes: dict[str, int] = {}
    for number in range(count):
        verb = in_turn(number, slow=slow)
        with world.place() as folder:
            if verb.name not in sizes or chance.random() < 0.5:
                assert command(verb.arguments, folder).code == 0, verb.name
                sizes[verb.name] = max(len(part) for part in content(folder / verb.out).values())
            limit = int(sizes[verb.name] * chance.random() ** 2)
            result.count("limit on files", [f"{verb.name}: {fault}" for fault in _limited(verb, folder, limit)])
    for verb in [verb for verb in VERBS if not verb.slow]:
        with world.place() as folder:
            if (faults := _mounted(verb, folder)) is not None:
                result.count("file system of 64 KiB", [f"{verb.name}: {fault}" for fault in faults])
    return result


def _limited(verb: Verb, folder: Path, limit: int) -> list[str]:
    before = content(folder / verb.out)
    ended = command(verb.arguments, folder, limit=limit)
    faults = ended.faults(0, 1) + [f"left behind: {name}" for name in leftovers(folder)]
    if ended.code == 1 and not (folder / verb.out).is_dir() and content(folder / verb.out) != before:
        faults.append("a failed command changed the output")
    return faults + not_whole(verb, folder)


def _mounted(verb: Verb, folder: Path) -> list[str] | None:
    """The faults on a small file system; None if it cannot be mounted."""
    with _small(folder / "small") as small:
        if small is None:
            return None
        arguments = [f"small/{part}" if part == verb.out else part for part in verb.arguments]
        (small / "filling").write_bytes(b"x" * (MOUNTED - (8 << 10)))
        ended = command(arguments, folder)
        return ended.faults(0, 1) + [f"left behind: {name}" for name in leftovers(small)]


@contextmanager
def _small(folder: Path) -> Iterator[Path | None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MOUNTED}", "campaign", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
