"""Mutates the bytes of a file by a list of edits, and checks how a reader handles the result."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ddpm_rt import DdpmRtError
from ddpm_rt.text import MESSAGE

from .targets import Target

SECONDS = 20.0  # the time limit of a reader
DIGITS = b"1" + b"0" * 400
PAYLOADS = (
    *(
        b"\0",
        b"\xff",
        b"\x80" * 10,
        b"\xff\xfe",
        b"\x1b]0;x\x07",
        b"\\ud800",
        b'"',
        b"'",
        b",",
        b":",
        b"\n",
        b"=",
        b"#",
    ),
    *(DIGITS, b"1e400", b"-1", b"0", b"1.5", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"A" * 5000),
    *(b"[" * 5000, b'{"a":' * 500, b"2147483648", b"18446744073709551616", b"-9223372036854775809"),
)
KINDS = ("replace", "insert", "delete", "repeat", "truncate", "flip", "number")


class Edit(NamedTuple):
    """One change. `place` and `size` are fractions of the content in units of 1/65536, `payload` selects a payload."""

    kind: str
    place: int
    size: int
    payload: int


def mutated(content: bytes, edits: Sequence[Edit]) -> bytes:
    """`content` after all edits, at most four times as long."""
    limit = 4 * len(content) + 20_000
    for edit in edits:
        at = edit.place * len(content) >> 16
        end = min(len(content), at + 1 + (edit.size * 64 >> 16))
        payload = PAYLOADS[edit.payload % len(PAYLOADS)]
        if edit.kind == "number":  # the next number in the text is replaced by the payload
            start = next((i for i in range(at, len(content)) if content[i : i + 1].isdigit()), at)
            stop = next((i for i in range(start, len(content)) if content[i] not in b"0123456789.e-"), len(content))
            content = content[:start] + payload + content[stop:]
        elif edit.kind == "flip" and content:
            changed = bytes([content[at] ^ 1 << edit.payload % 8])
            content = content[:at] + changed + content[at + 1 :]
        else:
            middle = {"replace": payload, "insert": payload + content[at:end], "delete": b"", "truncate": b""}
            rest = b"" if edit.kind == "truncate" else content[end:]
            content = content[:at] + middle.get(edit.kind, content[at:end] * 3) + rest
        content = content[:limit]
    return content


def check(target: Target, path: Path, content: bytes) -> str:
    """Read `content`. Returns the error message, empty if the reader accepted it. Raises AssertionError for a bug."""
    path.write_bytes(content)
    started = time.monotonic()
    try:
        target.read(path)
        return ""
    except (DdpmRtError, ValueError) as error:
        message = str(error)
    finally:
        seconds = time.monotonic() - started
    assert message, "an error without a message"
    assert message.isprintable(), f"not one printable line: {message!r}"
    assert len(message) <= MESSAGE + len(str(path)) + 20, f"{len(message)} characters: {message!r}"
    assert seconds < SECONDS, f"{seconds:.1f} s"
    return message
