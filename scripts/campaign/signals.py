"""SIGINT, SIGTERM and SIGHUP at random moments, also while the program starts."""

import random
import signal
import time

from .children import Child, command
from .kills import not_whole
from .result import Result
from .verbs import Verb, in_turn, leftovers
from .world import World

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(world: World, count: int, seed: int, *, fresh: int = 0, slow: bool = True) -> Result:
    """Send `count` signals to forked children, and `fresh` signals to new processes, which may still be importing."""
    result, chance = Result("signal"), random.Random(seed)
    seconds: dict[tuple[str, bool], float] = {}
    for number in range(count + fresh):
        verb, is_fresh = in_turn(number, slow=slow), number >= count
        if (key := (verb.name, is_fresh)) not in seconds:
            with world.place() as folder:
                seconds[key] = command(verb.arguments, folder, fresh=is_fresh).seconds
        name = NUMBERS[chance.randrange(3)]
        faults = _one(world, verb, name, chance.uniform(0, seconds[key]), is_fresh)
        result.count(f"{name.name}{' while it starts' if is_fresh else ''}", faults)
    return result


def _one(world: World, verb: Verb, number: signal.Signals, moment: float, fresh: bool) -> list[str]:
    with world.place() as folder:
        child = Child(verb.arguments, folder, fresh=fresh)
        while not child.is_ready():
            time.sleep(0.001)
        time.sleep(moment)
        child.send(number)
        ended = child.end()
        faults = ended.faults(0, 128 + number)
        if ended.code and len(ended.err.strip().splitlines()) != 1:
            faults.append(f"not one line: {ended.err!r}")
        faults += [f"left behind: {name}" for name in leftovers(folder)]
        return [f"{verb.name}: {fault}" for fault in faults + not_whole(verb, folder)]
