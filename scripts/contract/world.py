"""What the rows share: the bundled model and its images by Python."""

import sys
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm_rt import Request
from ddpm_rt.artifacts.steps_file import write_steps
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.sampler_options import SamplerOptions

from .measured import FIRST, MODEL_COUNT, MODEL_SAMPLER, MODEL_STEPS, SEED

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))


class World:
    """The folder of the run, and what is made in it once."""

    def __init__(self, folder: Path) -> None:
        self.root, self.folder, self.model = ROOT, folder, bundled_model()
        self.samples = range(FIRST, FIRST + MODEL_COUNT)
        self._engine = OrtDenoiser(self.model)
        self.sampler = SamplerOptions(sampler=MODEL_SAMPLER, steps=MODEL_STEPS).compile(self._engine.card)
        card = self._engine.card
        self.asked: tuple[int, ...] = () if card.classes is None else (1, 2)  # sample n has label n modulo their count
        self._request = Request(
            seed=SEED, first=FIRST, count=MODEL_COUNT, compiled=self.sampler, label=self.asked or None
        )
        write_steps(folder / "model.steps.json", self.sampler, card)

    def draw(self) -> NDArray[np.float32]:
        """The images of the bundled model by NumPy's loop."""
        return self._request.drawn(self._engine)

    @cached_property
    def images(self) -> NDArray[np.float32]:
        return self.draw()

    @property
    def labels(self) -> NDArray[np.int64] | None:
        return self._request.bind(self._engine.card).labels(self.samples)
