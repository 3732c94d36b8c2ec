"""The UNet of Ho et al. 2020 (appendix B), with the modules and parameter names of diffusers' UNet2DModel.

A state dict therefore fits both without changes. The code favours clarity over speed: every export is compared with it.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import UNetConfig
from .errors import ConfigError
from .layers import Attention, Downsample, Norm, ResnetBlock, TimeEmbedding, Timesteps, Upsample

MAX_WEIGHTS = 1 << 31
Network = TypeVar("Network", bound=nn.Module)


class DownBlock(nn.Module):
    """Residual blocks, each followed by attention at some levels, then a downsampling at all but the last level.

    Returns x and the skip connections, which `UpBlock` takes.
    """

    def __init__(self, config: UNetConfig, level: int) -> None:
        super().__init__()
        widths = config.block_out_channels
        width, before = widths[level], widths[max(level - 1, 0)]
        layers = range(config.layers_per_block)
        self.resnets = nn.ModuleList([ResnetBlock(config, width if i else before, width) for i in layers])
        kind, groups = config.down_block_types[level], config.norm_num_groups
        attends = kind == "AttnDownBlock2D"
        attentions = [Attention(config, width, groups=groups) for _ in (layers if attends else ())]
        self.attentions = nn.ModuleList(attentions) if attends else None
        residual = kind == "ResnetDownsampleBlock2D" or (attends and config.downsample_type == "resnet")
        down = ResnetBlock(config, width, width, resample="down") if residual else Downsample(config, width)
        self.downsamplers = None if level == len(widths) - 1 else nn.ModuleList([down])

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, time)
            if self.attentions is not None:
                x = self.attentions[i](x)
            skips.append(x)
        if self.downsamplers is not None:
            x = self.downsamplers[0](x, time)
            skips.append(x)
        return x, skips


class MidBlock(nn.Module):
    """Residual block, attention (if `add_attention`), residual block, at the lowest resolution."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        width, divisor = config.block_out_channels[-1], config.mid_block_scale_factor
        self.resnets = nn.ModuleList([ResnetBlock(config, width, width, divisor=divisor) for _ in range(2)])
        attention = [Attention(config, width, groups=config.middle_groups, divisor=divisor)]
        self.attentions = nn.ModuleList(attention if config.add_attention else [])

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x = self.resnets[0](x, time)
        for attention in self.attentions:
            x = attention(x)
        out: Tensor = self.resnets[1](x, time)
        return out


class UpBlock(nn.Module):
    """One residual block more than `DownBlock`, each with one skip connection; then an upsampling.

    The last level has no upsampling.
    """

    def __init__(self, config: UNetConfig, index: int) -> None:
        super().__init__()
        widths = config.block_out_channels[::-1]
        width, below, above = widths[index], widths[max(index - 1, 0)], widths[min(index + 1, len(widths) - 1)]
        count = config.layers_per_block + 1
        # The last skip of a level comes from the downsampling of the level above, so it has that level's width.
        channels_in = [(width if i else below) + (width if i < count - 1 else above) for i in range(count)]
        self.resnets = nn.ModuleList([ResnetBlock(config, channels, width) for channels in channels_in])
        kind, groups = config.up_block_types[index], config.norm_num_groups
        attends = kind == "AttnUpBlock2D"
        attentions = [Attention(config, width, groups=groups) for _ in range(count if attends else 0)]
        self.attentions = nn.ModuleList(attentions) if attends else None
        residual = kind == "ResnetUpsampleBlock2D" or (attends and config.upsample_type == "resnet")
        up = ResnetBlock(config, width, width, resample="up") if residual else Upsample(width)
        self.upsamplers = None if index == len(widths) - 1 else nn.ModuleList([up])

    def forward(self, x: Tensor, time: Tensor, skips: list[Tensor]) -> Tensor:
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), time)
            if self.attentions is not None:
                x = self.attentions[i](x)
        if self.upsamplers is not None:
            x = self.upsamplers[0](x, time)
        return x


class UNet(nn.Module):
    """The denoiser `out = UNet(x, t)`, or `UNet(x, t, y)` if the config is labelled.

    x: float32 `[B, in_channels, H, W]`, values in about [-1, 1]; t: int64 `[B]`, counted from 0; y: int64 `[B]`,
    classes; out: `[B, out_channels, H, W]`. H and W may be any multiples of 2^downsamplings; the network ignores
    `sample_size`. Raises ValueError if y is missing for a labelled network, or given to another.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, levels = config.block_out_channels[0], range(len(config.block_out_channels))
        self.conv_in = nn.Conv2d(config.in_channels, first, 3, padding=1)
        self.time_proj = Timesteps(config)
        self.time_embedding = TimeEmbedding(first, config.time_width)
        self.class_embedding = class_embedding(config)
        self.down_blocks = nn.ModuleList([DownBlock(config, level) for level in levels])
        self.mid_block = MidBlock(config) if config.mid_block_type else None
        self.up_blocks = nn.ModuleList([UpBlock(config, index) for index in levels])
        self.conv_norm_out = Norm(config.norm_num_groups, first, config.norm_eps)
        self.conv_out = nn.Conv2d(first, config.out_channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        if (y is None) == self.config.labelled:
            raise ValueError("a model with classes needs labels; a model without classes takes none")
        time = self.time_embedding(self.time_proj(t).to(self.conv_in.weight.dtype))
        if self.class_embedding is not None:
            time = time + self.class_embedding(self.time_proj(y) if self.config.class_embed_type == "timestep" else y)
        x = self.conv_in(2 * x - 1 if self.config.center_input_sample else x)
        skips = [x]
        for down in self.down_blocks:
            x, more = down(x, time)
            skips += more
        if self.mid_block is not None:
            x = self.mid_block(x, time)
        for up in self.up_blocks:
            x = up(x, time, skips)
        out: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return out


def skeleton(make: Callable[[], Network]) -> Network:
    """The network that `make` builds, with the names and shapes of its weights, and no memory for them.

    Raises ConfigError for more weights than `MAX_WEIGHTS`.
    """
    try:
        with torch.device("meta"):
            network = make()
    except (RuntimeError, OverflowError) as error:  # more elements than a tensor can have
        raise ConfigError("the network would have a weight of more numbers than a tensor can have") from error
    if (count := sum(weight.numel() for weight in network.state_dict().values())) > MAX_WEIGHTS:
        raise ConfigError(f"the network would have {count:.3g} weights, more than the limit of {MAX_WEIGHTS}")
    return network


def class_embedding(config: UNetConfig) -> nn.Module | None:
    """The module that embeds labels `[B]` as `[B, time_width]`, to be added to the time embedding; None without."""
    if config.class_embed_type == "timestep":
        return TimeEmbedding(config.block_out_channels[0], config.time_width)
    return None if config.num_class_embeds is None else nn.Embedding(config.num_class_embeds, config.time_width)


def init_like_ho(model: UNet, generator: torch.Generator | None = None) -> None:
    """Draw the initial weights of Ho et al.'s published code, in place.

    Convolutions and dense layers are uniform in +-sqrt(3 / fan_average). The last layer of every residual branch and of
    the network is nearly zero (scale 1e-10), so that every residual block starts as its shortcut. Class embeddings,
    which Ho's code lacks, are standard normal, as in Dhariwal and Nichol's published code.
    """
    branch_ends = (".conv2", ".to_out.0", "conv_out")
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight
            receptive = weight[0, 0].numel()
            fan_average = (weight.shape[0] + weight.shape[1]) * receptive / 2
            scale = 1e-10 if name.endswith(branch_ends) else 1.0
            bound = math.sqrt(3.0 * scale / fan_average)
            nn.init.uniform_(weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, generator=generator)
