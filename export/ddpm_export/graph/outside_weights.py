"""Reads the external weights of an ONNX model, which lie in files beside it, into the model.

onnx does not follow symbolic links, but the cache of a model hub consists of links. Links come from the owner of the
folder and are followed. File names come from the author of the model, so a name outside the folder is refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.bounded_read import is_regular, open_regular, size_of
from ddpm_rt.artifacts.onnx_metadata import PROTOBUF_BYTES
from ddpm_rt.text import quoted


def read_outside(model: onnx.ModelProto, folder: Path) -> None:
    """Read the external data of all tensors of `model` from `folder`, in place. Raises DdpmRtError."""
    left = PROTOBUF_BYTES
    for tensor in tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        file = folder / _plain(said.get("location", ""))
        if not is_regular(file):
            raise DdpmRtError(f"{file}, which contains weights of the model, is missing; put it beside the model")
        with open_regular(file, "copy it again") as content:
            start, length = _part(file, said, size_of(content))
            left -= length
            if left < 0:
                raise DdpmRtError(f"{file}: the weights exceed the limit of an ONNX file, {PROTOBUF_BYTES} bytes")
            content.seek(start)
            tensor.raw_data = content.read(length)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All tensors in a graph: weights and constants of nodes, also in nested graphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from tensors(inner)


def _part(file: Path, said: Mapping[str, str], size: int) -> tuple[int, int]:
    """The offset and length of a tensor in `file`. Raises DdpmRtError unless both are numbers within the file."""
    try:
        offset = int(said.get("offset", 0))
        length = int(said.get("length", size - offset))
    except ValueError as error:
        raise DdpmRtError(f"{file}: the model's offset or length is not a number; export it again") from error
    if not 0 <= offset <= offset + length <= size:
        raise DdpmRtError(f"{file} has {size} bytes, fewer than the model needs; copy it again")
    return offset, length


def _plain(location: str) -> str:
    """`location`, a path inside the folder. Raises DdpmRtError for any other path."""
    path, windows = PurePosixPath(location), PureWindowsPath(location)
    if not location or path.is_absolute() or windows.drive or windows.root or ".." in (*path.parts, *windows.parts):
        raise DdpmRtError(f"the model's weights are outside its folder, in {quoted(location)}; move them beside it")
    return location
