"""Reads and writes the metadata of an ONNX file in its bytes, without the onnx package and without loading weights."""

import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import DdpmRtError
from .atomic_write import replace_file
from .bounded_read import TEXT_BYTES, decoded, mapped
from .onnx_card import (
    AGAIN,
    BYTES,
    MAX_FIELDS,
    METADATA_PROPS,
    SCALAR_BYTES,
    check_file,
    message_fields,
    not_whole,
    varint,
)

KEY, VALUE = 1, 2  # protobuf fields of one entry
PROTOBUF_BYTES = 2**31  # a protobuf file is smaller
PIECE = 1 << 24  # bytes that are copied at once

Content = mmap.mmap | bytes


class Entry(NamedTuple):
    """One entry of the metadata, and its byte range in the file."""

    key: str
    text: str
    start: int
    end: int


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a model, by key. Raises DdpmRtError if the file is not an ONNX model."""
    return {entry.key: entry.text for entry in _read_entries(path)}


def write_metadata(path: Path, texts: Mapping[str, str]) -> None:
    """Atomically add `texts` to the metadata of a file and replace entries with the same keys. No other byte changes.

    Raises DdpmRtError if the file is not an ONNX model, cannot be written, or would be longer than ONNX allows.
    """
    added = b"".join(_encoded(METADATA_PROPS, _encoded(KEY, key.encode()) + _encoded(VALUE, text.encode()))
                     for key, text in texts.items())  # fmt: skip
    kept = spans_without(path, set(texts))
    if sum(end - start for start, end in kept) + len(added) >= PROTOBUF_BYTES:
        raise DdpmRtError(f"{path} would be longer than the 2 GiB of an ONNX file; keep its weights beside it")

    def write(temporary: Path) -> None:
        with path.open("rb") as source, temporary.open("wb") as target:
            for piece in _pieces(source, kept):
                target.write(piece)
            target.write(added)
            target.flush()
            os.fsync(target.fileno())
        shutil.copymode(path, temporary)

    replace_file(path, write)


def spans_without(path: Path, keys: set[str]) -> list[tuple[int, int]]:
    """The byte ranges [start, end) of the file that hold no metadata entry of these keys."""
    spans, at = [], 0
    for entry in _read_entries(path):
        if entry.key in keys:
            spans.append((at, entry.start))
            at = entry.end
    return [(start, end) for start, end in (*spans, (at, path.stat().st_size)) if end > start]


def pieces_without(path: Path, keys: set[str]) -> Iterator[bytes]:
    """The bytes of the file without the metadata entries of these keys, in pieces."""
    with path.open("rb") as source:
        yield from _pieces(source, spans_without(path, keys))


def _pieces(file: BinaryIO, spans: list[tuple[int, int]]) -> Iterator[bytes]:
    for start, end in spans:
        file.seek(start)
        for at in range(start, end, PIECE):
            yield file.read(min(PIECE, end - at))


def _read_entries(path: Path) -> list[Entry]:
    check_file(path)
    with mapped(path, AGAIN) as content:
        try:
            return list(_entries(content))
        except (ValueError, IndexError, KeyError) as error:
            raise not_whole(path, error) from error


def _entries(content: Content) -> Iterator[Entry]:
    if not content:
        raise ValueError("the file is empty")
    at = 0
    for _ in range(MAX_FIELDS):
        if at == len(content):
            return
        start = at
        key, at = varint(content, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            _, at = varint(content, at)
            continue
        size, at = varint(content, at) if wire == BYTES else (SCALAR_BYTES[wire], at)
        if at + size > len(content):
            raise ValueError("truncated")
        if field == METADATA_PROPS:
            parts = {part: _text(content, *span) for part, *span in message_fields(content, at, at + size)}
            yield Entry(parts[KEY], parts.get(VALUE, ""), start, at + size)
        at += size
    if at != len(content):
        raise ValueError(f"it has more than {MAX_FIELDS} fields")


def _text(content: Content, start: int, end: int) -> str:
    if end - start > TEXT_BYTES:
        raise ValueError(f"a metadata entry is larger than {TEXT_BYTES >> 20} MiB")
    return decoded(bytes(content[start:end]))


def _encoded(field: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _number(field << 3 | BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))
