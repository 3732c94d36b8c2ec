"""What to sample: which of the infinitely many images of a seed, and by which sampler."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Protocol

import numpy as np

from ..artifacts.card import ModelCard
from ..artifacts.steps_file import table_sha256
from ..denoiser import Batch, Denoiser
from ..engine import Engine
from ..host_loop import Noise, Step, trajectory
from ..noise import LIMIT
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.dialects import Clip
from ..samplers.table import StepTable
from .labels import Labels, check_labels, with_labels
from .sampler_options import SamplerOptions

Progress = Callable[[int, int], object]  # (network calls done, network calls in all)


class Chain(NamedTuple):
    """What the samples of one batch go through: arguments of `sampler.trajectory`."""

    table: StepTable
    clip: Clip
    start: Batch | None = None
    first_row: int = 0
    noise: Noise | None = None


class Watch(NamedTuple):
    """Who looks on while images are drawn."""

    step: Callable[[], object] = lambda: None  # called after every step of a batch
    frame: Callable[[Step], object] = lambda step: None  # called after the rows of `frames`; copies what it keeps
    frames: Collection[int] = ()


class Loop(Protocol):
    """What runs whole requests where the engine is, without the host between the steps: `device.loop`."""

    def batch_for(self, request: "Request") -> int:
        """The most samples to a batch, at most `request.batch`."""

    def finals(self, request: "Request", samples: Sequence[int], watch: Watch) -> Iterator[tuple[Sequence[int], Batch]]:
        """As `Request.finals`."""

    def close(self) -> None:
        """Gives back what it holds of the device."""


@dataclass(frozen=True, kw_only=True)
class Request(SamplerOptions):
    """Samples `first` .. `first + count - 1` of `seed`. Raises ValueError for what cannot be asked."""

    plan: CompiledSampler | None = None  # of a steps file, instead of a recipe
    seed: int = 0
    first: int = 0
    count: int = 16
    batch: int = 16  # images to a call of the network; changes the speed, not the images
    label: Sequence[int] | None = None  # of the samples, by number, over and over
    guidance: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        asked = [field.name for field in fields(SamplerOptions) if getattr(self, field.name) is not None]
        if self.plan is not None and asked:
            raise ValueError(f"the steps file decides the sampler; leave out {', '.join(asked)}")
        if not 0 <= self.seed < LIMIT:
            raise ValueError(f"seed must lie in [0, 2^64), not {self.seed}")
        if self.first < 0 or self.count < 1 or self.first + self.count > LIMIT:
            raise ValueError(f"first {self.first} and count {self.count} must name samples in [0, 2^64)")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, not {self.batch}")

    @property
    def calls(self) -> int:
        return super().calls if self.plan is None else self.plan.table.steps

    @property
    def rows_run(self) -> int:
        """Rows of the table that a sample goes through: all of them, unless it begins on the way."""
        return self.calls

    @property
    def is_walk(self) -> bool:
        """Whether the samples follow one another, so that an animation shows them, and not their trajectories."""
        return False

    @property
    def is_steered(self) -> bool:
        """Whether we have a hand in the steps, so that no device can run them by itself."""
        return False

    @property
    def samples(self) -> range:
        return range(self.first, self.first + self.count)

    def plan_for(self, card: ModelCard) -> CompiledSampler:
        """The sampler for this model. Raises ValueError for steps, labels or guidance that it does not allow."""
        check_labels(card, self.label, self.guidance)
        return self.compiled(card) if self.plan is None else self.plan

    def table(self, card: ModelCard) -> StepTable:
        """The table of `plan_for`."""
        return self.plan_for(card).table

    def batches(self, samples: Sequence[int]) -> Iterator[Sequence[int]]:
        """`samples` in portions of `batch`."""
        for start in range(0, len(samples), self.batch):
            yield samples[start : start + self.batch]

    def labels(self, samples: Sequence[int]) -> Labels | None:
        """The labels of these samples, int64 `[len(samples)]`, if there are any."""
        if self.label is None:
            return None
        return np.array([self.label[sample % len(self.label)] for sample in samples], np.int64)

    def denoiser(self, engine: Engine, samples: Sequence[int]) -> Denoiser:
        """`engine` with the labels of these samples bound to it, if there are any."""
        labels = self.labels(samples)
        if labels is None:
            return engine
        return with_labels(engine, labels, guidance=self.guidance, null_class=engine.card.null_class)

    def chain(self, card: ModelCard, samples: Sequence[int]) -> Chain:
        """What these samples go through."""
        plan = self.plan_for(card)
        return Chain(plan.table, plan.clip)

    def trajectory(self, engine: Engine, card: ModelCard, samples: Sequence[int]) -> Iterator[Step]:
        """The steps of one batch."""
        table, clip, start, first_row, noise = self.chain(card, samples)
        return trajectory(
            self.denoiser(engine, samples),
            table,
            card.image_shape,
            seed=self.seed,
            samples=samples,
            clip=clip,
            noise=noise,
            start=start,
            first_row=first_row,
        )

    def finals(self, engine: Engine, samples: Sequence[int], watch: Watch) -> Iterator[tuple[Sequence[int], Batch]]:
        """Batch by batch, as they are done: which samples, and their images `[B, C, H, W]`.

        An engine with a loop of its own runs it, if the request leaves it alone.
        """
        if (loop := self._loop_of(engine)) is not None:
            yield from loop.finals(self, samples, watch)
            return
        for portion in self.batches(samples):
            for step in self.trajectory(engine, engine.card, portion):
                watch.step()
                if step.row in watch.frames:
                    watch.frame(step)
            yield portion, step.x

    def _loop_of(self, engine: Engine) -> Loop | None:
        return None if self.is_steered else getattr(engine, "loop", None)

    def fitted(self, engine: Engine) -> "Request":
        """The same request, in batches that the engine has room for."""
        loop = self._loop_of(engine)
        return self if loop is None else replace(self, batch=loop.batch_for(self))

    def drawn(self, engine: Engine, progress: Progress | None = None) -> Batch:
        """All of them, float32 `[count, C, H, W]`."""
        request, done = self.fitted(engine), 0
        total = self.rows_run * len(range(0, self.count, request.batch))

        def step() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        return np.concatenate([images for _, images in request.finals(engine, self.samples, Watch(step))])

    def describe(self, model_sha256: str = "") -> dict[str, str]:
        """What decides an image besides its number, as text: a PNG carries it."""
        plan = self.plan
        recipe = super().describe() if plan is None else {"sampler": plan.sampler, "steps": str(plan.table.steps)}
        return {
            "ddpm-rt.seed": str(self.seed),
            **{f"ddpm-rt.{key}": value for key, value in recipe.items()},
            "ddpm-rt.table": "-" if plan is None else table_sha256(plan),
            "ddpm-rt.label": "-" if self.label is None else " ".join(map(str, self.label)),
            "ddpm-rt.guidance": str(self.guidance),
            "ddpm-rt.model": model_sha256,
        }
