"""Kills, signals, full disks, concurrent writers, hostile files, and a soak. Prints a table of trials and failures."""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from . import disks, hostile, kills, pairs, signals, writers
from .children import preload
from .result import Result, table
from .world import World, make_world

FULL = {"kills": 220, "pairs": 100, "signals": 90, "fresh": 40, "disks": 80, "writers": 40, "hostile": 2400}
SHORT = {"kills": 11, "pairs": 20, "signals": 11, "fresh": 3, "disks": 11, "writers": 4, "hostile": 40}


def main() -> int:
    """Run the campaign. Returns the exit code: 1 if anything failed."""
    asked = arguments()
    os.nice(asked.nice)
    os.environ.update(OMP_NUM_THREADS="1", ORT_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1")
    quick = asked.short or asked.quick
    counts = {name: asked.count or usual for name, usual in (SHORT if asked.short else FULL).items()}
    with tempfile.TemporaryDirectory(prefix="campaign") as folder:
        world = make_world(Path(folder), training=not quick)
        preload()
        results = []
        for result in parts(world, counts, asked.seed, slow=not quick, only=asked.only):
            results.append(result)
            show(result)
        if asked.soak:
            results.append(soak(world, asked.soak, asked.seed))
            show(results[-1])
    text = f"{heading()}\n{table(results)}"
    print(text)
    if asked.out:
        asked.out.write_text(text)
    return int(any(result.failures for result in results))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m campaign", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few trials of each part, without PyTorch")
    parser.add_argument("--quick", action="store_true", help="without the verbs that import PyTorch")
    parser.add_argument("--count", type=int, metavar="N", help="trials of each part, instead of the usual number")
    parser.add_argument("--nice", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[*FULL, "soak"], action="append", help="these parts; may be repeated")
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="MINUTES", help="repeat the short form for this long"
    )
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    return parser.parse_args()


def parts(
    world: World, counts: dict[str, int], seed: int, *, slow: bool, only: list[str] | None = None
) -> Iterator[Result]:
    """Run the parts, and yield the result of each."""
    wanted = {name: count for name, count in counts.items() if only is None or name in only}
    if count := wanted.get("kills"):
        yield kills.run(world, count, seed, slow=slow)
    if count := wanted.get("pairs"):
        yield pairs.run(world, count, seed)
    if wanted.keys() & {"signals", "fresh"}:
        yield signals.run(world, wanted.get("signals", 0), seed, fresh=wanted.get("fresh", 0), slow=slow)
    if count := wanted.get("disks"):
        yield disks.run(world, count, seed, slow=slow)
    if count := wanted.get("writers"):
        yield writers.run(world, count, seed)
    if count := wanted.get("hostile"):
        yield hostile.run(world, count, seed)


def soak(world: World, minutes: float, seed: int) -> Result:
    """Repeat the short form with other seeds for `minutes`. The resources of this process must not grow."""
    result, end = Result("soak"), time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        seed += 1
        for part in parts(world, SHORT, seed, slow=False):
            for name, count in part.tried.items():
                result.tried[f"{part.part}: {name}"[:34]] = result.tried.get(f"{part.part}: {name}"[:34], 0) + count
            result.failures += [(f"{part.part}: {name}"[:34], fault) for name, fault in part.failures]
    return result


def show(result: Result) -> None:
    print(table([result]), file=sys.stderr, flush=True)
    for name, fault in result.failures[:20]:
        print(f"  {name}: {fault}", file=sys.stderr, flush=True)


def heading() -> str:
    """The command, the date and the machine, as comment lines."""
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = f"load {os.getloadavg()[1]:.0f}"
    return f"# python -m campaign {' '.join(sys.argv[1:])}\n# {date}, {machine}, {load}"


if __name__ == "__main__":
    sys.exit(main())
