"""The UNets of denoising_diffusion_pytorch: of images, of sequences, and of images with classes.

The parameters have the names of that project's `Unet`, in whose forms the names of `Unet1D` and of the labelled `Unet`
are written here too. This is a plain reimplementation that can be exported: no dropout, because this package does not
train it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .errors import ConfigError

CONV = {1: nn.Conv1d, 2: nn.Conv2d}


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """One attention layer: softmax over all places, or linear in their number.

    Raises ConfigError for channels that the heads cannot share.
    """

    full: bool
    heads: int
    hidden: int  # channels of all heads together
    memory: int  # learned keys and values, in addition to those of the places

    def __post_init__(self) -> None:
        if self.heads < 1 or self.hidden % self.heads:
            raise ConfigError(f"{self.hidden} channels cannot be split into {self.heads} heads")


@dataclass(frozen=True, kw_only=True)
class LucidrainsConfig:
    """The architecture of a `LucidrainsUNet`. Raises ConfigError when the values do not fit together."""

    dims: int  # 1 for sequences, 2 for images
    in_channels: int  # of x, and of the previous x0 with self-conditioning
    out_channels: int
    dim: int  # width of the sinusoidal time embedding
    widths: tuple[int, ...]  # of the first convolution, then one per level
    attention: tuple[AttentionConfig, ...]  # one per level
    middle: AttentionConfig
    folds: bool  # halve the resolution by moving 2 x 2 pixels into channels; else by a convolution of stride 2
    classes: int | None = None  # with the one that stands for no class, which is the last
    self_condition: bool = False

    def __post_init__(self) -> None:
        if not self.attention or self.dim % 2:
            raise ConfigError(f"{len(self.attention)} levels with a time embedding of {self.dim} numbers form no UNet")


class LucidrainsUNet(nn.Module):
    """The denoiser `out = LucidrainsUNet(x, t)`; `(x, t, y)` with classes, `(x, t, x0)` with self-conditioning."""

    def __init__(self, config: LucidrainsConfig) -> None:
        super().__init__()
        self.config = config
        conv, widths, time = CONV[config.dims], config.widths, 4 * config.dim
        embedded = time if config.classes is None else 2 * time
        self.init_conv = conv(config.in_channels, widths[0], 7, padding=3)
        self.time_mlp = nn.Sequential(
            Sinusoids(config.dim), nn.Linear(config.dim, time), nn.GELU(), nn.Linear(time, time)
        )
        if config.classes is not None:
            self.classes_emb = nn.Embedding(config.classes, config.dim)
            self.classes_mlp = nn.Sequential(nn.Linear(config.dim, time), nn.GELU(), nn.Linear(time, time))

        def level(width: int, out: int, attention: AttentionConfig, resampler: nn.Module) -> nn.ModuleList:
            blocks = [Residual(conv, width, out, embedded) for _ in range(2)]
            return nn.ModuleList([*blocks, Attention(conv, out, attention), resampler])

        pairs = list(zip(widths[:-1], widths[1:], config.attention, strict=True))
        downs = [self._down(narrow, wide) for narrow, wide, _ in pairs[:-1]]
        ups = [self._up(wide, narrow) for narrow, wide, _ in pairs[:0:-1]]
        same_down = conv(widths[-2], widths[-1], 3, padding=1)  # the last level of each path keeps the resolution
        same_up = conv(widths[1], widths[0], 3, padding=1)
        self.downs = nn.ModuleList(
            level(narrow, narrow, attention, resampler)
            for (narrow, _, attention), resampler in zip(pairs, [*downs, same_down], strict=True)
        )
        self.mid_block1 = Residual(conv, widths[-1], widths[-1], embedded)
        self.mid_attn = Attention(conv, widths[-1], config.middle)
        self.mid_block2 = Residual(conv, widths[-1], widths[-1], embedded)
        self.ups = nn.ModuleList(
            level(narrow + wide, wide, attention, resampler)
            for (narrow, wide, attention), resampler in zip(pairs[::-1], [*ups, same_up], strict=True)
        )
        self.final_res_block = Residual(conv, 2 * widths[0], widths[0], embedded)
        self.final_conv = conv(widths[0], config.out_channels, 1)

    def _down(self, narrow: int, wide: int) -> nn.Module:
        if self.config.folds:
            return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * narrow, wide, 1))
        return CONV[self.config.dims](narrow, wide, 4, stride=2, padding=1)

    def _up(self, wide: int, narrow: int) -> nn.Module:
        return nn.Sequential(nn.Upsample(scale_factor=2), CONV[self.config.dims](wide, narrow, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, given: Tensor | None = None) -> Tensor:
        if (given is None) == (self.config.self_condition or self.config.classes is not None):
            raise ValueError("labels are for a model with classes, and a previous x0 for one with self-conditioning")
        time = self.time_mlp(t)
        if self.config.classes is not None:
            time = torch.cat([time, self.classes_mlp(self.classes_emb(given))], dim=1)
        if self.config.self_condition and given is not None:
            x = torch.cat([given, x], dim=1)
        x = self.init_conv(x)
        first, skips = x, []
        for layers in self.downs:
            block1, block2, attention, resampler = layers.children()
            skips.append(x := block1(x, time))
            skips.append(x := attention(block2(x, time)))
            x = resampler(x)
        x = self.mid_block2(self.mid_attn(self.mid_block1(x, time)), time)
        for layers in self.ups:
            block1, block2, attention, resampler = layers.children()
            x = block1(torch.cat([x, skips.pop()], dim=1), time)
            x = resampler(attention(block2(torch.cat([x, skips.pop()], dim=1), time)))
        out: Tensor = self.final_conv(self.final_res_block(torch.cat([x, first], dim=1), time))
        return out


class Sinusoids(nn.Module):
    """Sines, then cosines, of t at `width / 2` frequencies from 1 to 1e-4."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        frequencies = torch.exp(torch.arange(half, device="cpu") * -(math.log(10_000) / max(half - 1, 1)))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        angle = t.float()[:, None] * self.frequencies[None, :]
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class Norm(nn.Module):
    """Scales the channels of each place to the length sqrt(C), then by `g`."""

    def __init__(self, conv: type[nn.Module], width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, width, *[1] * (1 if conv is nn.Conv1d else 2)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = functional.normalize(x, dim=1) * self.g * x.shape[1] ** 0.5
        return out


class Block(nn.Module):
    """A convolution, a norm, the scale and shift of the time embedding, SiLU."""

    def __init__(self, conv: type[nn.Module], width: int, out: int) -> None:
        super().__init__()
        self.proj, self.norm = conv(width, out, 3, padding=1), Norm(conv, out)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        x = self.norm(self.proj(x))
        return functional.silu(x if scale is None or shift is None else x * (scale + 1) + shift)


class Residual(nn.Module):
    """Two blocks beside a skip connection."""

    def __init__(self, conv: type[nn.Module], width: int, out: int, embedded: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(embedded, 2 * out))
        self.block1, self.block2 = Block(conv, width, out), Block(conv, out, out)
        self.res_conv = nn.Identity() if width == out else conv(width, out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.mlp(time).reshape(x.shape[0], -1, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        out: Tensor = self.block2(self.block1(x, scale, shift)) + self.res_conv(x)
        return out


class Attention(nn.Module):
    """x + attention(norm(x)): softmax attention, or linear attention (Shen et al. 2021)."""

    def __init__(self, conv: type[nn.Module], width: int, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = Norm(conv, width)
        self.to_qkv = conv(width, 3 * config.hidden, 1, bias=False)
        if config.memory:
            places = (config.memory, config.hidden // config.heads)
            self.mem_kv = nn.Parameter(torch.zeros(2, config.heads, *(places if config.full else places[::-1])))
        out = conv(config.hidden, width, 1)
        self.to_out = out if config.full else nn.Sequential(out, Norm(conv, width))

    def forward(self, x: Tensor) -> Tensor:
        """Heads are [B, heads, channels of a head, places]."""
        heads = self.to_qkv(self.norm(x)).reshape(x.shape[0], 3, self.config.heads, -1, x[0, 0].numel())
        q, k, v = heads.unbind(1)
        if self.config.memory:
            memory = (self.mem_kv.transpose(2, 3) if self.config.full else self.mem_kv)[:, None]
            more = memory.expand(2, x.shape[0], *memory.shape[2:])
            k, v = torch.cat([more[0], k], dim=3), torch.cat([more[1], v], dim=3)
        scale = q.shape[2] ** -0.5
        if self.config.full:
            weights = ((q * scale).transpose(2, 3) @ k).softmax(dim=-1)  # [B, heads, places, keys]
            found = v @ weights.transpose(2, 3)
        else:
            found = (k.softmax(dim=-1) @ v.transpose(2, 3)).transpose(2, 3) @ (q.softmax(dim=2) * scale)
        out: Tensor = x + self.to_out(found.reshape(x.shape[0], -1, *x.shape[2:]))
        return out
