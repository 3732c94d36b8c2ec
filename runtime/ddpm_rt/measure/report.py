"""What was measured, as JSON for machines and as text that can be pasted into an issue."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .bench import Figures
from .machine import cpu_name, int8_instructions, versions
from .timing import Spread

COLUMNS = ("batch", "ms a call", "images a second", "loop overhead", "peak memory", "rounds")
MIB = 1 << 20


@dataclass(frozen=True)
class Subject:
    """What was measured."""

    model: str  # the name of its file
    model_sha256: str
    precision: str
    provider: str
    threads: int  # inside one operation, on the CPU
    sampler: str
    guidance: float
    against: str | None = None  # the name of another file


def facts(subject: Subject, rows: Sequence[Figures]) -> dict[str, object]:
    """All of it, as values for JSON."""
    return {
        "subject": asdict(subject),
        "cpu": cpu_name(),
        "int8_instructions": int8_instructions(),
        "versions": versions(),
        "batches": [_row(row) for row in rows],
    }


def _row(row: Figures) -> dict[str, object]:
    """The figures of a batch size; a spread is an object of its three numbers."""
    found: dict[str, object] = {name: _plain(value) for name, value in row.__dict__.items() if name != "against"}
    other = None if row.against is None else {name: _plain(value) for name, value in row.against.__dict__.items()}
    return {**found, "against": other}


def _plain(value: object) -> object:
    return value._asdict() if isinstance(value, Spread) else value


def to_json(subject: Subject, rows: Sequence[Figures]) -> str:
    """`facts` as JSON."""
    return json.dumps(facts(subject, rows), indent=2, allow_nan=False)


def describe(subject: Subject, rows: Sequence[Figures]) -> str:
    """The same as text: each figure is a median, with the 10th and the 90th percentile."""
    guided = "" if subject.guidance == 1.0 else f", guidance {subject.guidance:g} (each call has twice the batch)"
    known = int8_instructions()
    int8 = "not known" if known is None else ", ".join(known) or "none"
    lines = [
        f"{subject.model}, {subject.precision}, SHA-256 {subject.model_sha256[:12]}",
        f"{subject.provider}, {subject.threads} threads; {cpu_name()}; int8 dot products: {int8}",
        ", ".join(f"{name} {found}" for name, found in versions().items()),
        f"{subject.sampler}; {rows[0].calls_per_sample} calls a sample{guided}",
        "",
        *_aligned([COLUMNS, *map(_cells, rows)]),
    ]
    for row in rows:
        if row.against is not None:
            lines.append(
                f"batch {row.batch}: {subject.against} takes {_text(row.against.ms_per_call, 2)} ms a call; "
                f"{subject.model} is {_text(row.against.times_as_fast, 2)} times as fast"
            )
    return "\n".join(lines)


def _cells(row: Figures) -> tuple[str, ...]:
    return (
        str(row.batch),
        _text(row.ms_per_call, 2),
        _text(row.images_per_second, 2),
        _text(row.loop_overhead, 4),
        "not known" if row.peak_memory is None else f"{row.peak_memory / MIB:.0f} MiB",
        str(row.rounds),
    )


def _text(spread: Spread, digits: int) -> str:
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f} to {spread.high:.{digits}f})"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
