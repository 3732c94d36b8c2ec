"""A folder of tiny models that every part of the campaign starts from."""

import dataclasses
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SUPPORT = Path(__file__).resolve().parents[2] / "tests" / "support"
STEPS = 4  # training steps


@dataclasses.dataclass
class World:
    """`origin` contains the inputs; `place` creates a fresh copy of them."""

    origin: Path
    scratch: Path
    count: int = 0

    @contextmanager
    def place(self) -> Iterator[Path]:
        """A new folder with a copy of the inputs. It is removed afterwards."""
        self.count += 1
        folder = self.scratch / f"{self.count:06d}"
        shutil.copytree(self.origin, folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def make_world(folder: Path, *, training: bool = True) -> World:
    """Write the inputs: a model, a twin of it, an image, and, with `training`, a checkpoint and a recipe."""
    sys.path.insert(0, str(SUPPORT))
    from gaussian_model import gaussian_card, write_gaussian

    origin = folder / "origin"
    origin.mkdir(parents=True)
    card = gaussian_card()
    write_gaussian(origin / "model.onnx", card=card)
    write_gaussian(origin / "other.onnx", card=card)
    np.save(origin / "digit.npy", np.zeros((1, *card.image_shape), np.float32))
    if training:
        _write_training(origin)
    return World(origin, folder / "scratch")


def _write_training(origin: Path) -> None:
    from tiny_training import TINY_TOML, disks
    from tiny_unet import tiny_unet

    from ddpm_ref import betas as schedules
    from ddpm_ref.checkpoint import Checkpoint, save_checkpoint

    recipe = TINY_TOML.replace("\nsteps = 50\nlearning_rate", f"\nsteps = {STEPS}\nlearning_rate")
    recipe = recipe.replace("sample_every = 50", f"sample_every = {STEPS}\ncheckpoint_every = 2")
    (origin / "recipe.toml").write_text(recipe)
    np.savez(origin / "data.npz", images=disks())
    save_checkpoint(origin / "run", Checkpoint(tiny_unet(), schedules.linear(20), "eps", "fixed_small", (-1.0, 1.0)))
