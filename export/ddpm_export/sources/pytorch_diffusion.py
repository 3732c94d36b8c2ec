"""The first PyTorch ports of Ho's network: state dicts of CompVis/pesser `pytorch_diffusion` and ermongroup/ddim.

The network is `ddpm_ref.unet.UNet` with Ho's flags. Its weights have other names, and the matrices of attention are 1x1
convolutions. Only for the two architectures of Ho et al.'s published weights are all other facts known.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import filled
from ddpm_ref.config import UNetConfig
from ddpm_ref.diffusion import AnyVariance
from ddpm_ref.errors import CheckpointError, ConfigError
from ddpm_ref.unet import UNet

from .facts import Facts, first
from .source import Source, check_sides
from .state_file import Weights, count, shape_of

ANCHOR = "temb.dense.0.weight"
LAYOUT = "a state dict of pytorch_diffusion"
TOP = {
    "temb.dense.0": "time_embedding.linear_1",
    "temb.dense.1": "time_embedding.linear_2",
    "norm_out": "conv_norm_out",
}
MIDDLE = {"block_1": "resnets.0", "block_2": "resnets.1", "attn_1": "attentions.0"}
RESIDUAL = {"temb_proj": "time_emb_proj", "nin_shortcut": "conv_shortcut"}
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
PARTS = {"block": "resnets", "attn": "attentions"}


@dataclass(frozen=True)
class Published:
    """Facts that Ho et al. fixed for an architecture: the resolution of the data set and the reverse variance.

    The linear betas, eps and clipping are from section 4 of the paper. The variances are from its published scripts
    and equal those of google/ddpm-* on the hub: fixed_large for CIFAR-10, fixed_small for CelebA-HQ and LSUN.
    """

    image_size: tuple[int, int]
    variance: AnyVariance


# Keys: the width of each level, and the levels with attention. All have three channels and two residual blocks a level.
PUBLISHED: dict[tuple[tuple[int, ...], tuple[int, ...]], Published] = {
    ((128, 256, 256, 256), (1,)): Published((32, 32), "fixed_large"),
    ((128, 128, 256, 256, 512, 512), (4,)): Published((256, 256), "fixed_small"),
}


def matches(weights: Weights) -> bool:
    return {ANCHOR, "down.0.block.0.conv1.weight"} <= weights.keys()


def load(path: Path, weights: Weights, facts: Facts) -> Source:
    """Build the network of the weights. Raises CheckpointError, which names a missing fact."""
    facts.check_keys((), LAYOUT)
    try:
        config, published = infer(path, weights, facts)
        model = filled(lambda: UNet(config), renamed(weights, len(config.block_out_channels)), str(path))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    check_sides(path, config.image_shape[1:], len(config.block_out_channels) - 1)
    why = f"{path} is {LAYOUT}, but not one of Ho et al.'s two networks"
    return Source(
        layout=LAYOUT,
        module=model,
        image_shape=config.image_shape,
        betas=first(facts.betas, schedules.linear(1000)) if published else facts.need("betas", why),
        prediction=first(facts.prediction, "eps") if published else facts.need("prediction", why),
        variance=first(facts.variance, published.variance) if published else facts.need("variance", why),
        clip=facts.clip_or((-1.0, 1.0)),  # the code bases of this layout always clip
        spacing=first(facts.spacing, "trailing"),
    )


def infer(path: Path, weights: Weights, facts: Facts) -> tuple[UNetConfig, Published | None]:
    """Infer the architecture from names and shapes. Also returns the published facts if it is one of Ho et al.'s."""
    levels = range(count(weights, "down", path))
    layers = count(weights, "down.0.block", path)
    widths = tuple(shape_of(weights, f"down.{i}.block.0.conv1.weight", 4, path)[0] for i in levels)
    channels = shape_of(weights, "conv_in.weight", 4, path)[1]
    out_channels = shape_of(weights, "conv_out.weight", 4, path)[0]
    if out_channels != channels:
        raise CheckpointError(
            f"{path}: {channels} input channels, {out_channels} output channels; this layout has no learned variance"
        )
    attends = [f"down.{i}.attn.0.q.weight" in weights for i in levels]
    known = PUBLISHED.get((widths, tuple(i for i in levels if attends[i])))
    published = known if (channels, layers) == (3, 2) else None
    size = facts.image_size or (published.image_size if published else None)
    config = UNetConfig(
        sample_size=size or facts.need("image_size", f"{path}: the network accepts images of any size"),
        in_channels=channels,
        out_channels=out_channels,
        block_out_channels=widths,
        layers_per_block=layers,
        down_block_types=tuple("AttnDownBlock2D" if attends[i] else "DownBlock2D" for i in levels),
        up_block_types=tuple("AttnUpBlock2D" if attends[i] else "UpBlock2D" for i in reversed(levels)),
        # Ho's flags, which the code bases of this layout hard-code.
        attention_head_dim=None,
        norm_num_groups=32,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    )
    return config, published


def renamed(weights: Weights, levels: int) -> dict[str, Tensor]:
    """The weights under the names of `UNet`. The 1x1 convolutions of attention become matrices."""
    result = {}
    for name, tensor in weights.items():
        new = _name(name, levels)
        result[new] = tensor[:, :, 0, 0] if re.search(r"\.to_\w+\.(0\.)?weight$", new) and tensor.ndim == 4 else tensor
    return result


def _name(name: str, levels: int) -> str:
    """The name in `UNet`. Unknown names are kept, so that loading the weights reports them."""
    stem, _, kind = name.rpartition(".")  # kind: weight or bias
    way, *rest = stem.split(".")
    if stem in TOP:
        return f"{TOP[stem]}.{kind}"
    if way == "mid" and len(rest) == 2 and rest[0] in MIDDLE:
        part = ATTENTION if rest[0] == "attn_1" else RESIDUAL
        return f"mid_block.{MIDDLE[rest[0]]}.{part.get(rest[1], rest[1])}.{kind}"
    if way not in ("down", "up") or len(rest) < 3 or not rest[0].isdigit():
        return name
    level = int(rest[0]) if way == "down" else levels - 1 - int(rest[0])
    block = f"{way}_blocks.{level}"
    if rest[1:] == [f"{way}sample", "conv"]:
        return f"{block}.{way}samplers.0.conv.{kind}"
    if len(rest) != 4 or rest[1] not in PARTS:
        return name
    part = ATTENTION if rest[1] == "attn" else RESIDUAL
    return f"{block}.{PARTS[rest[1]]}.{rest[2]}.{part.get(rest[3], rest[3])}.{kind}"
