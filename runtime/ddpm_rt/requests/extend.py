"""From a request of any kind to its images."""

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from ..denoiser import Batch
from .request import Request

Kind = TypeVar("Kind", bound=Request)


def as_batch(images: Batch) -> Batch:
    """Float32 `[N, C, H, W]`, of one image `[C, H, W]` too."""
    array = np.asarray(images, np.float32)
    return array[None] if array.ndim == 3 else array


def extended(kind: type[Kind], request: Request | None, **more: Any) -> Kind:
    """`request` as one of another kind, `more` beside what it says."""
    known = {} if request is None else {field.name: getattr(request, field.name) for field in fields(Request)}
    return kind(**known | more)
