"""The settings of a fit: number of network calls, samples, teacher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..artifacts.card import ModelCard
from ..noise import UINT64_END
from ..requests.inputs import NOTHING
from ..requests.request import BoundRequest, Request

SAMPLES, HELD_OUT, TEACHER_CALLS, SEED = 128, 64, 60, 900
JUDGED, EVALUATIONS = 48, 40  # the search for timesteps tries at most so many paths, on so many samples each


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The settings of a fit. Raises ValueError for settings that no model allows."""

    calls: int | None = None  # network calls for one sample; None: as many as `timesteps`
    timesteps: Sequence[float] | None = None  # descending, as of `Request`; None: choose them
    eta: float = 0.0  # noise of every row, as in DDIM
    samples: int = SAMPLES  # number of samples that the table is fitted to
    held_out: int = HELD_OUT  # number of samples that the table is measured on
    teacher_calls: int = TEACHER_CALLS
    seed: int = SEED  # of the samples for the fit; the held-out samples use seed + 1
    batch: int = 16
    label: Sequence[int] | None = None  # None: the samples cycle through all classes of a conditional model
    guidance: float = 1.0
    inputs: Mapping[str, Any] = NOTHING  # values of the model's named inputs, as of `Request`
    null_inputs: Mapping[str, Any] = NOTHING

    def __post_init__(self) -> None:
        if (self.calls is None) == (self.timesteps is None):
            raise ValueError("give either calls or timesteps")
        if self.calls is not None and self.calls < 1:
            raise ValueError(f"calls must be at least 1, not {self.calls}")
        if not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta must lie in [0, 1], not {self.eta}")
        if min(self.samples, self.held_out) < 1:
            raise ValueError(f"samples and held_out must be at least 1, not {self.samples} and {self.held_out}")
        if self.teacher_calls <= self.count:
            raise ValueError(f"the teacher's {self.teacher_calls} calls must be more than the table's {self.count}")
        self._request(self.seed, self.samples, self.label)  # checks seed, batch and label

    @property
    def count(self) -> int:
        """Network calls for one sample."""
        return len(self.timesteps) if self.timesteps is not None else self.calls or 0

    @property
    def engine_calls(self) -> int:
        """Upper bound of the engine calls of a fit. A call runs one batch."""
        fitted, judged, measured = (-(-count // self.batch) for count in (self.samples, JUDGED, self.held_out))
        teacher = self.teacher_calls + self.count + 2  # the grid also holds both ends and the listed timesteps
        return (
            fitted * (teacher * (2 if self.eta else 1) + self.count)
            + (0 if self.timesteps is not None else min(judged, fitted) * (EVALUATIONS + 1) * self.count)
            + measured * (teacher + 3 * self.count)
        )

    def fitting_to(self, card: ModelCard) -> BoundRequest:
        """The request for the samples of the fit. Raises ValueError for settings that the model does not allow."""
        if card.prev_x0 is not None and self.eta:
            raise ValueError("tune fits a model with self-conditioning without noise; leave out eta")
        return self._request(self.seed, self.samples, labels_for(card, self.label)).bind(card)

    def measured_on(self, card: ModelCard) -> BoundRequest:
        """The request for the held-out samples."""
        seed = (self.seed + 1) % UINT64_END
        return self._request(seed, self.held_out, labels_for(card, self.label)).bind(card)

    def _request(self, seed: int, count: int, label: Sequence[int] | None) -> Request:
        """A request that only selects samples, conditions and guidance: its own sampler is never run."""
        visited = {"steps": 1} if self.timesteps is None else {"timesteps": self.timesteps}
        asked: dict[str, Any] = {**visited, "batch": self.batch, "label": label, "guidance": self.guidance}
        return Request(seed=seed, count=count, inputs=self.inputs, null_inputs=self.null_inputs, **asked)


def labels_for(card: ModelCard, label: Sequence[int] | None) -> Sequence[int] | None:
    """`label`, else all classes of a class-conditional model except its null class."""
    if label is not None or card.classes is None:
        return label
    return [number for number in range(card.classes) if number != card.null_class]
