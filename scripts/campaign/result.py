"""The trials and failures of one part of the campaign."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Result:
    """The number of trials by name of the case, and a short description of each failure."""

    part: str
    tried: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)  # name of the case, fault

    def count(self, name: str, faults: Iterable[str] = ()) -> None:
        """Record one trial and its faults."""
        self.tried[name] = self.tried.get(name, 0) + 1
        self.failures += [(name, fault) for fault in list(faults)[:1]]

    def failed(self, name: str) -> int:
        return sum(failed == name for failed, _ in self.failures)

    def rows(self) -> list[tuple[str, str, int, int]]:
        return [(self.part, name, tried, self.failed(name)) for name, tried in self.tried.items()]


def table(results: Iterable[Result]) -> str:
    """One row for each case, one for each part, and the total."""
    results = list(results)
    lines = [f"{'part':<14} {'case':<34} {'tried':>7} {'failed':>7}"]
    for result in results:
        lines += [f"{part:<14} {name:<34} {tried:>7} {failed:>7}" for part, name, tried, failed in result.rows()]
        lines.append(f"{result.part:<14} {'all':<34} {sum(result.tried.values()):>7} {len(result.failures):>7}")
    tried = sum(sum(result.tried.values()) for result in results)
    lines.append(f"{'all':<14} {'':<34} {tried:>7} {sum(len(result.failures) for result in results):>7}")
    return "\n".join(lines) + "\n"
