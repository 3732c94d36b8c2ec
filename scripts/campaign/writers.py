"""Two or four concurrent commands that write to the same folder or file."""

import random
from pathlib import Path

from .children import Child, Ended
from .kills import not_whole
from .result import Result
from .verbs import DRAW, Verb, leftovers, whole_folder, whole_picture
from .world import World

COUNT = 40


def run(world: World, count: int, seed: int) -> Result:
    """Run `count` trials, of all kinds in turn."""
    result, chance = Result("writers"), random.Random(seed)
    kinds = {"one folder, one command": _same, "one folder, other seeds": _others, "one folder, shards": _shards,
             "one file, other seeds": _file}  # fmt: skip
    for number in range(count):
        name, kind = list(kinds.items())[number % len(kinds)]
        writers = chance.choice((2, 4))
        with world.place() as folder:
            faults = kind(folder, writers, chance)
            faults += [f"left behind: {left}" for left in leftovers(folder)]
        result.count(f"{name}, {writers} writers", faults)
    return result


def _sample(out: str, seed: int, *more: str) -> tuple[str, ...]:
    return ("sample", *DRAW, "--steps", "4", "--batch", "8", "--seed", str(seed), "--out", out, *more)


def _together(folder: Path, commands: list[tuple[str, ...]]) -> list[Ended]:
    return [child.end() for child in [Child(arguments, folder) for arguments in commands]]


def _seeds(folder: Path) -> set[str]:
    from PIL import Image

    found = set()
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            found.add(picture.info["ddpm-rt.seed"])
    return found


def _folder_faults(folder: Path, ended: list[Ended], count: int) -> list[str]:
    made = folder / "folder"
    faults = [fault for end in ended for fault in end.faults(0, 1)]
    faults += not_whole(Verb("folder", (), "folder", whole_folder), folder)
    if len(seeds := _seeds(made)) > 1:
        faults.append(f"pictures of seeds {sorted(seeds)} in one folder")
    if not any(end.code == 0 for end in ended):
        faults.append("no command succeeded")
    if (found := len(list(made.glob("*.png")))) != count:
        faults.append(f"{found} of {count} pictures exist")
    return faults


def _same(folder: Path, writers: int, chance: random.Random) -> list[str]:
    ended = _together(folder, [_sample("folder", 0, "--count", str(COUNT))] * writers)
    faults = [f"refused: {end.err}" for end in ended if end.code]
    return faults + _folder_faults(folder, ended, COUNT)


def _others(folder: Path, writers: int, chance: random.Random) -> list[str]:
    ended = _together(folder, [_sample("folder", seed, "--count", str(COUNT)) for seed in range(writers)])
    faults = ["commands of two seeds succeeded"] if sum(end.code == 0 for end in ended) > 1 else []
    return faults + _folder_faults(folder, ended, COUNT)


def _shards(folder: Path, writers: int, chance: random.Random) -> list[str]:
    each = COUNT // writers
    ended = _together(
        folder, [_sample("folder", 0, "--first", str(each * i), "--count", str(each)) for i in range(writers)]
    )
    faults = [f"refused: {end.err}" for end in ended if end.code]
    return faults + _folder_faults(folder, ended, each * writers)


def _file(folder: Path, writers: int, chance: random.Random) -> list[str]:
    ended = _together(folder, [_sample("x.png", seed, "--count", "16") for seed in range(writers)])
    faults = [fault for end in ended for fault in end.faults(0)]
    return faults + not_whole(Verb("file", (), "x.png", whole_picture), folder)
