"""The betas that a file keeps as buffers, in float32."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ddpm_ref.betas import custom

from .state_file import Weights


def float64_betas(betas: Tensor, alpha_bar: Tensor) -> tuple[float, ...]:
    """The betas that a float32 table of them and one of alpha_bar were rounded from, as nearly as both tell.

    A small beta is exact to 6e-8 of itself in its own table. 1 - beta of a beta near 1 is not, but it is the ratio of
    two alpha_bars.
    """
    own, product = (np.asarray(table.detach().cpu().double().numpy()) for table in (betas, alpha_bar))
    ratio: NDArray[np.float64] = product / np.append(1.0, product[:-1])
    return tuple(np.where(own < 0.5, own, 1.0 - ratio).tolist())


def betas_in(buffers: Weights) -> NDArray[np.float64] | None:
    """The betas of `betas` and `alphas_cumprod`, under any prefixes. None without both, or where copies differ.

    Raises ValueError for numbers that are no betas.
    """
    tables = []
    for wanted in ("betas", "alphas_cumprod"):
        copies = [tensor for name, tensor in buffers.items() if name.rpartition(".")[2] == wanted]
        if not copies or not all(one.equal(copies[0]) for one in copies) or copies[0].ndim != 1:
            return None
        tables.append(copies[0])
    return custom(list(float64_betas(*tables))) if tables[0].shape == tables[1].shape else None
