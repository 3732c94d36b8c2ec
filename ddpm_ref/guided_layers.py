"""The layers of `GuidedUNet`. Each takes the image `[B, C, H, W]` and the time embedding `[B, time_width]`."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .guided_config import EPS, GROUPS, GuidedConfig


class Residual(nn.Module):
    """Norm-SiLU-conv twice, with the time embedding in between, and a shortcut.

    `resample` "down" or "up" halves or doubles the resolution after the first SiLU, and on the shortcut.
    """

    def __init__(self, config: GuidedConfig, channels: int, width: int, *, resample: str = "") -> None:
        super().__init__()
        self.scale_shift, self.resample = config.scale_shift, resample
        self.in_layers = nn.Sequential(norm(channels), nn.SiLU(), nn.Conv2d(channels, width, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(config.time_width, width * (2 if self.scale_shift else 1)))
        # The identity stands for the dropout of training, so that the convolution is named `out_layers.3`.
        self.out_layers = nn.Sequential(norm(width), nn.SiLU(), nn.Identity(), nn.Conv2d(width, width, 3, padding=1))
        self.skip_connection = nn.Identity() if channels == width else nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.in_layers[2](resampled(self.in_layers[:2](x), self.resample))
        time = self.emb_layers(time)[:, :, None, None]
        if self.scale_shift:
            scale, shift = time.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + time)
        out: Tensor = self.skip_connection(resampled(x, self.resample)) + h
        return out


class SelfAttention(nn.Module):
    """Self-attention over all pixels. q and k are each scaled by d^-1/4; the softmax is in float32."""

    def __init__(self, config: GuidedConfig, width: int) -> None:
        super().__init__()
        self.heads, self.order = config.heads_of(width), config.attention_order
        self.norm = norm(width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        batch, width = x.shape[:2]
        qkv = self.qkv(self.norm(x).flatten(2))  # [B, 3C, HW]
        if self.order == "legacy":
            q, k, v = qkv.reshape(batch, self.heads, 3, width // self.heads, -1).unbind(2)
        else:
            q, k, v = qkv.reshape(batch, 3, self.heads, width // self.heads, -1).unbind(1)
        scale = (width // self.heads) ** -0.25
        scores = (q * scale).transpose(2, 3) @ (k * scale)  # [B, heads, HW of q, HW of k]
        mixed = v @ scores.softmax(dim=-1, dtype=torch.float32).to(v.dtype).transpose(2, 3)  # [B, heads, d, HW]
        out: Tensor = self.proj_out(mixed.flatten(1, 2))
        return x + out.reshape(x.shape)


class Convolution(nn.Module):
    """Resampling by a convolution: down with `op` of stride 2, up with nearest neighbour and then `conv`."""

    def __init__(self, width: int, resample: str) -> None:
        super().__init__()
        self.name = "op" if resample == "down" else "conv"
        self.add_module(self.name, nn.Conv2d(width, width, 3, stride=2 if resample == "down" else 1, padding=1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x = x if self.name == "op" else resampled(x, "up")
        out: Tensor = self.get_submodule(self.name)(x)
        return out


class Pixels(nn.Conv2d):
    """The first convolution. It ignores the time embedding."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, EPS)


def resampled(x: Tensor, way: str) -> Tensor:
    """`x` at half the resolution by averages ("down"), at twice by nearest neighbour ("up"), or unchanged ("")."""
    if way == "down":
        return F.avg_pool2d(x, 2)
    return F.interpolate(x, scale_factor=2.0, mode="nearest") if way == "up" else x


def resampler(config: GuidedConfig, width: int, way: str) -> nn.Module:
    return Residual(config, width, width, resample=way) if config.resblock_updown else Convolution(width, way)
