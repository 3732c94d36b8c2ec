"""The installed versions of packages, for a card's provenance."""

from importlib.metadata import PackageNotFoundError, version


def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # the package runs from a source tree and is not installed
        return "unknown"
