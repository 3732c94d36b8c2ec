"""What to sample: which of the images of a seed, and by which sampler; and the same bound to one model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..artifacts.card import ModelCard
from ..artifacts.steps_file import table_sha256
from ..denoiser import Batch, Denoiser, LabelledDenoiser, times_as
from ..engine import ChainInputs, Engine, Loop, Watch, as_engine
from ..host_loop import Beginning, Step, trajectory
from ..limits import MAX_BATCH, MAX_COUNT, as_integer, check_count, check_number
from ..noise import UINT64_END
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.table import StepTable, check_table
from ..text import quoted
from .conditioned import Conditions, Labels, conditioned
from .inputs import NOTHING, GivenInputs, as_inputs, check_given_inputs, inputs_of
from .labels import as_labels, check_labels, every_class
from .sampler_options import MODEL_SPACING, SamplerOptions

Kind = TypeVar("Kind", bound="Request")
Progress = Callable[[int, int], object]  # (network calls done, network calls in all)


@dataclass(frozen=True, kw_only=True)
class Request(SamplerOptions):
    """Samples `first` .. `first + count - 1` of `seed`, for any model. Raises ValueError for arguments out of range.

    `bind(card)` compiles and checks it for one model.
    """

    compiled: CompiledSampler | None = None  # from a steps file, instead of sampler options
    seed: int = 0
    first: int = 0
    count: int = 16
    batch: int = 16  # images to a call of the network; changes the speed, not the images
    label: int | Sequence[int] | None = None  # sample n has label n modulo their count; kept as a tuple. None: `bind`
    # asks a model with a null class for every class in turn
    guidance: float = 1.0
    inputs: Mapping[str, Any] = NOTHING  # values of the model's named inputs; kept as `GivenInputs`
    null_inputs: Mapping[str, Any] = NOTHING  # with guidance: the values that stand for no condition

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "label", as_labels(self.label))
        for name in ("inputs", "null_inputs"):
            object.__setattr__(self, name, as_inputs(getattr(self, name)))
        asked = [field.name for field in fields(SamplerOptions) if getattr(self, field.name) is not None]
        if self.compiled is not None and asked:
            raise ValueError(f"the steps file decides the sampler; leave out {', '.join(asked)}")
        check_number("guidance", self.guidance)
        if self.null_inputs and self.guidance == 1.0:
            raise ValueError("null inputs are for guidance; give a guidance other than 1")
        for name, most in (("count", MAX_COUNT), ("batch", MAX_BATCH)):
            object.__setattr__(self, name, check_count(name, getattr(self, name), most))
        for name in ("seed", "first"):
            object.__setattr__(self, name, as_integer(name, getattr(self, name)))
        if not 0 <= self.seed < UINT64_END:
            raise ValueError(f"seed must lie in [0, 2^64), not {quoted(self.seed)}")
        if self.first < 0 or self.first + self.count > UINT64_END:
            raise ValueError(f"first {quoted(self.first)} and count {self.count} must name samples in [0, 2^64)")

    @property
    def calls(self) -> int:
        return super().calls if self.compiled is None else self.compiled.table.steps

    @property
    def rows_run(self) -> int:
        """Rows of the table that a sample goes through: fewer than `calls` where the chain starts at a later row."""
        return self.calls

    @property
    def is_walk(self) -> bool:
        """Whether the samples follow one another, so that an animation shows them instead of their trajectories."""
        return False

    @property
    def is_steered(self) -> bool:
        """Whether the host changes x between the steps, so that no engine's own loop can run the chain."""
        return False

    @property
    def samples(self) -> range:
        return range(self.first, self.first + self.count)

    def bind(self, card: ModelCard) -> "BoundRequest":
        """The request for the model of `card`, compiled and checked. Raises ValueError for what the model lacks."""
        request = self if self.label is not None else replace(self, label=self.default_label(card))
        check_given_inputs(card, self.given_inputs, as_inputs(self.null_inputs))
        check_labels(card, as_labels(request.label), self.guidance, has_null_inputs=bool(self.null_inputs))
        compiled = request.compile_for(card)
        check_table(compiled.table)
        return BoundRequest(request, card, compiled)

    def default_label(self, card: ModelCard) -> tuple[int, ...] | None:
        """The labels of samples without a label: every class in turn, so in equal shares, if there is a null class.

        An edit asks for the null class, because an image decides what it draws.
        """
        return every_class(card)

    def compile_for(self, card: ModelCard) -> CompiledSampler:
        """The sampler of this request for a model. Raises ValueError for what the model does not allow."""
        return self.compile(card) if self.compiled is None else self.compiled

    def chain(self, bound: "BoundRequest", samples: Sequence[int]) -> ChainInputs:
        """Table, clip and beginning for these samples, a batch. Kinds of requests that begin elsewhere override it."""
        return ChainInputs(bound.table, bound.sampler.clip, Beginning(scale=bound.sampler.initial_scale))

    def trajectory(self, bound: "BoundRequest", engine: Engine, samples: Sequence[int]) -> Iterator[Step]:
        """The steps of one batch. An edit changes x between them."""
        return bound.run_on_host(bound.denoiser(engine, samples), samples)

    def drawn(self, engine: LabelledDenoiser, progress: Progress | None = None) -> Batch:
        """All images, float32 `[count, C, H, W]`; `engine` may be any callable with a card.

        Raises ValueError for what the model does not allow.
        """
        engine = as_engine(engine)
        return self.bind(engine.card).for_engine(engine).drawn(engine, progress)

    def describe(self, model_sha256: str = "") -> dict[str, str]:
        """What decides an image besides its number, as text: a PNG carries it."""
        compiled = self.compiled
        options = (
            super().describe()
            if compiled is None
            else {"sampler": compiled.sampler, "steps": str(compiled.table.steps)}
        )
        return {
            "ddpm-rt.seed": str(self.seed),
            **{f"ddpm-rt.{key}": value for key, value in options.items()},
            "ddpm-rt.table": "-" if compiled is None else table_sha256(compiled),
            "ddpm-rt.label": "-" if self.label is None else " ".join(map(str, as_labels(self.label) or ())),
            "ddpm-rt.guidance": str(self.guidance),
            "ddpm-rt.model": model_sha256,
            **{f"ddpm-rt.{name}": given.describe() for name, given in self._all_inputs().items() if given},
        }

    @property
    def given_inputs(self) -> GivenInputs:
        return as_inputs(self.inputs)

    def _all_inputs(self) -> dict[str, GivenInputs]:
        return {"inputs": self.given_inputs, "null-inputs": as_inputs(self.null_inputs)}


@dataclass(frozen=True, eq=False)
class BoundRequest:
    """A request for one model. Its sampler was compiled and checked when it was bound, once."""

    request: Request
    card: ModelCard
    sampler: CompiledSampler

    @property
    def table(self) -> StepTable:
        return self.sampler.table

    @property
    def seed(self) -> int:
        return self.request.seed

    @property
    def batch(self) -> int:
        return self.request.batch

    @property
    def guidance(self) -> float:
        return self.request.guidance

    def batches(self, samples: Sequence[int]) -> Iterator[Sequence[int]]:
        """`samples` in portions of `batch`."""
        for start in range(0, len(samples), self.batch):
            yield samples[start : start + self.batch]

    def calls_for(self, samples: Sequence[int]) -> int:
        """Calls of the network that these samples take, batch by batch."""
        return self.request.rows_run * len(range(0, len(samples), self.batch))

    def labels(self, samples: Sequence[int]) -> Labels | None:
        """The labels of these samples, int64 `[len(samples)]`, if there are any."""
        labels = as_labels(self.request.label)
        if labels is None:
            return None
        return np.array([labels[sample % len(labels)] for sample in samples], np.int64)

    def inputs(self, samples: Sequence[int]) -> dict[str, NDArray[Any]]:
        """The values of the model's conditions for these samples, `[len(samples), ...]` each."""
        return inputs_of(self.card, self.request.given_inputs, samples)

    def null_inputs(self, samples: Sequence[int]) -> dict[str, NDArray[Any]]:
        """The same of the values that stand for no condition."""
        return inputs_of(self.card, as_inputs(self.request.null_inputs), samples)

    def denoiser(self, engine: Engine, samples: Sequence[int]) -> Denoiser:
        """`engine` with the labels and inputs of these samples bound to it, if there are any."""
        conditions = Conditions(self.labels(samples), self.inputs(samples), self.card.prev_x0)
        if conditions.are_none:
            return cast(Denoiser, engine)  # the loop calls it with x and t alone
        return conditioned(engine, conditions, guidance=self.guidance, null=self._null(samples))

    def _null(self, samples: Sequence[int]) -> Conditions | None:
        """What stands for no condition, if anything does."""
        null_class, inputs = self.card.null_class, self.null_inputs(samples)
        if null_class is None and not inputs:
            return None
        labels = None if null_class is None else np.full(len(samples), null_class, np.int64)
        return Conditions(labels, inputs)

    def chain(self, samples: Sequence[int]) -> ChainInputs:
        """The arguments of `host_loop.trajectory` for these samples, a batch. Every loop asks for them here."""
        return self.request.chain(self, samples)

    def trajectory(self, engine: Engine, samples: Sequence[int]) -> Iterator[Step]:
        """The steps of one batch, by the host loop."""
        return self.request.trajectory(self, engine, samples)

    def run_on_host(self, denoise: Denoiser, samples: Sequence[int]) -> Iterator[Step]:
        """The same with the denoiser of these samples, and without changes of x between the steps."""
        table, clip, begin, noise = self.chain(samples)
        return trajectory(
            denoise,
            table,
            self.card.image_shape,
            seed=self.seed,
            samples=samples,
            clip=clip,
            noise=noise,
            begin=begin,
            self_conditioned=self.card.prev_x0 is not None,
        )

    def finals(self, engine: Engine, samples: Sequence[int], watch: Watch) -> Iterator[tuple[Sequence[int], Batch]]:
        """Batch by batch, when it is done: its sample numbers, and their images `[B, C, H, W]`.

        An engine's own loop runs the chains, unless the host steers the steps.
        """
        if (loop := self._loop_of(engine)) is not None:
            yield from loop.finals(self, samples, watch)
            return
        for portion in self.batches(samples):
            for step in self.trajectory(engine, portion):
                watch.step()
                if step.row in watch.frames:
                    watch.frame(step)
            yield portion, step.x

    def _loop_of(self, engine: Engine) -> Loop | None:
        return None if self.request.is_steered else engine.loop

    def for_engine(self, engine: Engine) -> "BoundRequest":
        """The same request, in batches that the engine has room for.

        Raises ValueError for fractional times where the engine's network takes integers.
        """
        if engine.whole_times():
            times_as(self.table.t, np.int64)
        loop = self._loop_of(engine)
        return self if loop is None else replace(self, request=replace(self.request, batch=loop.batch_for(self)))

    def describe(self, model_sha256: str = "") -> dict[str, str]:
        """`Request.describe` with what the model decides: a PNG needs no other file to be drawn again."""
        text = self.request.describe(model_sha256)
        if text.get("ddpm-rt.spacing") == MODEL_SPACING:
            text["ddpm-rt.spacing"] = self.card.spacing
        return text

    def drawn(self, engine: Engine, progress: Progress | None = None) -> Batch:
        """All images, float32 `[count, C, H, W]`."""
        done, total = 0, self.calls_for(self.request.samples)

        def step() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        with np.errstate(over="ignore", invalid="ignore"):  # an image that is not finite is an error of its own
            return np.concatenate([images for _, images in self.finals(engine, self.request.samples, Watch(step))])


def extended(kind: type[Kind], request: Request | None, **more: Any) -> Kind:
    """A request of another kind with the fields of `request`, or their defaults, and `more`."""
    if not isinstance(request, Request | None):
        raise ValueError(f"request must be a ddpm_rt.Request, not {quoted(request)}")
    known = {} if request is None else {field.name: getattr(request, field.name) for field in fields(Request)}
    return kind(**known | more)
