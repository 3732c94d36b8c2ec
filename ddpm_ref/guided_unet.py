"""The UNet of improved-diffusion and guided-diffusion (Nichol and Dhariwal 2021; Dhariwal and Nichol 2021, appendix).

The parameters have the names of OpenAI's published weights. This is a plain reimplementation that can be exported: no
gradient checkpointing, and no dropout, because this package does not train it.
"""

import math

import torch
from torch import Tensor, nn

from .guided_config import GuidedConfig
from .guided_layers import Pixels, Residual, SelfAttention, norm, resampler


class GuidedUNet(nn.Module):
    """The denoiser `out = GuidedUNet(x, t)`, or `GuidedUNet(x, t, y)` with classes. Shapes and dtypes are `UNet`'s."""

    frequencies: Tensor

    def __init__(self, config: GuidedConfig) -> None:
        super().__init__()
        self.config = config
        half = config.model_channels // 2
        frequencies = (torch.arange(half, dtype=torch.float32, device="cpu") * -math.log(10_000) / half).exp()
        self.register_buffer("frequencies", frequencies, persistent=False)
        width = config.time_width
        self.time_embed = nn.Sequential(nn.Linear(config.model_channels, width), nn.SiLU(), nn.Linear(width, width))
        self.label_emb = None if config.classes is None else nn.Embedding(config.classes, width)
        self.input_blocks, skips = self._way_down(config)
        self.middle_block = self._middle(config)
        self.output_blocks = self._way_up(config, skips)
        first = config.first_width
        self.out = nn.Sequential(norm(first), nn.SiLU(), nn.Conv2d(first, config.out_channels, 3, padding=1))

    @staticmethod
    def _way_down(config: GuidedConfig) -> tuple[nn.ModuleList, list[int]]:
        """The blocks of the down path, and the width of the skip connection after each block."""
        channels = config.first_width
        blocks = [nn.ModuleList([Pixels(config.in_channels, channels, 3, padding=1)])]
        skips = [channels]
        for level, width in enumerate(config.widths):
            for _ in range(config.layers):
                layers: list[nn.Module] = [Residual(config, channels, width)]
                channels = width
                if config.attention[level]:
                    layers.append(SelfAttention(config, width))
                blocks.append(nn.ModuleList(layers))
                skips.append(width)
            if level < len(config.widths) - 1:
                blocks.append(nn.ModuleList([resampler(config, width, "down")]))
                skips.append(width)
        return nn.ModuleList(blocks), skips

    @staticmethod
    def _middle(config: GuidedConfig) -> nn.ModuleList:
        width = config.widths[-1]
        return nn.ModuleList(
            [Residual(config, width, width), SelfAttention(config, width), Residual(config, width, width)]
        )

    @staticmethod
    def _way_up(config: GuidedConfig, skips: list[int]) -> nn.ModuleList:
        channels, blocks = config.widths[-1], []
        for level in reversed(range(len(config.widths))):
            width = config.widths[level]
            for i in range(config.layers + 1):
                layers: list[nn.Module] = [Residual(config, channels + skips.pop(), width)]
                channels = width
                if config.attention[level]:
                    layers.append(SelfAttention(config, width))
                if level and i == config.layers:
                    layers.append(resampler(config, width, "up"))
                blocks.append(nn.ModuleList(layers))
        return nn.ModuleList(blocks)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        if (y is None) != (self.label_emb is None):
            raise ValueError("a model with classes needs labels; a model without classes takes none")
        angle = (t.float() * self.config.time_scale)[:, None] * self.frequencies[None, :]
        time = self.time_embed(torch.cat([angle.cos(), angle.sin()], dim=1))
        if self.label_emb is not None:
            time = time + self.label_emb(y)
        skips = []
        for block in self.input_blocks:
            x = through(block, x, time)
            skips.append(x)
        x = through(self.middle_block, x, time)
        for block in self.output_blocks:
            x = through(block, torch.cat([x, skips.pop()], dim=1), time)
        out: Tensor = self.out(x)
        return out


def through(layers: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    """`x` after all of `layers` in sequence."""
    for layer in layers.children():
        x = layer(x, time)
    return x
