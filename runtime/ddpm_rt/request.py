"""What to sample: which of the infinitely many images of a seed, and by which sampler."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from .card import ModelCard
from .denoiser import Denoiser
from .noise import LIMIT
from .sampler import Step, trajectory
from .schedule import Spacing, StepTable, ddim, ddpm, timesteps

Sampler = Literal["ddpm", "ddim"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """Samples `first` .. `first + count - 1` of `seed`. Raises ValueError for what cannot be asked."""

    sampler: Sampler = "ddim"
    steps: int = 50
    eta: float | None = None  # ddim only; None is 0
    seed: int = 0
    first: int = 0
    count: int = 16
    batch: int = 16  # images to a call of the network; changes the speed, not the images
    spacing: Spacing | None = None  # None is the card's

    def __post_init__(self) -> None:
        if self.sampler not in get_args(Sampler):
            raise ValueError(f"sampler must be ddpm or ddim, not {self.sampler!r}")
        if self.sampler == "ddpm" and self.eta is not None:
            raise ValueError("eta is an option of ddim; ddpm has none")
        if self.eta is not None and not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta must lie in [0, 1], not {self.eta}")
        if not 0 <= self.seed < LIMIT:
            raise ValueError(f"seed must lie in [0, 2^64), not {self.seed}")
        if self.first < 0 or self.count < 1 or self.first + self.count > LIMIT:
            raise ValueError(f"first {self.first} and count {self.count} must name samples in [0, 2^64)")
        if self.batch < 1 or self.steps < 1:
            raise ValueError(f"batch and steps must be at least 1, not {self.batch} and {self.steps}")

    @property
    def samples(self) -> range:
        return range(self.first, self.first + self.count)

    def table(self, card: ModelCard) -> StepTable:
        """The sampler as a table for this model. Raises ValueError when it was trained with fewer steps."""
        chosen = timesteps(len(card.betas), self.steps, self.spacing or card.spacing)
        if self.sampler == "ddpm":
            return ddpm(card.schedule, chosen, prediction=card.prediction, variance=card.variance)
        return ddim(card.schedule, chosen, prediction=card.prediction, eta=self.eta or 0.0)

    def batches(self, samples: Sequence[int]) -> Iterator[Sequence[int]]:
        """`samples` in portions of `batch`."""
        for start in range(0, len(samples), self.batch):
            yield samples[start : start + self.batch]

    def trajectory(self, denoise: Denoiser, card: ModelCard, samples: Sequence[int]) -> Iterator[Step]:
        """The steps of one batch."""
        table = self.table(card)
        return trajectory(denoise, table, card.image_shape, seed=self.seed, samples=samples, clip=card.clip)

    def describe(self, model_sha256: str) -> dict[str, str]:
        """What decides an image besides its number, as text: a PNG carries it."""
        return {
            "ddpm-rt.seed": str(self.seed),
            "ddpm-rt.sampler": self.sampler,
            "ddpm-rt.steps": str(self.steps),
            "ddpm-rt.eta": str(self.eta or 0.0) if self.sampler == "ddim" else "-",
            "ddpm-rt.spacing": self.spacing or "the model's",
            "ddpm-rt.model": model_sha256,
        }
