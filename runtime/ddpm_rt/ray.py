"""Samples as a Ray Dataset: actors on many machines, each with an engine of its own. The extra `ray` brings Ray.

`ray.init` is the caller's, and so is what becomes of the rows: `write_parquet`, `write_images`, `iter_rows`, ...
"""

import importlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .artifacts.digest import file_sha256
from .engine import Engine, Watch
from .engines.engine_options import EngineOptions
from .engines.opening import DEFAULT, open_engine
from .errors import DdpmRtError
from .models import bundled_model
from .requests.request import Request

if TYPE_CHECKING:
    from ray.data import Dataset


def images(
    engine: Path | str | None = None,
    request: Request | None = None,
    *,
    options: EngineOptions = DEFAULT,
    actors: int = 1,
    num_cpus: float = 1,
    num_gpus: float = 0,
    batches: Sequence[int] | None = None,
) -> "Dataset":
    """The samples of a request as a lazy `ray.data.Dataset`, a row a sample.

    Columns: `sample` uint64, `seed` uint64, `label` int64 where the model has classes, and `image` float32
    `[C, H, W]` in [-1, 1]. An actor draws whole batches of the request, so that the images are equal to the bit to
    those of `ddpm_rt.sample` on an equal machine, whatever the number of actors. If an actor is killed, Ray draws its
    batch again.

    `engine` is a path that every machine can read, or None for the bundled model; an actor refuses a file of another
    SHA-256. Each of the `actors` has `num_cpus` processors, whose whole number is the threads of its engine unless
    `options` says otherwise, and `num_gpus` GPUs. `batches` are the numbers of the batches to draw, all by default: a
    run is resumed by drawing the missing ones.

    Raises ValueError for an engine that is open already, since a session cannot travel to another process, and for
    what the model does not allow; DdpmRtError where the cluster lacks the processors and Ray would wait for ever.
    """
    if isinstance(engine, Engine):
        raise ValueError("an open engine cannot travel to other processes; give the path of its file")
    path = bundled_model() if engine is None else Path(engine).absolute()
    request = request or Request()
    every = range(-(-request.count // request.batch))
    chosen = every if batches is None else list(batches)
    if wrong := [number for number in chosen if number not in every]:
        raise ValueError(f"the request has the batches 0 to {len(every) - 1}, not {wrong[0]}")
    ray: Any = importlib.import_module("ray")
    if not ray.is_initialized():
        raise DdpmRtError("Ray is not running in this process; call ray.init() first")
    _check_processors(ray.cluster_resources(), actors, num_cpus, num_gpus)
    arguments = {
        "path": str(path),
        "sha256": file_sha256(path),
        "request": request,
        "options": _options(options, num_cpus),
    }
    rows = ray.data.range(len(every), override_num_blocks=len(every)) if batches is None else _rows_of(chosen)
    found: Dataset = rows.map_batches(
        _Actor,
        fn_constructor_kwargs=arguments,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=num_cpus,
        num_gpus=num_gpus or None,
    )
    return found


def _rows_of(batches: Sequence[int]) -> Any:
    ray: Any = importlib.import_module("ray")
    return ray.data.from_items([{"id": number} for number in batches], override_num_blocks=max(1, len(batches)))


def _options(options: EngineOptions, num_cpus: float) -> EngineOptions:
    """With the threads of an actor: ONNX Runtime would take those of the machine for each."""
    return options if options.threads is not None else replace(options, threads=max(1, math.floor(num_cpus)))


def _check_processors(cluster: dict[str, float], actors: int, num_cpus: float, num_gpus: float) -> None:
    """Raises DdpmRtError where the actors leave no processor to the tasks that feed them, or need more GPUs."""
    if actors < 1 or num_cpus <= 0 or num_gpus < 0:
        raise ValueError("actors must be at least 1, num_cpus more than 0 and num_gpus at least 0")
    have, need = cluster.get("CPU", 0.0), actors * num_cpus + 1
    if need > have:
        raise DdpmRtError(
            f"{actors} actors of {num_cpus:g} processors and one for the tasks that feed them need {need:g}, but the "
            f"cluster has {have:g}; ask for fewer actors or a smaller num_cpus"
        )
    gpus = cluster.get("GPU", 0.0)
    if actors * num_gpus > gpus:
        raise DdpmRtError(f"{actors} actors of {num_gpus:g} GPUs need {actors * num_gpus:g}; the cluster has {gpus:g}")


class _Actor:
    """Holds the engine of one process."""

    def __init__(self, path: str, sha256: str, request: Request, options: EngineOptions) -> None:
        if file_sha256(Path(path)) != sha256:
            raise DdpmRtError(f"{path} is another file on this machine; copy the same one to all of them")
        self._engine = open_engine(path, options)
        self._bound = request.bind(self._engine.card)
        self._request = self._bound.request

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The samples of the batches whose numbers are in the column `id`."""
        columns: dict[str, list[Any]] = {"sample": [], "seed": [], "image": []}
        labels: list[Any] = []
        for number in batch["id"]:
            samples = self._request.samples[int(number) * self._request.batch :][: self._request.batch]
            ((_, drawn),) = self._bound.finals(self._engine, samples, Watch())
            columns["sample"].append(np.array(samples, np.uint64))
            columns["seed"].append(np.full(len(samples), self._request.seed, np.uint64))
            columns["image"].append(drawn.copy())
            if (of_samples := self._bound.labels(samples)) is not None:
                labels.append(of_samples)
        found = {name: np.concatenate(parts) for name, parts in columns.items()}
        return {**found, "label": np.concatenate(labels)} if labels else found
