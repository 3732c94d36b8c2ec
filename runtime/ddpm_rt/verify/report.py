"""The report of `verify`, as text and as JSON."""

import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..artifacts.card import ModelCard
from ..requests.request import Request
from .comparison import Comparison, StepError
from .verdict import Tolerance, Verdict, judge

FORMAT = 1
LINES = 8  # evenly spaced steps in the short table; the worst steps are added


@dataclass(frozen=True)
class Compared:
    """One side of the comparison, as it appears in the report."""

    name: str  # of the file or folder
    card: ModelCard

    def facts(self) -> dict[str, str]:
        return {
            "name": self.name,
            "precision": self.card.precision,
            "weights_sha256": self.card.provenance.weights_sha256,
            "card_sha256": self.card.sha256,
        }


@dataclass(frozen=True, eq=False)
class Report:
    """One run of `verify`."""

    engine: Compared
    reference: Compared
    request: Request
    comparison: Comparison
    tolerance: Tolerance

    @cached_property
    def verdict(self) -> Verdict:
        return judge(self.comparison, self.tolerance)

    @property
    def line(self) -> str:
        """The verdict in one line."""
        return self.verdict.line(self.comparison, self.tolerance)

    @property
    def lines(self) -> dict[str, str]:
        """Facts about the comparison: name to value."""
        request = self.request
        eta = f", eta {request.eta or 0.0:g}" if request.sampler == "ddim" else ""
        return {
            "engine": f"{self.engine.name} ({self.engine.card.precision})",
            "reference": f"{self.reference.name} ({self.reference.card.precision})",
            "weights": self.engine.card.provenance.weights_sha256[:12]
            + ("" if self._same_weights else f" against {self.reference.card.provenance.weights_sha256[:12]}"),
            "sampler": f"{request.sampler}, {request.steps} steps{eta}",
            "noise": f"seed {request.seed}, samples {request.first} to {request.first + request.count - 1}",
        }

    @property
    def _same_weights(self) -> bool:
        one, other = self.engine.card.provenance, self.reference.card.provenance
        return one.weights_sha256 == other.weights_sha256

    def chosen(self) -> list[StepError]:
        """The steps of the short table: evenly spaced, worst, first over the tolerance, and non-finite steps."""
        steps = self.comparison.steps
        rows = set(np.linspace(0, len(steps) - 1, LINES).round().astype(int).tolist())
        rows |= {step.row for step in (self.verdict.first_over, self.verdict.worst_x) if step is not None}
        rows |= {place.row for place in self.comparison.non_finite[:LINES]}
        return [steps[row] for row in sorted(rows)]

    def table(self) -> str:
        """The short table as text."""
        rows: list[tuple[str, ...]] = [("step", "t", "out max", "out rms", "x max", "x rms", "")]
        for step in self.chosen():
            numbers = (step.out_max, step.out_rms, step.x_max, step.x_rms)
            rows.append((str(step.row), str(step.t), *map(number, numbers), self.remark(step)))
        form = "{:>5} {:>5}  {:>9} {:>9}  {:>9} {:>9}  {}"
        return "\n".join(form.format(*row).rstrip() for row in rows)

    def remark(self, step: StepError) -> str:
        """The remark on a step: a side is not finite, or the step is the first over the tolerance."""
        remarks = [f"{place.side} not finite" for place in self.comparison.non_finite if place.row == step.row]
        if step == self.verdict.first_over:
            remarks.append("first over the tolerance")
        return ", ".join(remarks)

    def to_json(self) -> str:
        """The report as JSON, without the images. Numbers that are not finite become null."""
        verdict, request = self.verdict, self.request
        whole: dict[str, Any] = {
            "format": FORMAT,
            "ok": verdict.ok,
            "verdict": self.line,
            "engine": self.engine.facts(),
            "reference": self.reference.facts(),
            "sampler": {
                "name": request.sampler,
                "steps": request.steps,
                "eta": (request.eta or 0.0) if request.sampler == "ddim" else None,
                "seed": request.seed,
                "first": request.first,
                "count": request.count,
            },
            "tolerance": asdict(self.tolerance),
            "first_over": None if verdict.first_over is None else verdict.first_over._asdict(),
            "non_finite": [place._asdict() for place in self.comparison.non_finite],
            "psnr": [value if math.isfinite(value) else None for value in self.comparison.psnr.tolist()],
            "steps": [step._asdict() for step in self.comparison.steps],
        }
        return json.dumps(whole, indent=2, allow_nan=False)


def number(value: float | None) -> str:
    """An error as short text."""
    return "-" if value is None else "0" if value == 0 else f"{value:.2e}"
