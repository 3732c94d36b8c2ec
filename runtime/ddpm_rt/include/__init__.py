"""The C, C++ and CUDA headers that come with the package: `#include <ddpm_rt/step.h>`."""

from pathlib import Path


def include_folder() -> Path:
    """What to give a compiler as `-I`."""
    return Path(__file__).parent
