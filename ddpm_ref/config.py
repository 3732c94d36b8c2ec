"""The architecture of a UNet as data, with the keys, names and meanings of diffusers' `unet/config.json`."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from .errors import ConfigError
from .text import quoted

DOWN_BLOCKS = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
UP_BLOCKS = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
RESAMPLING = ("conv", "resnet")

# Keys of diffusers for which this UNet supports only one behaviour, and the values of this behaviour.
FIXED: dict[str, tuple[Any, ...]] = {
    "time_embedding_type": ("positional",),  # "fourier" takes a noise level instead of a timestep
    "act_fn": ("silu", "swish"),
}
# Ignored keys: one for time_embedding_type "learned", and those that diffusers' average of weights adds.
UNUSED = (
    *("num_train_timesteps", "decay", "min_decay", "optimization_step", "update_after_step"),
    *("use_ema_warmup", "inv_gamma", "power"),
)

MAX_WIDTH, MAX_LEVELS, MAX_SIDE = 16_384, 16, 65_536
COUNTS = {  # key: its largest value
    "in_channels": 4_096,
    "out_channels": 8_192,
    "layers_per_block": 64,
    "norm_num_groups": MAX_WIDTH,
    "attention_head_dim": MAX_WIDTH,
    "attn_norm_num_groups": MAX_WIDTH,
    "time_embedding_dim": 4 * MAX_WIDTH,
    "num_class_embeds": 10_000_000,
}
OPTIONAL = ("attention_head_dim", "attn_norm_num_groups", "time_embedding_dim", "num_class_embeds")


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The architecture of a `UNet`. Raises ConfigError when the values do not fit together.

    Keys that change the output have no default, because a wrong guess would change the pictures. The exceptions are
    keys that diffusers added later.
    """

    sample_size: int | tuple[int, int] | None  # height and width of the training images in pixels; None: unknown
    in_channels: int
    out_channels: int
    block_out_channels: tuple[int, ...]  # one width per level, from full resolution down
    layers_per_block: int  # residual blocks per level on the down path; one more on the up path
    down_block_types: tuple[str, ...]
    up_block_types: tuple[str, ...]  # from the lowest resolution up
    attention_head_dim: int | None  # channels per head; None: one head of all channels (Ho)
    norm_num_groups: int
    norm_eps: float  # Ho 1e-6, diffusers' class default 1e-5
    downsample_padding: int  # 0 pads right and bottom (Ho), 1 all sides (diffusers' class default)
    flip_sin_to_cos: bool  # False is [sin, cos] (Ho)
    freq_shift: int  # 1 divides the exponent by half - 1 (Ho), 0 by half
    dropout: float = 0.0  # only in training
    # diffusers added the keys below later: a file without the key means the default.
    add_attention: bool = True  # attention in the middle block
    mid_block_type: str | None = "UNetMidBlock2D"  # None: no middle block
    mid_block_scale_factor: float = 1.0  # the divisor of the residual sums in the middle block
    attn_norm_num_groups: int | None = None  # of the middle block's attention; None: see `middle_groups`
    downsample_type: str = "conv"  # of AttnDownBlock2D; the other blocks have one type each
    upsample_type: str = "conv"  # of AttnUpBlock2D
    resnet_time_scale_shift: str = "default"  # "default" adds the time embedding, "scale_shift" scales and shifts
    time_embedding_dim: int | None = None  # None: 4 times the first level's width
    center_input_sample: bool = False  # the input is in [0, 1], and the network computes 2 x - 1 first
    class_embed_type: str | None = None  # None: a table if `num_class_embeds` is set; "timestep": as a timestep
    num_class_embeds: int | None = None

    def __post_init__(self) -> None:
        self._check_values()
        levels = len(self.block_out_channels)
        if not levels or len(self.down_block_types) != levels or len(self.up_block_types) != levels:
            raise ConfigError(
                f"block_out_channels has {levels} levels, down_block_types {len(self.down_block_types)} and "
                f"up_block_types {len(self.up_block_types)}; they must agree and not be empty"
            )
        for block in self.down_block_types:
            _one_of(DOWN_BLOCKS, block, "down_block_types")
        for block in self.up_block_types:
            _one_of(UP_BLOCKS, block, "up_block_types")
        _one_of((0, 1), self.downsample_padding, "downsample_padding")
        _one_of(RESAMPLING, self.downsample_type, "downsample_type")
        _one_of(RESAMPLING, self.upsample_type, "upsample_type")
        _one_of(("UNetMidBlock2D", None), self.mid_block_type, "mid_block_type")
        _one_of(("default", "scale_shift"), self.resnet_time_scale_shift, "resnet_time_scale_shift")
        _one_of((None, "timestep"), self.class_embed_type, "class_embed_type")
        for width in self.block_out_channels:
            if width < 1 or self.norm_num_groups < 1 or width % self.norm_num_groups:
                raise ConfigError(f"{width} channels cannot be split into norm_num_groups={self.norm_num_groups}")
        if self.block_out_channels[0] % 2:
            raise ConfigError(
                f"the first width, {self.block_out_channels[0]}, must be even: half are sines, half cosines"
            )
        if self.block_out_channels[-1] % (self.middle_groups or 1):
            raise ConfigError(
                f"{self.block_out_channels[-1]} channels cannot be split into attn_norm_num_groups={self.middle_groups}"
            )
        for width in self.attention_widths():
            self.heads(width)

    def _check_values(self) -> None:
        """Raises ConfigError unless every value has the right type and is within its limit."""
        for key, most in COUNTS.items():
            value = getattr(self, key)
            _require((value is None and key in OPTIONAL) or _is_count(value, most), key, f"a count up to {most}", value)
        for key in ("center_input_sample", "flip_sin_to_cos", "add_attention"):
            _require(type(getattr(self, key)) is bool, key, "true or false", getattr(self, key))
        for key, least, largest in (
            ("norm_eps", 0.0, 1.0),
            ("dropout", 0.0, 1.0),
            ("mid_block_scale_factor", 1e-6, 1e6),
        ):
            value = getattr(self, key)
            number = type(value) in (int, float) and least <= value <= largest
            _require(number, key, f"a number in [{least:g}, {largest:g}]", value)
        size, widths = self.sample_size, self.block_out_channels
        sides = size if isinstance(size, tuple) else (size, size)
        sized = size is None or (len(sides) == 2 and all(_is_count(side, MAX_SIDE) for side in sides))
        _require(sized, "sample_size", f"one or two counts of pixels up to {MAX_SIDE}", size)
        listed = isinstance(widths, tuple) and len(widths) <= MAX_LEVELS
        counted = listed and all(_is_count(width, MAX_WIDTH) for width in widths)
        _require(counted, "block_out_channels", f"up to {MAX_LEVELS} counts up to {MAX_WIDTH}", widths)
        for key in ("down_block_types", "up_block_types"):
            value = getattr(self, key)
            named = isinstance(value, tuple) and all(isinstance(name, str) for name in value)
            _require(named, key, "a list of names", value)
        shift = type(self.freq_shift) is int and 0 <= self.freq_shift <= 1
        _require(shift, "freq_shift", "0 or 1", self.freq_shift)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W of the images. Raises ConfigError if `sample_size` is None."""
        size = self.sample_size
        if size is None:
            raise ConfigError("sample_size is null: the size of the images is unknown")
        return (self.in_channels, *(size if isinstance(size, tuple) else (size, size)))

    @property
    def labelled(self) -> bool:
        """Whether the network also takes a class label."""
        return self.class_embed_type is not None or self.num_class_embeds is not None

    @property
    def middle_groups(self) -> int | None:
        """Groups of the norm before the middle block's attention; None: no norm, diffusers' default for scale_shift."""
        default = self.norm_num_groups if self.resnet_time_scale_shift == "default" else None
        return default if self.attn_norm_num_groups is None else self.attn_norm_num_groups

    @property
    def time_width(self) -> int:
        """Width of the time embedding."""
        return self.time_embedding_dim or 4 * self.block_out_channels[0]

    def heads(self, channels: int) -> int:
        """The number of attention heads over `channels` channels. Raises ConfigError if they cannot be split evenly."""
        dim = channels if self.attention_head_dim is None else self.attention_head_dim
        if dim < 1 or channels % dim:
            raise ConfigError(f"{channels} channels cannot be split into heads of attention_head_dim={dim}")
        return channels // dim

    def attention_widths(self) -> set[int]:
        """The channel counts of all attention layers."""
        down = zip(self.block_out_channels, self.down_block_types, strict=True)
        up = zip(self.block_out_channels[::-1], self.up_block_types, strict=True)
        middle = {self.block_out_channels[-1]} if self.add_attention and self.mid_block_type else set()
        return middle | {width for width, block in (*down, *up) if block.startswith("Attn")}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "UNetConfig":
        """Read diffusers' `unet/config.json`. Raises ConfigError on a missing, unknown or unsupported key."""
        given = {key: value for key, value in raw.items() if not key.startswith("_") and key not in UNUSED}
        for key, allowed in FIXED.items():
            _one_of(allowed, given.pop(key, allowed[0]), key)
        known = {field.name: field for field in fields(cls)}
        if unknown := sorted(given.keys() - known.keys()):
            raise ConfigError(f"unknown key {quoted(unknown[0])}; the network may need a feature that is not supported")
        required = [name for name, field in known.items() if field.default is MISSING]
        if missing := [name for name in required if name not in given]:
            hint = "; null is one head (google/ddpm-*), 8 is diffusers' default" if "head" in missing[0] else ""
            raise ConfigError(f"missing key {missing[0]!r}: add it, because a wrong guess changes the pictures{hint}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The config from which diffusers' `UNet2DModel` builds the same network."""
        own = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {"_class_name": "UNet2DModel", **own, **{key: allowed[0] for key, allowed in FIXED.items()}}


def _one_of(allowed: tuple[Any, ...], value: object, key: str) -> None:
    if value not in allowed:
        raise ConfigError(f"{key}: {quoted(value)} is not supported; known: {', '.join(map(str, allowed))}")


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _require(holds: bool, key: str, wanted: str, found: object) -> None:
    if not holds:
        raise ConfigError(f"{key} must be {wanted}, not {quoted(found)}")
