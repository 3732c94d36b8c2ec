"""Call a PyTorch denoiser with the inputs that its card describes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm_rt import DdpmRtError, ModelCard


def example(card: ModelCard, batch: int, generator: np.random.Generator, times: Sequence[int]) -> dict[str, Any]:
    """Inputs by the card's names: random x float32 `[batch, C, H, W]`, and t int64 `[batch]` that repeats `times`.

    A class-conditional model also gets random labels y int64 `[batch]`.
    """
    values = {
        "x": generator.standard_normal((batch, *card.image_shape)).astype(np.float32),
        "t": np.resize(np.array(times), batch).astype(np.int64),
    }
    if card.classes is not None:
        values["y"] = generator.integers(0, card.classes, batch)
    return {card.names[name]: value for name, value in values.items()}


def run_module(module: nn.Module, inputs: dict[str, Any]) -> NDArray[np.float32]:
    """The module's output for `inputs`. Raises DdpmRtError when the module fails on them or returns no tensor."""
    try:
        with torch.no_grad():
            out = module(*map(torch.from_numpy, inputs.values()))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise DdpmRtError(
            f"the model fails on the inputs of its card, ({', '.join(inputs)}): {first_line(error)}"
        ) from error
    if not isinstance(out, Tensor):
        raise DdpmRtError(f"the model must return a tensor, not {type(out).__name__}; wrap it in a module that does")
    result: NDArray[np.float32] = out.numpy()
    return result


def check_network_output(module: nn.Module, card: ModelCard) -> None:
    """Raises DdpmRtError unless the module's output has the shape and dtype that the card implies."""
    out = run_module(module, example(card, 1, np.random.default_rng(0), [len(card.betas) - 1]))
    wanted = (1, card.output_channels, *card.image_shape[1:])
    if out.shape != wanted or out.dtype != np.float32:
        raise DdpmRtError(
            f"the model returns {list(out.shape)} {out.dtype}, but its card (variance {card.variance}) implies "
            f"{list(wanted)} float32"
        )


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
