"""The autoencoder of a latent pipeline of diffusers, which decodes what the network draws."""

from pathlib import Path
from typing import Any

from ddpm_ref.checkpoint import filled, modern, read_json
from ddpm_ref.errors import CheckpointError, ConfigError
from ddpm_ref.text import quoted
from ddpm_rt.artifacts.card_facts import Latents

from .candidates import check_numbers
from .selection import Selection
from .weight_files import read_folder

AUTOENCODERS = ("VQModel", "AutoencoderKL")
MISSING = "the decoder is exported with diffusers, which is not installed; run: pip install diffusers"


def load_autoencoder(folder: Path, selection: Selection) -> Any:
    """The object of diffusers that `folder` describes, with its weights, float32, in eval mode.

    Raises CheckpointError for another kind, or weights that do not fit.
    """
    config = folder / "config.json"
    raw = dict(read_json(config))
    kind = raw.get("_class_name")
    if kind not in AUTOENCODERS:
        raise CheckpointError(f"{config}: {quoted(kind)} is not a decoder of images; known: {', '.join(AUTOENCODERS)}")
    try:
        import diffusers
    except ImportError as error:
        raise CheckpointError(f"{folder}: {MISSING}") from error
    known = {key: value for key, value in raw.items() if not key.startswith("_")}
    weights = modern(read_folder(folder, selection))
    check_numbers(folder, weights)
    try:
        return filled(lambda: getattr(diffusers, kind)(**known), weights, str(folder))
    except (ConfigError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{config}: diffusers cannot build this {kind}: {error}") from error


def latents_of(autoencoder: Any, decoder: str | None) -> Latents:
    """The latents of `autoencoder`, with the name of its decoder's file.

    They are divided by `scaling_factor`, and `shift_factor` is added. Raises ValueError for latents that are normalised
    by the mean and deviation of each channel.
    """
    config = autoencoder.config
    if config.get("latents_mean") is not None or config.get("latents_std") is not None:
        raise ValueError("latents that are normalised channel by channel are not supported")
    return Latents(float(config.get("scaling_factor") or 1.0), float(config.get("shift_factor") or 0.0), decoder)
