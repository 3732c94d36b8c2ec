"""Finds the networks in a weights file, under any prefix.

A layout has an anchor, a weight that every network of this layout contains. The part of a name before an anchor is a
prefix, such as `module.`, `_orig_mod.`, `state_dict.model.` or `ema.`. The weights with this prefix are a candidate.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ddpm_ref.errors import CheckpointError

from .facts import Facts
from .selection import TOP
from .source import Source
from .state_file import Weights

# Counters, and buffers that are computed from the betas, with their names in several code bases. No network uses them.
DERIVED_NAMES = """
    betas alphas alphas_bar alphas_cumprod alphas_cumprod_prev alphas_cumprod_next one_minus_alphas_cumprod
    sqrt_alphas_cumprod sqrt_alphas_cumprod_prev sqrt_one_minus_alphas_cumprod log_one_minus_alphas_cumprod
    sqrt_alphas_bar sqrt_one_minus_alphas_bar sqrt_recip_alphas sqrt_recip_alphas_cumprod sqrt_recipm1_alphas_cumprod
    sqrt_recip_alphas_bar sqrt_recipm1_alphas_bar posterior_variance posterior_var posterior_log_variance_clipped
    posterior_mean_coef1 posterior_mean_coef2 loss_weight p2_loss_weight snr lvlb_weights logvar
    n_averaged num_updates decay initted step epoch global_step optimization_step
"""
DERIVED = frozenset(DERIVED_NAMES.split())
USED = frozenset(("betas", "alphas_cumprod"))  # of which the betas are read
DECODERS = frozenset(("first_stage_model", "vae", "vqvae", "vqgan", "movq", "autoencoder", "autoencoder_kl"))
WRAPPERS = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))  # removed anywhere in a name
FLAT_AVERAGE = re.compile(r"^(.*\.)?model_ema\.")  # the LitEma of CompVis stores names without dots


@dataclass(frozen=True)
class Layout:
    """A layout of weights: how it is recognised, and the function that loads it."""

    anchor: str
    matches: Callable[[Weights], bool]
    load: Callable[[Path, Weights, Facts], Source]  # of the file's path, for messages; the weights; the user's facts
    keeps_betas: bool = False  # whether betas among the buffers of a file are those of the network


@dataclass(frozen=True, eq=False)
class Candidate:
    """The weights of one network, without the prefix."""

    label: str  # the prefix without its last dot, or `TOP`
    layout: str
    weights: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Contents:
    """The contents of a file. The names are as in the file, but without `WRAPPERS`."""

    candidates: list[Candidate]
    derived: dict[str, Tensor]  # constants that follow from the betas, not used
    unused: list[str]  # names of weights that belong to no candidate


def find(tensors: Weights, layouts: Mapping[str, Layout]) -> Contents:
    """Find all networks of `layouts` in `tensors`, under any prefix."""
    bare = {".".join(part for part in name.split(".") if part not in WRAPPERS): name for name in tensors}
    if len(bare) < len(tensors):  # the file has the same network with and without a wrapper
        bare = {name: name for name in tensors}
    derived = {name: tensors[full] for name, full in bare.items() if _is_derived(name, tensors[full])}
    kept = {name: tensors[full] for name, full in bare.items() if name not in derived}
    anchored = [(_prefix(name, layout.anchor), key) for key, layout in layouts.items() for name in kept]
    prefixes = {prefix: key for prefix, key in anchored if prefix is not None}
    candidates, used = [], set()
    # Longest prefix first: `ema.` is then a network of its own, not a part of the network without a prefix.
    for prefix in sorted(prefixes, key=len, reverse=True):
        names = [name for name in kept if name.startswith(prefix) and name not in used]
        weights = {name.removeprefix(prefix): kept[name] for name in names}
        weights = {name: tensor for name, tensor in weights.items() if not FLAT_AVERAGE.match(name)}
        if layouts[prefixes[prefix]].matches(weights):
            candidates.append(Candidate(prefix.removesuffix(".") or TOP, prefixes[prefix], weights))
            used |= {prefix + name for name in weights}
    places = {name: place for place, name in enumerate(kept)}
    candidates.sort(key=lambda found: places[_full(found, layouts[found.layout].anchor)])
    for group in sorted({match[0] for name in kept if (match := FLAT_AVERAGE.match(name))}):
        averages = (_flat_average(candidate, kept, group) for candidate in candidates)
        if (average := next((found for found in averages if found), None)) is not None:
            candidates.append(average)
            used |= {name for name in kept if name.startswith(group)}
    return Contents(candidates, derived, [name for name in kept if name not in used])


def check_pixels(path: Path, tensors: Weights) -> None:
    """Raises CheckpointError if the file also contains a decoder: the network then draws latents, not pixels."""
    for name in tensors:
        if found := DECODERS.intersection(name.split(".")[:-1]):
            raise CheckpointError(
                f"{path} also contains a decoder ({sorted(found)[0]}), so its network draws latents; convert "
                "it to a directory of diffusers"
            )


def check_numbers(path: Path, weights: Weights) -> None:
    """Raises CheckpointError, which names the tensor, for a weight that is not finite in float32."""
    for name, tensor in weights.items():
        values = tensor.float().numpy()
        if not np.isfinite(values).all():
            what = "NaN" if np.isnan(values).any() else "infinite or too large for float32"
            raise CheckpointError(
                f"{path}: {name!r} is not finite ({what}): the training diverged; use an earlier checkpoint"
            )


def notes(contents: Contents, chosen: Candidate, betas: NDArray[np.float64], *, kept: bool = False) -> list[str]:
    """Notes for the user about the parts of a file that were chosen or not used; `kept` if its betas are in use."""
    said = [] if chosen.label == TOP else [f"the weights are those of {chosen.label!r}"]
    said += ["the betas are those of the file"] if kept else []
    names = sorted({name.rpartition(".")[2] for name in contents.derived} - (USED if kept else set()))
    if names:
        said.append(f"ignored counters and buffers that follow from the betas: {_some(names)}")
    if contents.unused:
        groups = sorted({name.split(".")[0] for name in contents.unused})
        said.append(f"did not use {len(contents.unused)} tensors of {_some(groups)}")
    for name, tensor in contents.derived.items():
        own = np.asarray(tensor.double().numpy())
        if name.rpartition(".")[2] == "betas" and own.ndim == 1 and ((own > 0) & (own <= 1)).all() and len(own):
            if own.shape != betas.shape or not np.allclose(
                own, betas, rtol=1e-3, atol=1e-7
            ):  # the buffer may be float32
                said.append(
                    f"the file's betas, {len(own)} from {own[0]:.3g} to {own[-1]:.3g}, differ from the betas in use"
                )
            break
    return said


def _is_derived(name: str, tensor: Tensor) -> bool:
    return name.rpartition(".")[2] in DERIVED and tensor.ndim <= 1 or tensor.ndim == 0


def _full(candidate: Candidate, name: str) -> str:
    return name if candidate.label == TOP else f"{candidate.label}.{name}"


def _prefix(name: str, anchor: str) -> str | None:
    prefix = name.removesuffix(anchor)
    return prefix if prefix != name and (not prefix or prefix.endswith(".")) else None


def _flat_average(candidate: Candidate, kept: Weights, group: str) -> Candidate | None:
    """The average of `candidate` that the LitEma of CompVis stores under `group`, with names without dots."""
    parts = [] if candidate.label == TOP else candidate.label.split(".")
    for drop in range(len(parts) + 1):
        head = "".join(parts[drop:])
        names = {name: f"{group}{head}{name.replace('.', '')}" for name in candidate.weights}
        if all(flat in kept for flat in names.values()):
            weights = {name: kept[flat] for name, flat in names.items()}
            return Candidate(group.removesuffix("."), candidate.layout, weights)
    return None


def _some(names: Collection[str], most: int = 4) -> str:
    listed = [ascii(name)[1:-1][:40] for name in list(names)[:most]]
    return ", ".join(listed) + (f" and {len(names) - most} more" if len(names) > most else "")
