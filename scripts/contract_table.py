"""Print the table of what every implementation computes, and write it to benchmarks/contract.txt:

    python scripts/contract_table.py [--cpp build/cpp] [--out benchmarks/contract.txt]

A cell is a figure, or the reason why there is none. The rows of C++ need a build of scripts/cpp_test.sh, with its word
arm for aarch64; those of JavaScript need the packages that scripts/js_test.sh installs.
"""

import argparse
import os
import platform
import sys
import tempfile
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from contract.cpp_and_javascript_rows import cpp_rows, javascript_rows
from contract.measured import COLUMNS, MODEL_COUNT, MODEL_SAMPLER, MODEL_STEPS, Cells
from contract.python_rows import fused_row, host_kernels_row, numpy_row
from contract.world import World

from ddpm_rt.measure.machine import cpu_name


def rows_of(world: World, build: Path) -> list[Cells]:
    python = [numpy_row(world), host_kernels_row(world)]
    return [*python, *cpp_rows(world, build), *javascript_rows(world), fused_row(world)]


def as_text(rows: list[list[str]]) -> str:
    """Aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpp", type=Path, default=Path("build/cpp"), help="where scripts/cpp_test.sh built")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cells = []
        for row in rows_of(World(Path(folder)), asked.cpp.resolve()):
            cells.append(row.row())
            print(" | ".join(cells[-1]), file=sys.stderr, flush=True)
    text = (
        f"# python scripts/contract_table.py\n# {date.today()}, {len(os.sched_getaffinity(0))} cores of {cpu_name()}\n"
        f"Compared with NumPy on {platform.machine()}. Images: the bundled model, {MODEL_SAMPLER}, {MODEL_STEPS} steps,"
        f" {MODEL_COUNT} samples in one batch.\n\n{as_text([['', *COLUMNS], *cells])}\n"
    )
    print(text)
    if asked.out is not None:
        asked.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
