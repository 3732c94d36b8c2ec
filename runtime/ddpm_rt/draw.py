"""From a request of any kind to its images."""

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .api import open_denoiser
from .denoiser import Batch, Engine
from .request import Request

Model = Engine | Path | str | None  # an open denoiser, a path, or None for the bundled model
Kind = TypeVar("Kind", bound=Request)


def draw(request: Request, engine: Model = None) -> Batch:
    """The images that `request` asks for, float32 `[count, C, H, W]`."""
    denoise = open_denoiser(engine) if engine is None or isinstance(engine, str | Path) else engine
    request.table(denoise.card)
    return request.drawn(denoise)


def as_batch(images: Batch) -> Batch:
    """Float32 `[N, C, H, W]`, of one image `[C, H, W]` too."""
    array = np.asarray(images, np.float32)
    return array[None] if array.ndim == 3 else array


def extended(kind: type[Kind], request: Request | None, **more: Any) -> Kind:
    """`request` as one of another kind, `more` beside what it says."""
    known = {} if request is None else {field.name: getattr(request, field.name) for field in fields(Request)}
    return kind(**known | more)
