"""A clock that stands still."""


class HeldClock:
    """Replaces the module `time` in the device loop. Only a test moves this clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
