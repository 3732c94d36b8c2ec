"""The architecture of an improved-diffusion or guided-diffusion network as data."""

from dataclasses import dataclass
from typing import Literal

from .errors import ConfigError

GROUPS, EPS = 32, 1e-5  # of every norm, in all of these networks
AttentionOrder = Literal["legacy", "new"]  # legacy: q, k, v of the first head, then of the second; new: all q first


@dataclass(frozen=True, kw_only=True)
class GuidedConfig:
    """What `GuidedUNet` needs to know. Raises ConfigError when the values do not fit together."""

    in_channels: int
    out_channels: int  # twice the channels in, if the variance is learned
    model_channels: int  # width of the sinusoids
    first_width: int  # of the first convolution; `model_channels` in all but the 512 x 512 network
    widths: tuple[int, ...]  # one a level, from full resolution down
    layers: int  # residual blocks a level on the way down; one more on the way up
    attention: tuple[bool, ...]  # whether a level has it after each residual block
    scale_shift: bool
    resblock_updown: bool  # resample by residual blocks, not by convolutions
    classes: int | None
    heads: int | None  # one of these two is None
    head_channels: int | None
    attention_order: AttentionOrder
    time_scale: float = 1.0  # what a timestep is multiplied by before its sinusoids; 1000 / T if they are rescaled

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.attention):
            raise ConfigError(f"{len(self.widths)} widths and {len(self.attention)} levels of attention")
        if (self.heads is None) == (self.head_channels is None):
            raise ConfigError("one of heads and head_channels must be given")
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
        """Channels wherever there is attention, the middle included."""
        return (
            *(width for width, attends in zip(self.widths, self.attention, strict=True) if attends),
            self.widths[-1],
        )

    def heads_of(self, width: int) -> int:
        """Heads of the attention over `width` channels."""
        heads = self.heads if self.head_channels is None else width // self.head_channels
        if not heads or width % heads or (self.head_channels is not None and width % self.head_channels):
            raise ConfigError(f"{width} channels do not go into heads={self.heads}, head_channels={self.head_channels}")
        return heads
