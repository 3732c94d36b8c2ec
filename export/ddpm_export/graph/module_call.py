"""Call a PyTorch denoiser with the inputs that its card describes."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm_ref.guided_unet import GuidedUNet
from ddpm_ref.lucidrains_unet import LucidrainsUNet
from ddpm_ref.unet import UNet
from ddpm_rt import DdpmRtError, ModelCard


def example(card: ModelCard, batch: int, generator: np.random.Generator, times: Sequence[float]) -> dict[str, Any]:
    """Inputs by the card's names, in the order of the module's arguments.

    x is random, float32 `[batch, C, ...]`, of the deviation that it has in a chain; t `[batch]` repeats `times`, int64
    for a process of betas, else float32. A class-conditional model also gets random labels y int64 `[batch]`. Named
    inputs follow, `[batch, ...]`: normals, or 0 and 1 where they are integers.
    """
    t, process = np.resize(np.array(times), batch), card.forward_process
    scale = process.scale_at(process.level_of(t), card.prediction).reshape(-1, *[1] * len(card.image_shape))
    values = {
        "x": (scale * generator.standard_normal((batch, *card.image_shape))).astype(np.float32),
        "t": t.astype(np.int64 if card.process is None else np.float32),
    }
    if card.classes is not None:
        values["y"] = generator.integers(0, card.classes, batch)
    known = {card.names[name]: value for name, value in values.items()}
    for name, facts in card.inputs.items():
        shape = (batch, *facts.shape)
        drawn = generator.standard_normal(shape) if facts.dtype == "float32" else generator.integers(0, 2, shape)
        known[name] = drawn.astype(facts.dtype)
    return known


def typical_times(card: ModelCard, generator: np.random.Generator) -> list[float]:
    """The first, second, middle and last times that the network is told, and a few between, in no order."""
    if card.process is None:
        steps = len(card.betas)
        ends = [0, min(1, steps - 1), steps // 2, max(steps - 2, 0), steps - 1]
        return [*ends, *generator.integers(0, steps, 4).tolist()]
    levels = card.process.spaced(9, card.spacing)
    return [float(time) for time in generator.permutation(card.process.time_at(levels))]


def noisiest(card: ModelCard) -> float:
    """The time that a chain begins with."""
    if card.process is None:
        return len(card.betas) - 1
    return float(card.process.time_at(card.process.spaced(1, card.spacing))[0])


def run_module(module: nn.Module, inputs: dict[str, Any]) -> NDArray[np.float32]:
    """The module's output for `inputs`. Raises DdpmRtError if the module fails or does not return a tensor."""
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


def check_module_inputs(module: nn.Module, card: ModelCard) -> None:
    """Raises DdpmRtError, which names the input, if the module takes an input that the card does not name.

    The exported graph would never receive an optional input, such as the estimate of self-conditioning. Inputs that do
    not change the output are allowed, as are switches, whose default is not None.
    """
    if isinstance(module, UNet | GuidedUNet | LucidrainsUNet):
        return  # the networks of ddpm_ref check their labels themselves
    spare = _spare_inputs(module, len(card.names) - 1 + len(card.inputs))
    if not spare:
        return
    inputs = example(card, 1, np.random.default_rng(0), [noisiest(card)])
    given = [torch.from_numpy(value) for value in inputs.values()]
    probe = torch.full_like(given[0], 0.5)
    for name in spare:
        with torch.no_grad():
            try:
                unused = torch.equal(module(*given), module(*given, **{name: probe}))
            except Exception:  # the module rejects this tensor, so it expects another one
                unused = False
        if not unused:
            raise DdpmRtError(
                f"the module also takes {name!r}, which its card does not name, and the exported graph would lack it; "
                f"if this is intended, wrap it in a module whose forward takes only ({', '.join(inputs)})"
            )


def _spare_inputs(module: nn.Module, taken: int) -> list[str]:
    """The arguments of `forward` after the first `taken` that may be tensors: without a default, or with None."""
    while (inner := _wrapped(module)) is not None:
        module = inner
    known = list(inspect.signature(module.forward).parameters.values())
    listed = [one for one in known if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    named = [one for one in known if one.kind == one.KEYWORD_ONLY]
    return [one.name for one in (*listed[taken:], *named) if one.default is None or one.default is one.empty]


def _wrapped(module: nn.Module) -> nn.Module | None:
    """The module inside a wrapper of `torch.compile` or of data-parallel training."""
    parallel = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
    inner = getattr(module, "module" if parallel else "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else None


def check_network_output(module: nn.Module, card: ModelCard) -> None:
    """Raises DdpmRtError unless the module's output has the shape and dtype that the card implies."""
    out = run_module(module, example(card, 1, np.random.default_rng(0), [noisiest(card)]))
    wanted = (1, card.output_channels, *card.image_shape[1:])
    if out.shape != wanted or out.dtype != np.float32:
        raise DdpmRtError(
            f"the model returns {list(out.shape)} {out.dtype}, but its card (variance {card.variance}) implies "
            f"{list(wanted)} float32"
        )


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
