"""The model card of an ONNX file, read from its bytes: for files that no engine here opens.

Protobuf's wire format: a field is a varint (number * 8 + kind) and its content, whose length the kind tells.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from .card import METADATA_KEY, ModelCard
from .errors import DdpmRtError

METADATA_PROPS = 14  # of ModelProto
KEY, VALUE = 1, 2  # of StringStringEntryProto
VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5  # kinds of fields


def read_card(path: Path) -> ModelCard | None:
    """The card in `path`; None if there is none, or the file is not a whole ONNX file."""
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            entries = [dict(sized_fields(entry)) for number, entry in sized_fields(content) if number == METADATA_PROPS]
            texts = [entry[VALUE].decode() for entry in entries if entry.get(KEY) == METADATA_KEY.encode()]
            return ModelCard.from_json(texts[0]) if texts else None
        except (ValueError, IndexError, KeyError, DdpmRtError):
            return None


def sized_fields(content: bytes | mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Number and content of the strings and messages in a message. Raises ValueError or IndexError if it is not one."""
    place = 0
    while place < len(content):
        tag, place = varint(content, place)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, place = varint(content, place)
            continue
        size, place = (
            varint(content, place) if kind == SIZED else ({EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(kind, -1), place)
        )
        if size < 0 or place + size > len(content):
            raise ValueError(f"no field of kind {kind} and {size} bytes at {place}")
        if kind == SIZED:
            yield number, content[place : place + size] if number in (KEY, VALUE, METADATA_PROPS) else b""
        place += size


def varint(content: bytes | mmap.mmap, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = content[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise ValueError(f"a number of more than ten bytes at {place}")
