"""The weights of an ONNX model that lie in files beside it, read into it.

onnx itself refuses to follow links, and a hub's cache is made of them. What may not be is a name that leads out of the
folder: that comes from whoever made the model, a link from whoever made the folder.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from ddpm_rt import DdpmRtError

LIMIT = 2**31  # bytes of one protobuf


def read_outside(model: onnx.ModelProto, folder: Path) -> None:
    """Put into `model` what its tensors keep in files of `folder`. Raises DdpmRtError."""
    left = LIMIT
    for tensor in tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        file = folder / _plain(said.get("location", ""))
        try:
            size = file.stat().st_size if file.is_file() else -1
            offset = int(said.get("offset", 0))
            length = int(said.get("length", size - offset))
        except (OSError, ValueError) as error:
            raise DdpmRtError(f"{file}: what the model says of its weights there cannot be followed") from error
        if size < 0:
            raise DdpmRtError(f"{file} is missing: weights of the model are in it; put it beside the model")
        if not 0 <= offset <= offset + length <= size:
            raise DdpmRtError(f"{file} has {size} bytes, fewer than the model says; copy it again")
        left -= length
        if left < 0:
            raise DdpmRtError(f"{file}: all weights are more than one ONNX file can hold, {LIMIT} bytes")
        with file.open("rb") as content:
            content.seek(offset)
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


def _plain(location: str) -> str:
    """A path inside the folder. Raises DdpmRtError for another."""
    path, windows = PurePosixPath(location), PureWindowsPath(location)
    if not location or path.is_absolute() or windows.drive or windows.root or ".." in (*path.parts, *windows.parts):
        raise DdpmRtError(f"the model keeps weights outside of its folder, in {ascii(location)[:60]}; that is not read")
    return location
