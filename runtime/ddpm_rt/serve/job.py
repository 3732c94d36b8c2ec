"""The samples of one request, as the scheduler runs them."""

import itertools
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Literal, NamedTuple, get_args

from ..denoiser import Batch
from ..errors import DdpmRtError
from ..host_loop import Step
from ..text import quoted
from .chain import Chain

Priority = Literal["interactive", "bulk"]
WEIGHTS: dict[Priority, float] = {"interactive": 1.0, "bulk": 0.25}  # shares of the lanes, while both kinds wait
_numbers = itertools.count()


def parse_priority(value: object) -> Priority:
    """Raises ValueError for anything but the name of a priority."""
    for name in get_args(Priority):
        if value == name:
            found: Priority = name
            return found
    raise ValueError(f"priority must be {' or '.join(get_args(Priority))}, not {quoted(value)}")


class Listener(NamedTuple):
    """Callbacks that follow a job, called in the scheduler's thread: they must not wait."""

    stepped: Callable[[int, Step], object] = lambda place, step: None  # place in the job, after the rows in `frames`
    drawn: Callable[[int], object] = lambda place: None  # when a sample is done
    frames: Collection[int] = ()


UNHEARD = Listener()


class Job:
    """Chains that belong together. `result` is the list of their images `[C, H, W]`, in order.

    The result is an exception when a chain or the engine fails, and is cancelled by `Scheduler.cancel`.
    """

    def __init__(
        self, chains: Sequence[Chain], *, priority: Priority = "interactive", listener: Listener = UNHEARD
    ) -> None:
        if not chains:
            raise ValueError("a job needs a sample")
        self.chains, self.priority, self.listener = list(chains), priority, listener
        self.result: Future[list[Batch]] = Future()
        self.number = next(_numbers)
        self.left = len(self.chains)

    @property
    def is_over(self) -> bool:
        return self.result.done()

    def fail(self, error: DdpmRtError) -> None:
        with suppress(InvalidStateError):  # cancelled meanwhile, in another thread
            self.result.set_exception(error)

    def finish_one(self, place: int) -> None:
        """Count a chain that is done; the last one sets the result."""
        self.chains[place].detach()
        self.left -= 1
        self.listener.drawn(place)
        if self.left == 0:
            with suppress(InvalidStateError):
                self.result.set_result([chain.x for chain in self.chains if chain.x is not None])
