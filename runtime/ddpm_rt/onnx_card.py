"""The card of an ONNX file, read from its bytes: before an engine is opened, whose options depend on it."""

import mmap
from collections.abc import Iterator
from pathlib import Path

from .card import METADATA_KEY, ModelCard
from .errors import DdpmRtError

METADATA_PROPS = 14  # field of a ModelProto; each holds key, 1, and value, 2
LFS = b"version https://git-lfs.github.com/spec/"  # how a pointer begins that Git LFS leaves in a file's place
SCALAR_BYTES = {1: 8, 5: 4}  # wire types of protobuf whose length is fixed


def read_onnx_card(path: Path) -> ModelCard:
    """Raises DdpmRtError when the file is no ONNX model with a card."""
    check_file(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            entries = [dict(_fields(entry)) for field, entry in _fields(content) if field == METADATA_PROPS]
            texts = [entry[2].decode() for entry in entries if entry.get(1) == METADATA_KEY.encode()]
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be read ({error.strerror}); make it readable, or copy it here") from error
    except (ValueError, IndexError, KeyError) as error:
        raise DdpmRtError(f"{path} is not a whole ONNX model; export the model again") from error
    if not texts:
        raise no_card(path)
    return ModelCard.from_json(texts[0], source=str(path))


def find_onnx_card(path: Path) -> ModelCard | None:
    """The card; None where there is none, or no ONNX model."""
    try:
        return read_onnx_card(path)
    except DdpmRtError:
        return None


def check_file(path: Path) -> None:
    """Raises DdpmRtError unless there is one, and it is more than a pointer to one."""
    try:
        if not path.is_file():
            raise DdpmRtError(f"{path} is not a file; name an .onnx that `ddpm-rt export` wrote")
        with path.open("rb") as file:
            head = file.read(len(LFS))
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be read ({error.strerror}); make it readable, or copy it here") from error
    if head == LFS:
        raise DdpmRtError(f"{path} is a pointer of Git LFS, not the file itself; run `git lfs pull` in its folder")


def no_card(path: Path) -> DdpmRtError:
    """What to raise for a model without one."""
    return DdpmRtError(
        f"{path} has no model card, so its betas are unknown; make it with `ddpm-rt export`, or add a card to a copy "
        "with `ddpm-rt card`"
    )


def _fields(content: mmap.mmap | bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and bytes of a message's strings, bytes and messages; but of the graph, which is big, only the number."""
    at = 0
    while at < len(content):
        key, at = varint(content, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            _, at = varint(content, at)
        elif wire == 2:
            size, at = varint(content, at)
            if at + size > len(content):
                raise ValueError("truncated")
            yield field, bytes(content[at : at + size]) if size < 1 << 24 else b""
            at += size
        else:
            at += SCALAR_BYTES[wire]


def varint(content: mmap.mmap | bytes, at: int) -> tuple[int, int]:
    """The number of protobuf at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = content[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("not a number of protobuf")
