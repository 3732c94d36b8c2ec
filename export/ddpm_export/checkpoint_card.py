"""The card of a checkpoint."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ddpm_ref.checkpoint import Checkpoint
from ddpm_rt import ModelCard, Provenance

PACKAGES = ("ddpm-rt", "torch", "onnx")


def card_of(checkpoint: Checkpoint, source: Path) -> ModelCard:
    """What `checkpoint`, read from the directory `source`, says about itself; its parity is not known yet."""
    config = checkpoint.unet.config
    return ModelCard(
        image_shape=(config.in_channels, config.sample_size, config.sample_size),
        betas=tuple(checkpoint.betas.tolist()),
        prediction=checkpoint.prediction,
        variance=checkpoint.variance,
        clip=checkpoint.clip,
        spacing=checkpoint.spacing,
        classes=None,
        null_class=None,
        names={"x": "x", "t": "t", "out": "out"},
        precision="fp32",
        provenance=Provenance(
            source=source.resolve().name,  # a name, not a path: paths are the exporting machine's business
            weights_sha256=checkpoint.weights_sha256,
            versions={name: _version(name) for name in PACKAGES},
            parity={},
        ),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
