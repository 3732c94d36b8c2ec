"""The UNet of Ho et al. 2020 (appendix B), module for module and name for name as diffusers' UNet2DModel.

The names of the parameters are those of diffusers, so a state dict passes between the two unchanged. Nothing here
is written for speed: it is the model that every export is compared with.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import UNetConfig


class Timesteps(nn.Module):
    """Sinusoids of an integer timestep, DDPM appendix B (after Vaswani et al. 2017, section 3.5)."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        half = config.block_out_channels[0] // 2
        exponent = torch.arange(half, dtype=torch.float32) * -math.log(10_000) / (half - config.freq_shift)
        self.register_buffer("frequencies", exponent.exp(), persistent=False)
        self.cos_first = config.flip_sin_to_cos

    def forward(self, t: Tensor) -> Tensor:
        angle = t.float()[:, None] * self.frequencies[None, :]  # [B, half], float32: bf16 turns 999 into 1000
        pair = (angle.cos(), angle.sin()) if self.cos_first else (angle.sin(), angle.cos())
        return torch.cat(pair, dim=1)


class TimeEmbedding(nn.Module):
    """The two dense layers between the sinusoids and the residual blocks."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, sinusoids: Tensor) -> Tensor:
        out: Tensor = self.linear_2(F.silu(self.linear_1(sinusoids)))
        return out


class ResnetBlock(nn.Module):
    """GroupNorm-SiLU-conv twice, the time embedding added between them, an identity or 1x1 shortcut around."""

    def __init__(self, config: UNetConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        groups, eps = config.norm_num_groups, config.norm_eps
        self.norm1 = nn.GroupNorm(groups, channels_in, eps)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(config.time_width, channels_out)
        self.norm2 = nn.GroupNorm(groups, channels_out, eps)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        shortcut: Tensor = x if self.conv_shortcut is None else self.conv_shortcut(x)
        return shortcut + h


class Attention(nn.Module):
    """Self-attention over all pixels, `channels // head_dim` heads, softmax in float32."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        self.heads = config.heads(channels)
        self.group_norm = nn.GroupNorm(config.norm_num_groups, channels, config.norm_eps)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        # A list of one: diffusers keeps a dropout at index 1, and the name `to_out.0` with it.
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # [B, HW, C]

        def split(projected: Tensor) -> Tensor:  # [B, HW, C] -> [B, heads, HW, d]
            return projected.unflatten(2, (self.heads, -1)).transpose(1, 2)

        q, k, v = split(self.to_q(tokens)), split(self.to_k(tokens)), split(self.to_v(tokens))
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5  # [B, heads, HW, HW]
        mixed = scores.softmax(dim=-1, dtype=torch.float32).to(v.dtype) @ v
        out = self.to_out[0](mixed.transpose(1, 2).flatten(2))
        return x + out.transpose(1, 2).unflatten(2, (height, width))


class Downsample(nn.Module):
    """Half the resolution by a strided convolution; padding 0 means Ho's (TensorFlow's) right-and-bottom pad."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        self.padding = config.downsample_padding
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=self.padding)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)) if self.padding == 0 else x)
        return out


class Upsample(nn.Module):
    """Twice the resolution: nearest neighbour, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class DownBlock(nn.Module):
    """Residual blocks (each with attention where the level has it), then a downsampling but for the last level."""

    def __init__(self, config: UNetConfig, level: int) -> None:
        super().__init__()
        widths = config.block_out_channels
        width, before = widths[level], widths[max(level - 1, 0)]
        layers = range(config.layers_per_block)
        self.resnets = nn.ModuleList([ResnetBlock(config, width if i else before, width) for i in layers])
        attends = config.down_block_types[level] == "AttnDownBlock2D"
        self.attentions = nn.ModuleList([Attention(config, width) for _ in layers]) if attends else None
        last = level == len(widths) - 1
        self.downsamplers = None if last else nn.ModuleList([Downsample(config, width)])

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, time)
            if self.attentions is not None:
                x = self.attentions[i](x)
            skips.append(x)
        if self.downsamplers is not None:
            x = self.downsamplers[0](x)
            skips.append(x)
        return x, skips


class MidBlock(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        width = config.block_out_channels[-1]
        self.resnets = nn.ModuleList([ResnetBlock(config, width, width) for _ in range(2)])
        self.attentions = nn.ModuleList([Attention(config, width)] if config.add_attention else [])

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x = self.resnets[0](x, time)
        for attention in self.attentions:
            x = attention(x)
        out: Tensor = self.resnets[1](x, time)
        return out


class UpBlock(nn.Module):
    """One residual block more than on the way down, each fed one skip; then an upsampling but for the last level."""

    def __init__(self, config: UNetConfig, index: int) -> None:
        super().__init__()
        widths = config.block_out_channels[::-1]
        width, below, above = widths[index], widths[max(index - 1, 0)], widths[min(index + 1, len(widths) - 1)]
        count = config.layers_per_block + 1
        # The last skip of a level was pushed by the downsampling of the level above, so it has that level's width.
        channels_in = [(width if i else below) + (width if i < count - 1 else above) for i in range(count)]
        self.resnets = nn.ModuleList([ResnetBlock(config, channels, width) for channels in channels_in])
        attends = config.up_block_types[index] == "AttnUpBlock2D"
        self.attentions = nn.ModuleList([Attention(config, width) for _ in range(count)]) if attends else None
        last = index == len(widths) - 1
        self.upsamplers = None if last else nn.ModuleList([Upsample(width)])

    def forward(self, x: Tensor, time: Tensor, skips: list[Tensor]) -> Tensor:
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), time)
            if self.attentions is not None:
                x = self.attentions[i](x)
        if self.upsamplers is not None:
            x = self.upsamplers[0](x)
        return x


class UNet(nn.Module):
    """The denoiser `out = UNet(x, t)`.

    x: float32 `[B, in_channels, H, W]`, around [-1, 1]; t: int64 `[B]`, counted from 0; out: `[B, out_channels, H, W]`.
    H and W must be multiples of 2 to the number of downsamplings; any such size works, `sample_size` is only a record.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, levels = config.block_out_channels[0], range(len(config.block_out_channels))
        self.conv_in = nn.Conv2d(config.in_channels, first, 3, padding=1)
        self.time_proj = Timesteps(config)
        self.time_embedding = TimeEmbedding(first, config.time_width)
        self.down_blocks = nn.ModuleList([DownBlock(config, level) for level in levels])
        self.mid_block = MidBlock(config)
        self.up_blocks = nn.ModuleList([UpBlock(config, index) for index in levels])
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, first, config.norm_eps)
        self.conv_out = nn.Conv2d(first, config.out_channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time_embedding(self.time_proj(t).to(self.conv_in.weight.dtype))
        x = self.conv_in(x)
        skips = [x]
        for down in self.down_blocks:
            x, more = down(x, time)
            skips += more
        x = self.mid_block(x, time)
        for up in self.up_blocks:
            x = up(x, time, skips)
        out: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return out


def init_like_ho(model: UNet, generator: torch.Generator | None = None) -> None:
    """The initial weights of Ho et al.'s published code: fan-average uniform, zero where a branch is added back.

    A convolution or dense layer starts uniform in +-sqrt(3 / fan_average); the last layer of every residual branch
    and of the network starts (all but) at zero, so that the whole network starts as the identity of its skips.
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
