"""The noise of `ddpm_rt` in the place of PyTorch's, for loops that draw their own."""

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
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


def stand_in_for(*names: str) -> None:
    """An empty module for each package that a project imports and its networks and loops do not use.

    torchvision is one: projects read data sets with it, and there is none for every build of PyTorch.
    """
    for name in names:
        try:
            __import__(name)
        except (ImportError, RuntimeError):
            for part in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
                del sys.modules[part]
            made = types.ModuleType(name)
            made.__spec__ = ModuleSpec(name, None)
            made.__getattr__ = lambda attribute: mock.MagicMock()
            made.__path__ = []
            sys.modules[name] = made


def filled(module: torch.nn.Module, scale: float = 0.2) -> torch.nn.Module:
    """`module` with random weights where it has zeros, in eval mode: a new network predicts 0 or nearly so."""
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        if not parameter.detach().any():
            with torch.no_grad():
                parameter.copy_(scale * torch.empty(parameter.shape).normal_(generator=generator))
    return module.eval().requires_grad_(False)
