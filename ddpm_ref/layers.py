"""The layers of the UNet: time embedding, residual block, attention, resampling."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import UNetConfig


class Timesteps(nn.Module):
    """The sinusoids `[B, C]` of integer timesteps `[B]`: DDPM, appendix B (after Vaswani et al. 2017, section 3.5)."""

    frequencies: Tensor

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        half = config.block_out_channels[0] // 2
        exponent = (
            torch.arange(half, dtype=torch.float32, device="cpu") * -math.log(10_000) / (half - config.freq_shift)
        )
        self.register_buffer("frequencies", exponent.exp(), persistent=False)
        self.cos_first = config.flip_sin_to_cos

    def forward(self, t: Tensor) -> Tensor:
        angle = t.float()[:, None] * self.frequencies[None, :]  # [B, half], in float32: bf16 rounds 999 to 1000
        pair = (angle.cos(), angle.sin()) if self.cos_first else (angle.sin(), angle.cos())
        return torch.cat(pair, dim=1)


class TimeEmbedding(nn.Module):
    """The two dense layers between the sinusoids `[B, channels]` and the time embedding `[B, width]`."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, sinusoids: Tensor) -> Tensor:
        out: Tensor = self.linear_2(F.silu(self.linear_1(sinusoids)))
        return out


class Norm(nn.GroupNorm):
    """GroupNorm in the dtype of its weights, as under autocast on a GPU.

    Autocast on a CPU would compute it in bfloat16, which is less exact, and several times slower in channels_last.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.dtype == self.weight.dtype else x.to(self.weight.dtype))


class ResnetBlock(nn.Module):
    """GroupNorm-SiLU-conv twice, with the time embedding in between, and an identity or 1x1 shortcut.

    `resample` "down" or "up" halves or doubles the resolution after the first SiLU, and on the shortcut. `divisor`
    divides the sum with the shortcut.
    """

    def __init__(
        self, config: UNetConfig, channels_in: int, channels_out: int, *, resample: str = "", divisor: float = 1.0
    ) -> None:
        super().__init__()
        groups, eps = config.norm_num_groups, config.norm_eps
        self.scale_shift = config.resnet_time_scale_shift == "scale_shift"
        self.resample, self.divisor = resample, divisor
        self.norm1 = Norm(groups, channels_in, eps)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(config.time_width, channels_out * (2 if self.scale_shift else 1))
        self.norm2 = Norm(groups, channels_out, eps)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(self._resampled(F.silu(self.norm1(x))))
        time = self.time_emb_proj(F.silu(time))[:, :, None, None]
        if self.scale_shift:
            scale, shift = time.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + time)
        h = self.conv2(self.dropout(F.silu(h)))
        x = self._resampled(x)
        shortcut: Tensor = x if self.conv_shortcut is None else self.conv_shortcut(x)
        return divided(shortcut + h, self.divisor)

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.resample == "up" else x


class Attention(nn.Module):
    """Self-attention over all pixels, with `channels // head_dim` heads; the softmax is in float32."""

    def __init__(self, config: UNetConfig, channels: int, *, groups: int | None, divisor: float = 1.0) -> None:
        super().__init__()
        self.heads, self.divisor = config.heads(channels), divisor
        self.group_norm = None if groups is None else Norm(groups, channels, config.norm_eps)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        # A list, so that the layer has diffusers' name `to_out.0`; diffusers has a dropout at index 1.
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        normed = x if self.group_norm is None else self.group_norm(x)
        tokens = normed.flatten(2).transpose(1, 2)  # [B, HW, C]

        def split(projected: Tensor) -> Tensor:  # [B, HW, C] -> [B, heads, HW, d]
            return projected.reshape(batch, -1, self.heads, channels // self.heads).transpose(1, 2)

        q, k, v = split(self.to_q(tokens)), split(self.to_k(tokens)), split(self.to_v(tokens))
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5  # [B, heads, HW, HW]
        mixed = scores.softmax(dim=-1, dtype=torch.float32).to(v.dtype) @ v
        out: Tensor = self.to_out[0](mixed.transpose(1, 2).flatten(2))
        return divided(x + out.transpose(1, 2).reshape(x.shape), self.divisor)


class Downsample(nn.Module):
    """Half the resolution by a strided convolution; padding 0 pads right and bottom, as Ho's code (TensorFlow) does.

    The call takes the arguments of a residual block, and ignores the time embedding.
    """

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        self.padding = config.downsample_padding
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=self.padding)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)) if self.padding == 0 else x)
        return out


class Upsample(nn.Module):
    """Twice the resolution by nearest neighbour, then a convolution. The call ignores the time embedding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def divided(x: Tensor, divisor: float) -> Tensor:
    return x if divisor == 1.0 else x / divisor
