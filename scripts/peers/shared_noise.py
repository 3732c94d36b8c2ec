"""The noise of `ddpm_rt` in the place of PyTorch's, for loops that draw their own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from unittest import mock

import numpy as np
import torch

from ddpm_rt import noise

SEED, COUNT = 11, 2


def drawn(step: int, shape: tuple[int, ...]) -> torch.Tensor:
    """The noise of samples 0 and 1 at a row of the table, or x_T."""
    size = int(np.prod(shape[1:]))
    return torch.from_numpy(noise.normal(SEED, range(shape[0]), step, size)).reshape(shape)


@contextmanager
def shared_noise(first: int | None = noise.INITIAL_STEP) -> Iterator[None]:
    """Within this, the first tensor of noise is x_T, and the n-th after it is that of row n - 1.

    With `first` None, the caller draws x_T itself.
    """
    steps = iter([*([] if first is None else [first]), *range(10_000)])

    def randn(*shape, **_):
        given = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return drawn(next(steps), tuple(given))

    def randn_like(like, **_):
        return drawn(next(steps), tuple(like.shape))

    with mock.patch.object(torch, "randn", randn), mock.patch.object(torch, "randn_like", randn_like):
        yield


class Empty(MetaPathFinder, Loader):
    """Finds an empty module for a package that is not there, and for every module inside of it."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        inside = fullname == self.package or fullname.startswith(f"{self.package}.")
        return ModuleSpec(fullname, self, is_package=True) if inside else None

    def exec_module(self, module):
        module.__getattr__ = lambda attribute: mock.MagicMock()


def stand_in_for(*packages: str) -> None:
    """Empty modules for packages that a project imports and its networks and loops do not use.

    torchvision is one: projects read data sets with it, and there is none for every build of PyTorch.
    """
    for package in packages:
        if find_spec(package) is None:
            sys.meta_path.append(Empty(package))


def filled(module: torch.nn.Module, scale: float = 0.2) -> torch.nn.Module:
    """`module` with random weights where it has zeros, in eval mode: a new network predicts 0 or nearly so."""
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        if not parameter.detach().any():
            with torch.no_grad():
                parameter.copy_(scale * torch.empty(parameter.shape).normal_(generator=generator))
    return module.eval().requires_grad_(False)
