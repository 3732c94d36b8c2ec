"""State dicts of lucidrains' denoising_diffusion_pytorch: `Unet`, `Unet1D`, and the `Unet` with classes.

The weights determine the architecture, and the file of a Trainer, `model-N.pt`, also holds the betas. The other facts
(image size or length, prediction) must be in the TOML file.
"""

from pathlib import Path

import torch
from torch import Tensor

from ddpm_ref.checkpoint import filled
from ddpm_ref.errors import CheckpointError, ConfigError
from ddpm_ref.lucidrains_unet import AttentionConfig, LucidrainsConfig, LucidrainsUNet
from ddpm_rt.artifacts.card_facts import InputFacts

from .facts import Facts, first
from .source import Source, check_sides
from .state_file import Weights, count, shape_of

ANCHOR = "time_mlp.1.weight"
LAYOUT = "a state dict of denoising_diffusion_pytorch"
OWN_KEYS = ("length", "heads")
SELF_CONDITION = "x_self_cond"
LINEAR_HEADS = 4  # of linear attention where the weights do not show them: the code has no option there
NULL_CLASS = "null_classes_emb"


def matches(weights: Weights) -> bool:
    return {ANCHOR, "init_conv.weight", "mid_block1.block1.proj.weight"} <= weights.keys()


def load(path: Path, weights: Weights, facts: Facts) -> Source:
    """Build the network of the weights. Raises CheckpointError, which names a missing fact."""
    facts.check_keys(OWN_KEYS, LAYOUT)
    weights = renamed(weights)
    try:
        config = infer(path, weights, facts)
        model = filled(lambda: LucidrainsUNet(config), weights, str(path))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    channels = config.in_channels // (2 if config.self_condition else 1)
    learned = config.out_channels == 2 * channels
    shape = (channels, *_sides(path, config, facts))
    return Source(
        layout=LAYOUT,
        module=model,
        image_shape=shape,
        betas=facts.need("betas", f"{path} is {LAYOUT} without the betas of its diffusion"),
        prediction=facts.need("prediction", f"{path}: the weights do not show the objective"),
        variance="learned_range" if learned else first(facts.variance, "fixed_small"),  # as p_sample does
        clip=facts.clip_or((-1.0, 1.0)),  # `clip_denoised` is true by default
        spacing=first(facts.spacing, "trailing"),
        classes=config.classes,
        null_class=None if config.classes is None else config.classes - 1,
        inputs={SELF_CONDITION: InputFacts("float32", shape, "prev_x0")} if config.self_condition else {},
    )


def renamed(weights: Weights) -> dict[str, Tensor]:
    """The weights under the names of `LucidrainsUNet`: the embedding of no class is the last class."""
    found = {name.replace(".fn.fn.", ".").replace(".fn.norm.", ".norm."): value for name, value in weights.items()}
    classes, null = found.get("classes_emb.weight"), found.get(NULL_CLASS)
    if classes is not None and null is not None and classes.ndim == 2 and classes.shape[1:] == null.shape:
        found["classes_emb.weight"] = torch.cat([classes, found.pop(NULL_CLASS)[None]])
    return found


def infer(path: Path, weights: Weights, facts: Facts) -> LucidrainsConfig:
    """Infer the architecture from names and shapes. Loading the weights strictly detects a wrong result."""
    if "time_mlp.0.weights" in weights:
        raise CheckpointError(f"{path}: a time embedding of random or learned frequencies is not supported")
    if "mid_block1.block1.norm.g" not in weights:
        raise CheckpointError(
            f"{path}: this is an older network, with other norms; only those with RMSNorm are supported"
        )
    dims = weights["init_conv.weight"].ndim - 2
    if dims not in (1, 2):
        raise CheckpointError(f"{path}: a network of {dims} dimensions is not supported, only images and sequences")
    width, channels = shape_of(weights, "init_conv.weight", dims + 2, path)[:2]
    out = shape_of(weights, "final_conv.weight", dims + 2, path)[0]
    if out not in (channels, 2 * channels) and channels != 2 * out:
        raise CheckpointError(f"{path}: {channels} input channels, {out} output channels are not supported")
    levels = range(count(weights, "downs", path))
    folds = "downs.0.3.1.weight" in weights
    ends = [f"downs.{i}.3.{'1.' if folds and i < len(levels) - 1 else ''}weight" for i in levels]
    classes = shape_of(weights, "classes_emb.weight", 2, path)[0] if "classes_emb.weight" in weights else None
    return LucidrainsConfig(
        dims=dims,
        in_channels=channels,
        out_channels=out,
        dim=shape_of(weights, ANCHOR, 2, path)[1],
        widths=(width, *(shape_of(weights, name, dims + 2, path)[0] for name in ends)),
        attention=tuple(_attention(path, weights, f"downs.{i}.2", facts) for i in levels),
        middle=_attention(path, weights, "mid_attn", facts),
        folds=folds,
        classes=classes,
        self_condition=channels == 2 * out,  # a network with both this and a learned variance, the project refuses
    )


def _attention(path: Path, weights: Weights, name: str, facts: Facts) -> AttentionConfig:
    full, memory = f"{name}.to_out.weight" in weights, f"{name}.mem_kv"
    hidden = shape_of(weights, f"{name}.to_qkv.weight", weights["init_conv.weight"].ndim, path)[0] // 3
    if memory in weights:
        _, heads, *places = shape_of(weights, memory, 4, path)
        return AttentionConfig(full=full, heads=heads, hidden=hidden, memory=places[0 if full else 1])
    heads = facts.need("heads", f"{path}: the weights do not show attn_heads") if full else LINEAR_HEADS
    return AttentionConfig(full=full, heads=heads, hidden=hidden, memory=0)


def _sides(path: Path, config: LucidrainsConfig, facts: Facts) -> tuple[int, ...]:
    key, other = ("image_size", "length") if config.dims == 2 else ("length", "image_size")
    facts.refuse((other,), "sequences" if config.dims == 1 else "images")
    size = facts.need(key, f"{path}: the network accepts any size")
    sides = size if isinstance(size, tuple) else (size,)
    check_sides(path, sides, len(config.attention) - 1)
    return sides
