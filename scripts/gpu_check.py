"""Check everything of the device loop that needs a GPU, and write a table, a JSON file and a plot.

    PYTHONPATH=runtime:export:. python scripts/gpu_check.py --out gpu-check --quick
    PYTHONPATH=runtime:export:. python scripts/gpu_check.py --out gpu-check --only times,compiled --batches 1

Needs numpy and cuda-core. Checks that lack torch, diffusers, ONNX Runtime or TensorRT report "not run". Each part runs
in its own process, so that a crash does not stop the others, and each result is in the record within a second. The next
command on the same machine, or without a GPU, continues `gpu_check.json`. Exit code: 0 if no check failed, 1 if a check
failed, 2 if nothing could run.

States: ok; FAIL; missed, a time above its target; noted, a measurement; not run, with the reason.
"""

import argparse
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu.check import Check
from gpu.parts import INNER, PARTS, write_rows
from gpu.plot import save_plot
from gpu.report import Report, table

from ddpm_rt.artifacts.output_path import check_writable
from ddpm_rt.errors import DdpmRtError

FOLLOW = 1.0  # seconds between looks at the results of a part that runs


def parts_named(text: str) -> list[str]:
    """The parts of a text such as `noise,toy`, in the order of PARTS."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no part; they are {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


def batches_named(text: str) -> tuple[int, ...]:
    """The batch sizes of a text such as `1,16`."""
    try:
        batches = tuple(int(number) for number in text.split(","))
    except ValueError:
        batches = ()
    if not batches or min(batches) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be batch sizes, such as 1,16,64")
    return batches


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, help="folder of gpu_check.json, gpu_check.png and a log of each part")
    parser.add_argument("--quick", action="store_true", help="fewer steps and values, and no torch.compile")
    parser.add_argument("--only", type=parts_named, default=list(PARTS), metavar="PART,...", help=", ".join(PARTS))
    parser.add_argument("--batches", type=batches_named, default=(1, 16, 64), metavar="N,...", help="batch sizes")
    parser.add_argument("--limit", type=float, default=570.0, metavar="SECONDS", help="time limit of each part [570]")
    parser.add_argument("--part", choices=[*PARTS, *INNER], help=argparse.SUPPRESS)  # for the process of one part
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    return parser


def in_process(name: str, asked: argparse.Namespace) -> tuple[dict[str, Any], list[Check]]:
    """Run a part in its own process. Returns the machine, and the checks that the process completed."""
    rows, log = asked.out / f"{name}.rows", asked.out / f"{name}.log"
    rows.unlink(missing_ok=True)
    batches = ",".join(map(str, asked.batches))
    command = [sys.executable, str(Path(__file__).resolve()), "--part", name, "--rows", str(rows), "--batches", batches]
    ended = ""
    with log.open("w") as file:
        try:
            done = subprocess.run(
                [*command, *["--quick"] * asked.quick], stdout=file, stderr=subprocess.STDOUT, timeout=asked.limit
            )
            if done.returncode not in (0, 1):
                ended = f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"not done after {asked.limit:.0f} seconds"
    machine, checks = read_rows(rows)
    if ended:
        last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
        checks.append(Check(f"{name} comes to its end", "FAIL", f"{ended}; {log}: {last}"[:240], {}))
    rows.unlink(missing_ok=True)
    return machine, checks


@contextmanager
def followed(rows: Path, tell: Callable[[dict[str, Any], list[Check]], object]) -> Iterator[None]:
    """Call `tell` with the checks in `rows` whenever there are more: the record has them even if this process dies."""
    ended = threading.Event()

    def follow() -> None:
        known = 0
        while not ended.wait(FOLLOW):
            machine, checks = read_rows(rows)
            if len(checks) > known:
                known = len(checks)
                tell(machine, checks)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def read_rows(path: Path) -> tuple[dict[str, Any], list[Check]]:
    """The machine and the checks in a file of `write_rows`, which may end early."""
    machine: dict[str, Any] = {}
    checks = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:  # the process was killed while it wrote this line
            break
        machine = row.get("machine", machine)
        if "check" in row:
            checks.append(Check(**row["check"]))
    return machine, checks


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = arguments()
    asked = parser.parse_args(argv)
    if asked.part:
        from ddpm_rt.device.driver import open_gpu

        return 0 if write_rows(asked.rows, asked.part, open_gpu, quick=asked.quick, batches=asked.batches) else 1
    if asked.out is None:
        parser.error("--out is needed")
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
        check_writable(asked.out)
    except (OSError, DdpmRtError) as error:
        reason = f"{asked.out} cannot be made: {error.strerror}" if isinstance(error, OSError) else error
        print(f"gpu_check.py: {reason}", file=sys.stderr)
        return 2
    report, command = Report(asked.out / "gpu_check.json"), shlex.join(["gpu_check.py", *(argv or sys.argv[1:])])
    rows: list[tuple[str, Check]] = []
    for name in asked.only:
        started = time.perf_counter()
        with followed(asked.out / f"{name}.rows", lambda *found, name=name: report.add(name, *found, command, 0.0)):
            machine, checks = in_process(name, asked)
        took = time.perf_counter() - started
        report.add(name, machine, checks, command, took)
        rows += [(name, check) for check in checks]
        print(f"{name}: {len(checks)} checks in {took:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))
    gpu = report.machine.get("gpu", "no GPU")
    print(f"\n{gpu}: {report.summary()}")
    print(f"{report.path}: the results")
    print(save_plot(asked.out / "gpu_check.png", [check for _, check in report.rows()], gpu))
    states = {check.state for _, check in rows}
    return 1 if "FAIL" in states else 2 if states <= {"not run"} else 0


if __name__ == "__main__":
    sys.exit(main())
