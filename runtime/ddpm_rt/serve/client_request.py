"""The request of a client, bound to a model: from its fields to the chains that the scheduler runs."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from ..denoiser import times_as
from ..device.lanes import Rows, rows_of
from ..requests.request import BoundRequest, Request
from ..requests.sampler_options import SamplerOptions
from ..samplers import FITTED
from ..text import quoted
from .chain import Chain
from .fields import FIELDS
from .job import Priority
from .served_model import NamedTable, ServedModel, is_digest
from .server_limits import ServerLimits


@dataclass(frozen=True, eq=False)
class ClientRequest:
    """Samples of one model, checked and bound."""

    model: ServedModel
    bound: BoundRequest
    rows: Rows
    table: NamedTable | None = None
    priority: Priority = "interactive"
    is_pinned: bool = False  # the request named the numbers of its sampler, not only a name for them

    @property
    def samples(self) -> range:
        return self.bound.request.samples

    def label_of(self, sample: int) -> int | None:
        labels = self.bound.labels([sample])
        return None if labels is None else int(labels[0])

    def chains(self) -> list[Chain]:
        """A chain for each sample, in order."""
        samples = self.samples
        inputs, null = self.bound.inputs(samples), self.bound.null_inputs(samples)
        return [
            replace(
                self.chain(self.bound.seed, sample, self.label_of(sample)),
                inputs={name: values[place] for name, values in inputs.items()},
                null_inputs={name: values[place] for name, values in null.items()},
            )
            for place, sample in enumerate(samples)
        ]

    def chain(self, seed: int, sample: int, label: int | None) -> Chain:
        """A chain by the sampler of this request, without conditions."""
        bound = self.bound
        return Chain(self.rows, seed, sample, label, bound.guidance, bound.sampler.initial_scale)

    @property
    def has_url(self) -> bool:
        """Whether a URL or a command line can say all that decides the picture: values of conditions they cannot."""
        return not self.bound.request.given_inputs

    def text_of(self, sample: int) -> dict[str, str]:
        """What the PNG of a sample says, as in a folder of `ddpm-rt sample`."""
        return {**self.bound.describe(self.model.sha256), "ddpm-rt.sample": str(sample)}

    def etag(self, sample: int, kind: str) -> str:
        """Weak, because the network may round differently in another batch; it is known before the picture is."""
        request = self.bound.request
        scale, label = self.bound.sampler.initial_scale, self.label_of(sample)
        facts = (self.model.sha256, scale, request.seed, sample, label, request.guidance, kind)
        digest = hashlib.sha256(repr(facts).encode() + self.rows.tobytes()).hexdigest()
        return f'W/"{digest[:32]}"'

    def url(self, sample: int, kind: str = "png") -> str:
        """The URL of a sample, which means the same picture as long as the server has this model and this table."""
        request, query = self.bound.request, self._sampler()
        label = self.label_of(sample)
        query |= {} if label is None else {"label": str(label)}
        query |= {} if request.guidance == 1.0 else {"guidance": repr(request.guidance)}
        name = f"{self.model.name}@{self.model.digest}" if self.model.digest else self.model.name
        return f"/v1/models/{quote(name, safe='@')}/images/{request.seed}/{sample}.{kind}?{urlencode(query, safe='@,')}"

    def command(self, sample: int) -> str:
        """The command line that draws a sample."""
        request, options = self.bound.request, list(self.model.options)
        label = self.label_of(sample)
        options += ["--seed", str(request.seed), "--first", str(sample), "--count", "1"]
        if self.table is not None:
            options += self.table.options
        else:
            options += [part for key, value in self._sampler().items() for part in (f"--{key}", value)]
        options += [] if label is None else ["--label", str(label)]
        options += [] if request.guidance == 1.0 else ["--guidance", repr(request.guidance)]
        return shlex.join(["ddpm-rt", "sample", *options, "--out", f"{sample:06d}.png"])

    def _sampler(self) -> dict[str, str]:
        """What chooses the sampler, as fields of a query."""
        if self.table is not None:
            return {"table": f"{self.table.name}@{self.table.digest}"}
        request = self.bound.request
        said = SamplerOptions.describe(request)
        chosen = {"sampler": said["sampler"]}
        chosen |= {} if request.timesteps is not None else {"steps": said["steps"]}
        for key in ("eta", "spacing", "dialect"):
            value = getattr(request, key)
            chosen |= {} if value is None else {key: str(value)}
        listed = request.timesteps
        return chosen if listed is None else {**chosen, "timesteps": ",".join(map(str, listed))}


def client_request_of(model: ServedModel, fields: Mapping[str, Any], limits: ServerLimits) -> ClientRequest:
    """The request that these fields mean. Raises ValueError, with a sentence for the client, for any other."""
    if unknown := [key for key in fields if key not in FIELDS]:
        raise ValueError(f"there is no field {quoted(unknown[0])}; the fields are {', '.join(FIELDS)}")
    given = {key: FIELDS[key](key, value) for key, value in fields.items() if value is not None}
    priority = given.pop("priority", "interactive")
    table = _table(model, _named_table(model, given))
    if table is not None:
        given["compiled"] = table[0].compiled
    _check_labels_listed(given.get("label"), model, limits)
    count = given.setdefault("count", 1)
    if count > limits.samples:
        raise ValueError(f"count must be at most {limits.samples} on this server, not {quoted(count)}")
    bound = Request(**given).bind(model.engine.card)
    if model.engine.whole_times():
        times_as(bound.table.t, np.int64)
    if bound.request.rows_run > limits.steps:
        raise ValueError(f"steps must be at most {limits.steps} on this server, not {bound.request.rows_run}")
    named_table, table_is_pinned = table or (None, False)
    is_pinned = table_is_pinned if table else "sampler" in given and ("steps" in given or "timesteps" in given)
    rows = rows_of(bound.table, bound.sampler.clip)
    return ClientRequest(model, bound, rows, named_table, priority, is_pinned)


def _check_labels_listed(labels: Sequence[int] | None, model: ServedModel, limits: ServerLimits) -> None:
    """Raises ValueError for a list that is longer than any request needs: each PNG carries the list."""
    most = max(limits.samples, model.engine.card.classes or 0)
    if labels is not None and len(labels) > most:
        raise ValueError(f"label must be at most {most} numbers on this server, not {len(labels)}")


def _named_table(model: ServedModel, given: dict[str, Any]) -> str | None:
    """Takes the name of a table out of the fields; sampler `fitted` is one that the file of the model carries."""
    name: str | None = given.pop("table", None)
    if given.get("sampler") != FITTED or name is not None:
        return name
    del given["sampler"]
    fitted = [table.compiled.table.steps for table in model.tables.values() if "fitted" in table.options]
    return f"{FITTED}-{given.pop('steps', max(fitted, default=0))}"


def _table(model: ServedModel, named: str | None) -> tuple[NamedTable, bool] | None:
    """The table of `NAME` or `NAME@DIGEST`, and whether the digest is there."""
    if named is None:
        return None
    name, _, digest = named.partition("@")
    table = model.tables.get(name)
    if table is None:
        known = f"its tables are {', '.join(model.tables)}" if model.tables else "it has none; use sampler and steps"
        raise ValueError(f"model {model.name} has no table {quoted(name)}; {known}")
    if digest and not is_digest(digest, table.digest):
        raise ValueError(f"table {name} is another one now, {name}@{table.digest}")
    return table, bool(digest)
