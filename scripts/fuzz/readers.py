"""Fuzz the readers of files: `make fuzz`, or `python scripts/fuzz/readers.py --seconds 600`.

A failing file is kept in `--keep`, named after its reader and seed, and the exit code is 1. With atheris installed,
`--atheris --only NAME` runs one reader under libFuzzer, guided by coverage.
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.mutation import KINDS, PAYLOADS, Edit, check, mutated
from fuzz.targets import Target, all_targets


def edits_of(seed: int) -> list[Edit]:
    """One to six random edits, determined by a seed."""
    source = random.Random(seed)
    return [
        Edit(
            source.choice(KINDS), source.randrange(1 << 16), source.randrange(1 << 16), source.randrange(len(PAYLOADS))
        )
        for _ in range(source.randint(1, 6))
    ]


def fuzz(targets: dict[str, Target], seconds: float, first: int, keep: Path, folder: Path) -> int:
    """Read mutated files of all targets in turn for `seconds`. Returns the number of failures."""
    end, failures, seed, taken = time.monotonic() + seconds, 0, first, 0
    while time.monotonic() < end:
        for name, target in targets.items():
            content = mutated(target.seed, edits_of(seed))
            try:
                taken += not check(target, folder / f"x{target.suffix}", content)
            except Exception:  # any other exception is a failure of the reader
                failures += 1
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name.replace(' ', '-')}-{seed}{target.suffix}").write_bytes(content)
                print(f"{name}, seed {seed}:\n{traceback.format_exc()}", file=sys.stderr)
        seed += 1
    print(f"{(seed - first) * len(targets)} files, {taken} accepted, {failures} failures")
    return failures


def guided(name: str, target: Target, folder: Path) -> None:
    """Run libFuzzer on one reader. Does not return."""
    import atheris

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], "-max_len=65536"], lambda content: check(target, folder / f"x{target.suffix}", content))
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", help="the name of one reader")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="where failing files are kept")
    parser.add_argument("--atheris", action="store_true", help="guide by coverage; needs atheris and --only")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        targets = all_targets(folder)
        if asked.only is not None:
            targets = {asked.only: targets[asked.only]}
        if asked.atheris:
            guided(*next(iter(targets.items())), folder)
        sys.exit(fuzz(targets, asked.seconds, asked.first, asked.keep, folder) > 0)


if __name__ == "__main__":
    main()
