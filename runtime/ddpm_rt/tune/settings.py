"""What to fit a table to: how many calls, to which samples, against which teacher."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..artifacts.card import ModelCard
from ..noise import LIMIT
from ..requests.request import BoundRequest, Request

SAMPLES, HELD_OUT, TEACHER_CALLS, SEED = 128, 64, 60, 900
JUDGED, EVALUATIONS = 48, 40  # of the search for timesteps: samples that one is judged by, and paths, at most


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What to fit, and to how much. Raises ValueError for what cannot be asked of any model."""

    calls: int | None = None  # of the network a sample; None is as many as `timesteps`
    timesteps: Sequence[int] | None = None  # listed, descending; None is to choose them
    eta: float = 0.0  # noise of every row, as of DDIM
    samples: int = SAMPLES  # that the table is fitted to
    held_out: int = HELD_OUT  # samples that it is measured on
    teacher_calls: int = TEACHER_CALLS
    seed: int = SEED  # of the samples; those that are held out have the next
    batch: int = 16
    label: Sequence[int] | None = None  # None is every class of a class-conditional model in turn
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if (self.calls is None) == (self.timesteps is None):
            raise ValueError("give one of calls and timesteps")
        if self.calls is not None and self.calls < 1:
            raise ValueError(f"calls must be at least 1, not {self.calls}")
        if not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta must lie in [0, 1], not {self.eta}")
        if min(self.samples, self.held_out) < 1:
            raise ValueError(f"samples must be at least 1, not {self.samples} and {self.held_out}")
        if self.teacher_calls <= self.count:
            raise ValueError(f"the teacher needs more calls than the table: {self.teacher_calls} to {self.count}")
        self._request(self.seed, self.samples, self.label)  # which checks seed, batch and label

    @property
    def count(self) -> int:
        """Calls of the network for one sample."""
        return len(self.timesteps) if self.timesteps is not None else self.calls or 0

    @property
    def engine_calls(self) -> int:
        """Calls of the engine that a fit makes at most, each of a batch of samples or a smaller one."""
        fitted, judged, measured = (-(-count // self.batch) for count in (self.samples, JUDGED, self.held_out))
        teacher = self.teacher_calls + self.count + 2  # the grid has both ends, and the timesteps that are listed
        return (
            fitted * (teacher * (2 if self.eta else 1) + self.count)
            + (0 if self.timesteps is not None else min(judged, fitted) * (EVALUATIONS + 1) * self.count)
            + measured * (teacher + 3 * self.count)
        )

    def fitting_to(self, card: ModelCard) -> BoundRequest:
        """The samples that the table is fitted to. Raises ValueError for what the model does not allow."""
        if card.process is not None:
            raise ValueError(f"tune fits tables for a process of betas; the model's is {card.process.kind}")
        if card.inputs:
            raise ValueError(f"tune knows no inputs, and the model takes {', '.join(card.inputs)}")
        return self._request(self.seed, self.samples, labels_for(card, self.label)).bind(card)

    def measured_on(self, card: ModelCard) -> BoundRequest:
        """The samples that are held out."""
        seed = (self.seed + 1) % LIMIT
        return self._request(seed, self.held_out, labels_for(card, self.label)).bind(card)

    def _request(self, seed: int, count: int, label: Sequence[int] | None) -> Request:
        """Its sampler, DDIM in one step unless timesteps are listed, is never run: the request names samples."""
        visited = {"steps": 1} if self.timesteps is None else {"timesteps": self.timesteps}
        asked: dict[str, Any] = {**visited, "batch": self.batch, "label": label, "guidance": self.guidance}
        return Request(seed=seed, count=count, **asked)


def labels_for(card: ModelCard, label: Sequence[int] | None) -> Sequence[int] | None:
    """`label`; without one, every class of a class-conditional model, but not that which stands for none."""
    if label is not None or card.classes is None:
        return label
    return [number for number in range(card.classes) if number != card.null_class]
