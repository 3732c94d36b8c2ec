"""The card of an ONNX file, read from its bytes: before an engine is opened, whose options depend on it."""

import mmap
from collections.abc import Iterator
from pathlib import Path

from ..errors import DdpmRtError
from .bounded_read import POINTER, TEXT_BYTES, decoded, failure, is_regular, mapped, open_regular, refuse_pointer
from .card import METADATA_KEY, ModelCard

GRAPH, METADATA_PROPS = 7, 14  # fields of a ModelProto; an entry of the second holds key, 1, and value, 2
VARINT, BYTES = 0, 2  # wire types of protobuf: whole numbers; strings, bytes and messages
SCALAR_BYTES = {1: 8, 5: 4}  # wire types of protobuf whose length is fixed
MAX_FIELDS = 20_000  # of a ModelProto; one has some ten, and one for each function and each entry of metadata
AGAIN = "export the model again"

Field = tuple[int, int, int]  # its number, and where its content begins and ends


def not_whole(path: Path, error: Exception) -> DdpmRtError:
    """The error about a file whose bytes are no message, as `all_fields` found."""
    reason = error if isinstance(error, ValueError) else "it is cut, or no protobuf"
    return failure(path, f"is not a whole ONNX model ({reason})", AGAIN)


def read_onnx_card(path: Path) -> ModelCard:
    """Raises DdpmRtError when the file is no ONNX model with a card."""
    check_file(path)
    with mapped(path, AGAIN) as content:
        try:
            texts = [text for key, text in _metadata(content) if key == METADATA_KEY.encode()]
            found = [decoded(text) for text in texts]
        except (ValueError, IndexError, KeyError) as error:
            if is_tensorrt(content[:4]):
                raise failure(path, "is a TensorRT plan", "name the .onnx that it was built from") from error
            raise not_whole(path, error) from error
    if not found:
        raise no_card(path)
    if len(found) > 1:
        raise failure(path, "has more than one model card", AGAIN)
    return ModelCard.from_json(found[0], source=str(path))


def find_onnx_card(path: Path) -> ModelCard | None:
    """The card; None where there is none, or no ONNX model."""
    try:
        return read_onnx_card(path)
    except DdpmRtError:
        return None


def is_tensorrt(first: bytes) -> bool:
    """Whether the first 4 bytes are those of a file of TensorRT, `ftrt`, or of TensorRT-RTX, `vtrt`."""
    return first[1:] == b"trt"


def check_file(path: Path) -> None:
    """Raises DdpmRtError unless there is one, and it is not a Git LFS pointer."""
    advice = "name an .onnx that `ddpm-rt export` wrote"
    if not is_regular(path):
        raise failure(path, "is not a file", advice)
    with open_regular(path, advice) as file:
        refuse_pointer(path, file.read(len(POINTER)))


def no_card(path: Path) -> DdpmRtError:
    """What to raise for a model without one."""
    return failure(
        path,
        "has no model card, so its betas are unknown",
        "make it with `ddpm-rt export`, or add one to a copy with `ddpm-rt card`",
    )


def _metadata(content: mmap.mmap | bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each entry of metadata. The graph, which is big, is skipped. Raises ValueError without one."""
    has_graph = False
    for field, start, end in message_fields(content, 0, len(content)):
        has_graph = has_graph or field == GRAPH
        if field == METADATA_PROPS:
            entry = {part: (begin, stop) for part, begin, stop in message_fields(content, start, end)}
            for begin, stop in entry.values():
                if stop - begin > TEXT_BYTES:
                    raise ValueError(f"an entry of its metadata is larger than {TEXT_BYTES >> 20} MiB")
            yield bytes(content[slice(*entry[1])]), bytes(content[slice(*entry[2])])
    if not has_graph:
        raise ValueError("it has no graph")


def message_fields(content: mmap.mmap | bytes, at: int, end: int) -> Iterator[Field]:
    """The strings, bytes and messages of the message between `at` and `end`.

    Raises ValueError, IndexError or KeyError where there is no message, and for more than `MAX_FIELDS` fields.
    """
    for count, (field, wire, start, stop) in enumerate(all_fields(content, at, end)):
        if count == MAX_FIELDS:
            raise ValueError(f"it has more than {MAX_FIELDS} fields")
        if wire == BYTES:
            yield field, start, stop


def all_fields(content: mmap.mmap | bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and start and end of the content of each field of the message between `at` and `end`.

    A varint has its value in place of both. Raises ValueError, IndexError or KeyError where there is no message.
    """
    while at != end:
        key, at = varint(content, at)
        field, wire = key >> 3, key & 7
        if field == 0:
            raise ValueError("a field has the number 0")
        if wire == VARINT:
            value, at = varint(content, at)
            start, stop = value, value
        else:
            size, at = varint(content, at) if wire == BYTES else (SCALAR_BYTES[wire], at)
            start, stop = at, at + size
            at = stop
        if at > end:
            raise ValueError("truncated")
        yield field, wire, start, stop


def varint(content: mmap.mmap | bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("not a number of protobuf")
