"""A folder with an .npz a sample, for what is no picture: the numbers `x`, and the same text as in a PNG."""

import io
import json
import math
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.atomic_write import replace_file
from ..artifacts.bounded_read import parse_json
from ..denoiser import Batch
from ..errors import DdpmRtError
from .folder import TEXT_BYTES, SampleFolder, read_regular

TEXT = "text.json"


class ArrayFolder(SampleFolder):
    """The samples of one request as `000007.npz`: `x.npy`, float32 `[C, ...]`, and `text.json`."""

    suffix = ".npz"

    def _format(self) -> dict[str, str]:
        return {}

    def write(self, samples: Sequence[int], pixels: NDArray[Any]) -> None:
        """Write a batch, float32 `[N, C, ...]`."""
        for sample, image in zip(samples, pixels, strict=True):
            content = _encoded(image, json.dumps(self.text_of(sample)))
            replace_file(self.file_of(sample), lambda file, content=content: file.write_bytes(content))  # type: ignore[misc]
            self.kept += 1

    def _is_there(self, sample: int) -> bool:
        path = self.file_of(sample)
        content = read_regular(path, 4 * math.prod(self.shape) + TEXT_BYTES)
        if content is None:
            return False
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                if file.testzip() is not None or {"x.npy", TEXT} != set(file.namelist()):
                    raise zipfile.BadZipFile
                text, size = parse_json(_member(file, TEXT).decode()), file.getinfo("x.npy").file_size
        except (zipfile.BadZipFile, ValueError, OSError, KeyError, NotImplementedError):
            self.damaged += 1
            return False
        wanted = self.text_of(sample)
        if not isinstance(text, dict) or text != wanted or size != len(_array_bytes(np.zeros(self.shape, np.float32))):
            other = [key for key in wanted if not isinstance(text, dict) or text.get(key) != wanted[key]] or ["size"]
            raise DdpmRtError(f"{path} is another sample ({other[0].removeprefix('ddpm-rt.')}); use another folder")
        return True


def _encoded(image: Batch, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, part in (("x.npy", _array_bytes(image)), (TEXT, text.encode())):
            file.writestr(zipfile.ZipInfo(name), part)  # without the time, so that equal samples are equal files
    return buffer.getvalue()


def _array_bytes(image: Batch) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(image, "<f4"), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    if file.getinfo(name).file_size > TEXT_BYTES:
        raise ValueError("too large")
    return file.read(name)
