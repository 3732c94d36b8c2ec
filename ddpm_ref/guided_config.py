"""The architecture of an improved-diffusion or guided-diffusion network as data."""

from dataclasses import dataclass
from typing import Literal

from .errors import ConfigError

GROUPS, EPS = 32, 1e-5  # of every GroupNorm in these networks
AttentionOrder = Literal["legacy", "new"]  # channels of qkv. legacy: q, k, v head by head; new: all q, all k, all v


@dataclass(frozen=True, kw_only=True)
class GuidedConfig:
    """The architecture of a `GuidedUNet`. Raises ConfigError when the values do not fit together."""

    in_channels: int
    out_channels: int  # twice `in_channels` if the variance is learned
    model_channels: int  # width of the sinusoidal time embedding
    first_width: int  # width of the first convolution: `model_channels`, except in the 512 x 512 network
    widths: tuple[int, ...]  # one per level, from full resolution down
    layers: int  # residual blocks per level on the down path; one more on the up path
    attention: tuple[bool, ...]  # per level: attention after every residual block
    scale_shift: bool  # the time embedding scales and shifts, instead of being added
    resblock_updown: bool  # resample by residual blocks, not by convolutions
    classes: int | None
    heads: int | None  # attention heads; exactly one of `heads` and `head_channels` is None
    head_channels: int | None
    attention_order: AttentionOrder
    time_scale: float = 1.0  # the factor of t before the sinusoids; 1000 / T if timesteps are rescaled

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.attention):
            raise ConfigError(
                f"widths has {len(self.widths)} levels and attention {len(self.attention)}; they must agree"
            )
        if (self.heads is None) == (self.head_channels is None):
            raise ConfigError("exactly one of heads and head_channels must be given")
        for width in (self.first_width, *self.widths):
            if width % GROUPS:
                raise ConfigError(f"{width} channels cannot be split into {GROUPS} groups")
        for width in self.attention_widths:
            self.heads_of(width)

    @property
    def time_width(self) -> int:
        return 4 * self.model_channels

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """The channel count of every attention layer, including the middle block's."""
        return (
            *(width for width, attends in zip(self.widths, self.attention, strict=True) if attends),
            self.widths[-1],
        )

    def heads_of(self, width: int) -> int:
        """The number of attention heads over `width` channels. Raises ConfigError if they cannot be split evenly."""
        heads = self.heads if self.head_channels is None else width // self.head_channels
        if not heads or width % heads or (self.head_channels is not None and width % self.head_channels):
            raise ConfigError(
                f"{width} channels cannot be split into heads={self.heads}, head_channels={self.head_channels}"
            )
        return heads
