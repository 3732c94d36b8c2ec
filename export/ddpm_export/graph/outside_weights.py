"""The weights of an ONNX model that lie in files beside it, read into it.

onnx itself refuses to follow links, and a hub's cache is made of them. What may not be is a name that leads out of the
folder: that comes from whoever made the model, a link from whoever made the folder.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.bounded_read import is_regular, open_regular, size_of
from ddpm_rt.text import quoted

LIMIT = 2**31  # bytes of one protobuf


def read_outside(model: onnx.ModelProto, folder: Path) -> None:
    """Put into `model` what its tensors keep in files of `folder`. Raises DdpmRtError."""
    left = LIMIT
    for tensor in tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        file = folder / _plain(said.get("location", ""))
        if not is_regular(file):
            raise DdpmRtError(f"{file} is missing: weights of the model are in it; put it beside the model")
        with open_regular(file, "copy it again") as content:
            start, length = _part(file, said, size_of(content))
            left -= length
            if left < 0:
                raise DdpmRtError(f"{file}: all weights are more than one ONNX file can hold, {LIMIT} bytes")
            content.seek(start)
            tensor.raw_data = content.read(length)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All tensors with values in a graph: weights, and constants of nodes, those of graphs inside of nodes too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from tensors(inner)


def _part(file: Path, said: Mapping[str, str], size: int) -> tuple[int, int]:
    """Offset and length of a tensor in `file`. Raises DdpmRtError unless they are numbers, and lie in the file."""
    try:
        offset = int(said.get("offset", 0))
        length = int(said.get("length", size - offset))
    except ValueError as error:
        raise DdpmRtError(
            f"{file}: the model gives no numbers for the place of its weights; export it again"
        ) from error
    if not 0 <= offset <= offset + length <= size:
        raise DdpmRtError(f"{file} has {size} bytes, fewer than the model says; copy it again")
    return offset, length


def _plain(location: str) -> str:
    """A path inside the folder. Raises DdpmRtError for another."""
    path, windows = PurePosixPath(location), PureWindowsPath(location)
    if not location or path.is_absolute() or windows.drive or windows.root or ".." in (*path.parts, *windows.parts):
        raise DdpmRtError(f"the model keeps weights outside of its folder, in {quoted(location)}; that is not read")
    return location
