"""The card of a checkpoint."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ddpm_rt import ModelCard, Provenance

from .sources import Source

PACKAGES = ("ddpm-rt", "torch", "onnx")


def card_of(source: Source, path: Path) -> ModelCard:
    """What `source`, read from `path`, says about itself; its parity is not known yet."""
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
        precision="fp32",
        provenance=Provenance(
            source=path.resolve().name,  # a name, not a path: paths are the exporting machine's business
            weights_sha256=source.weights_sha256,
            versions=package_versions(PACKAGES),
            parity={},
        ),
    )


def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
