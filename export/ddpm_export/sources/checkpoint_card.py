"""The card of a checkpoint."""

from pathlib import Path

from ddpm_rt import ModelCard, Provenance

from ..betas_argument import check_signal
from ..graph.versions import package_versions
from . import Source
from .autoencoder import latents_of

PACKAGES = ("ddpm-rt", "torch", "onnx")


def card_of(source: Source, path: Path, decoder: str | None = None) -> ModelCard:
    """The card of `source`, which was read from `path`. Its parity is still empty.

    `decoder` is the name of the decoder's file, for a model of latents.

    Raises ValueError if the network's prediction cannot be sampled with its betas.
    """
    check_signal(source.betas, source.prediction, path)
    inputs = ("x", "t") if source.classes is None else ("x", "t", "y")
    return ModelCard(
        image_shape=source.image_shape,
        betas=tuple(source.betas.tolist()),
        prediction=source.prediction,
        variance=source.variance,
        clip=source.clip,
        spacing=source.spacing,
        classes=source.classes,
        null_class=source.null_class,
        names={name: name for name in (*inputs, "out")},
        inputs=source.inputs,
        latents=None if source.autoencoder is None else latents_of(source.autoencoder, decoder),
        precision="fp32",
        provenance=Provenance(
            source=path.resolve().name,  # only the name: a path would reveal the exporting machine
            weights_sha256=source.weights_sha256,
            versions=package_versions(PACKAGES),
            parity={},
        ),
    )
