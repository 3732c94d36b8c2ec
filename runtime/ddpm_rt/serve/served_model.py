"""A model that the server runs: its engine, its tables and its scheduler, under a name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..artifacts.fitted_tables import fitted_tables
from ..artifacts.steps_file import parse_steps, read_steps, table_sha256
from ..engine import Engine
from ..engines.engine_options import EngineOptions
from ..engines.opening import open_engine
from ..errors import DdpmRtError
from ..models import BUNDLED, bundled_model
from ..samplers.compiled_sampler import CompiledSampler
from ..text import quoted
from .scheduler import Scheduler

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DIGEST = 16  # hex digits of a SHA-256 in a URL


@dataclass(frozen=True)
class NamedTable:
    """A compiled sampler under a name. `options` are those of `ddpm-rt sample` that choose it."""

    name: str
    compiled: CompiledSampler
    options: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The first digits of the SHA-256 of its numbers: a URL that holds them means this table for ever."""
        return table_sha256(self.compiled)[:DIGEST]


@dataclass(eq=False)
class ServedModel:
    """A model that the server answers for under `/v1/models/NAME`: an engine, and the scheduler that alone calls it."""

    name: str
    engine: Engine
    scheduler: Scheduler
    tables: dict[str, NamedTable] = field(default_factory=dict)
    sha256: str = ""
    options: tuple[str, ...] = ()  # of `ddpm-rt sample` that choose the model

    @property
    def digest(self) -> str:
        return self.sha256[:DIGEST]

    def close(self) -> None:
        """End the scheduler, then the engine."""
        self.scheduler.close()
        self.engine.close()


def opened_engines(paths: Sequence[Path], options: EngineOptions) -> dict[str, Engine]:
    """The engines of these files, or of the bundled model, by the names of the files without their suffix.

    Raises ValueError for names that no URL can hold and for two of a name, DdpmRtError for what cannot be opened.
    """
    files: dict[str, Path] = {}
    for path in paths or [bundled_model()]:
        if not NAME.fullmatch(path.stem):
            raise ValueError(f"{path}: a served model needs a name of letters, digits, '.', '_' and '-'; rename it")
        if path.stem in files:
            raise ValueError(f"{path} and {files[path.stem]} are both named {path.stem}; rename one")
        files[path.stem] = path
    opened: dict[str, Engine] = {}
    try:
        for name, path in files.items():
            opened[name] = open_engine(path, options)
    except BaseException:
        for engine in opened.values():
            engine.close()
        raise
    return opened


def tables_of(engine: Engine) -> dict[str, NamedTable]:
    """The fitted tables that the file of a model carries, `fitted-N` for N calls."""
    path = engine.model_path()
    found = {}
    for calls, text in ({} if path is None else fitted_tables(path)).items():
        compiled = parse_steps(text, engine.card, str(path))
        options = ("--sampler", "fitted", "--steps", str(calls))
        found[f"fitted-{calls}"] = NamedTable(f"fitted-{calls}", compiled, options)
    return found


def add_steps_files(paths: Sequence[Path], models: Sequence[ServedModel]) -> None:
    """Give each table to the model that it was compiled for, under the name of its file.

    Raises ValueError for names that no URL can hold and for two of a name, DdpmRtError for a table of no such model.
    """
    for path in paths:
        name = path.name.removesuffix(".json").removesuffix(".steps")
        if not NAME.fullmatch(name):
            raise ValueError(f"{path}: a table needs a name of letters, digits, '.', '_' and '-'; rename it")
        model, compiled = _owner(path, models)
        if name in model.tables:
            raise ValueError(f"model {model.name} has two tables named {name}; rename {path}")
        model.tables[name] = NamedTable(name, compiled, ("--steps-file", path.name))


def _owner(path: Path, models: Sequence[ServedModel]) -> tuple[ServedModel, CompiledSampler]:
    """The model that a steps file belongs to. Raises DdpmRtError, that of the last model, where there is none."""
    for model in models[:-1]:
        try:
            return model, read_steps(path, model.engine.card)
        except DdpmRtError:
            continue
    return models[-1], read_steps(path, models[-1].engine.card)


def command_options(engine: Engine) -> tuple[str, ...]:
    """The options of `ddpm-rt sample` that choose a model; of a path, only the name is told."""
    path = engine.model_path()
    return () if path is None or path == BUNDLED else ("--engine", path.name)


def find_model(models: dict[str, ServedModel], named: str) -> tuple[ServedModel, bool]:
    """The model of `NAME` or `NAME@DIGEST`, and whether the digest is there. Raises KeyError, with a sentence."""
    name, _, digest = named.partition("@")
    model = models.get(name)
    if model is None:
        raise KeyError(f"there is no model {quoted(name)}; the models are {', '.join(models)}")
    if digest and not is_digest(digest, model.sha256):
        raise KeyError(f"model {name} is another one now, {name}@{model.digest}")
    return model, bool(digest)


def is_digest(text: str, sha256: str) -> bool:
    """Whether `text` are the first digits of a SHA-256, enough of them."""
    return DIGEST <= len(text) <= len(sha256) and sha256.startswith(text)
