"""A clock that stands still."""


class HeldClock:
    """Stands in for the module `time` where the device loop reads the time: it moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
