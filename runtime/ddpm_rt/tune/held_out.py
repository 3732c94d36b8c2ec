"""Distances of tables to the teacher on held-out samples, which the fit has not used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..denoiser import Batch
from ..engine import Engine
from ..requests.request import BoundRequest
from ..samplers.compiled_sampler import CompiledSampler
from .teacher import Called

SHOWN = 8  # most samples that are kept for the picture

Teacher = Callable[[Sequence[int]], Batch]  # samples -> the teacher's images [B, C, H, W]


@dataclass
class Distances:
    """Root mean square distances to the teacher's images, and the images of the first samples, by table."""

    rms: dict[str, float] = field(default_factory=dict)
    images: dict[str, Batch] = field(default_factory=dict)  # float32 [SHOWN, C, H, W]; the first entry is the teacher


def distances_to_teacher(
    engine: Engine, bound: BoundRequest, teacher: Teacher, tables: Mapping[str, CompiledSampler], called: Called
) -> Distances:
    """Draw the samples of the request with the teacher and with every table, from the same noise."""
    squares = dict.fromkeys(tables, 0.0)
    shown: dict[str, list[Batch]] = {name: [] for name in ("teacher", *tables)}
    for portion in bound.batches(bound.request.samples):
        wanted = teacher(portion)
        shown["teacher"].append(wanted.copy())
        for name, compiled in tables.items():
            images = final_images(engine, bound, portion, compiled, called)
            squares[name] += float(np.sum((images.astype(np.float64) - wanted) ** 2))
            shown[name].append(images.copy())
        if sum(map(len, shown["teacher"])) > SHOWN:
            shown = {name: [np.concatenate(parts)[:SHOWN]] for name, parts in shown.items()}
    size = bound.request.count * int(np.prod(engine.card.image_shape))
    rms = {name: float(np.sqrt(total / size)) for name, total in squares.items()}
    return Distances(rms, {name: np.concatenate(parts)[:SHOWN] for name, parts in shown.items()})


def final_images(
    engine: Engine, bound: BoundRequest, portion: Sequence[int], compiled: CompiledSampler, called: Called
) -> Batch:
    """The images that a table draws for the samples `portion`, float32 `[B, C, H, W]`."""
    for step in replace(bound, sampler=compiled).trajectory(engine, portion):
        called()
        images = step.x
    return images
