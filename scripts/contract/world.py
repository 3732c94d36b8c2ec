"""What the rows share: the bundled model, its images by Python, and a toy model for every sampler."""

import sys
from functools import cached_property
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ddpm_rt import Request
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.steps_file import write_steps
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers.compiled_sampler import CompiledSampler

from .measured import FIRST, MODEL_COUNT, MODEL_SAMPLER, MODEL_STEPS, SEED

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
TOY_STEPS = 6


class World:
    """The folder of the run, and what is made in it once."""

    def __init__(self, folder: Path) -> None:
        self.root, self.folder, self.model = ROOT, folder, bundled_model()
        self.samples = range(FIRST, FIRST + MODEL_COUNT)
        self._engine = OrtDenoiser(self.model)
        self.sampler = SamplerOptions(sampler=MODEL_SAMPLER, steps=MODEL_STEPS).compile(self._engine.card)
        card = self._engine.card
        labels = None if card.classes is None else (1, 2)
        self._request = Request(seed=SEED, first=FIRST, count=MODEL_COUNT, compiled=self.sampler, label=labels)
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

    @cached_property
    def golden_script(self) -> ModuleType:
        from repository import load_script

        return load_script("make_golden")

    def toy(self, sampler: str) -> tuple[CompiledSampler, Path]:
        """A table of a model that works on each value alone, so that the bits of images can be compared."""
        from gaussian_model import gaussian_card, write_gaussian

        card = gaussian_card(clip=(-1.0, 1.0))
        model = write_gaussian(self.folder / "gaussian.onnx", card=card)
        return SamplerOptions(sampler=sampler, steps=TOY_STEPS).compile(read_onnx_card(model)), model
