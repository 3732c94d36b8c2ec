"""SIGKILL at random moments: every existing file must be complete, and the same command must resume."""

import random
import signal
import time
from pathlib import Path

from .children import Child, command
from .result import Result
from .verbs import Verb, content, in_turn, leftovers
from .world import World


def run(world: World, count: int, seed: int, *, slow: bool = True) -> Result:
    """Kill `count` commands, over all verbs in turn, at a random moment within the usual duration."""
    result, chance = Result("kill -9"), random.Random(seed)
    wanted: dict[str, tuple[dict[str, bytes], float]] = {}
    for number in range(count):
        verb = in_turn(number, slow=slow)
        if verb.name not in wanted:
            wanted[verb.name] = _undisturbed(world, verb)
        bytes_, seconds = wanted[verb.name]
        result.count(verb.name, _one(world, verb, bytes_, chance.uniform(0, 1.1 * seconds)))
    return result


def _undisturbed(world: World, verb: Verb) -> tuple[dict[str, bytes], float]:
    with world.place() as folder:
        ended = command(verb.arguments, folder)
        assert ended.code == 0, f"{verb.name}: {ended.err}"
        return content(folder / verb.out), ended.seconds


def _one(world: World, verb: Verb, wanted: dict[str, bytes], moment: float) -> list[str]:
    with world.place() as folder:
        child = Child(verb.arguments, folder)
        time.sleep(moment)
        child.send(signal.SIGKILL)
        child.end()
        faults = not_whole(verb, folder)
        again = command(verb.arguments, folder)
        faults += again.faults(0) + [f"left behind: {name}" for name in leftovers(folder)]
        found = content(folder / verb.out)
        if verb.repeatable and found != wanted:
            faults.append(f"the same command gives other files: {sorted(found.items() ^ wanted.items())[0][0]}")
        return faults + not_whole(verb, folder)


def not_whole(verb: Verb, folder: Path) -> list[str]:
    """The faults of the output, if it exists."""
    if not (folder / verb.out).exists():
        return []
    try:
        verb.check(folder / verb.out)
    except Exception as error:  # readers raise errors of many kinds for damaged files
        return [f"{verb.out} is damaged: {type(error).__name__}: {error}"]
    return []
