"""The provenance of a fitted table, which a steps file holds as text under the key `sampler`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..samplers import FITTED


@dataclass(frozen=True, kw_only=True)
class RanOn:
    """The engine that a table was fitted on."""

    model: str  # SHA-256 of the model file without its embedded tables
    precision: str  # as in the card
    provider: str  # cpu, cuda or tensorrt


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The settings of a fit, and the errors of the table and its baselines."""

    timesteps: Sequence[float]  # sigmas of a process of sigma, times of a flow
    eta: float
    label: Sequence[int] | None
    guidance: float
    inputs: str = "-"  # the names of the named inputs, with hashes of their values
    teacher_calls: int
    seed: int  # of the samples used for the fit
    samples: int
    held_out_seed: int  # of the samples used for `errors`
    held_out: int
    errors: Mapping[str, float]  # table: root mean square distance to the teacher's images
    ran_on: RanOn

    @property
    def worse_than(self) -> list[str]:
        """The names of the tables that are closer to the teacher than the fitted table."""
        fitted = self.errors[FITTED]
        return [name for name, error in self.errors.items() if error < fitted]

    def describe(self) -> str:
        """The provenance as `key value` pairs on one line, the form of the key `sampler` in a steps file."""
        words = {
            "sampler": FITTED,
            "steps": str(len(self.timesteps)),
            "eta": str(self.eta),
            "label": "-" if self.label is None else " ".join(map(str, self.label)),
            "guidance": str(self.guidance),
            "inputs": self.inputs,
            "teacher": f"dpm++ {self.teacher_calls}",
            "seed": str(self.seed),
            "samples": str(self.samples),
            "held-out seed": str(self.held_out_seed),
            "held-out samples": str(self.held_out),
            **{f"RMS error of {name}": f"{error:.4g}" for name, error in self.errors.items()},
            "model": self.ran_on.model,
            "precision": self.ran_on.precision,
            "provider": self.ran_on.provider,
        }
        return ", ".join(f"{key} {value}" for key, value in words.items() if value != "-")
