"""The state dicts of improved-diffusion and guided-diffusion.

Widths, depth, attention, scale-shift, resampling, classes and learned variance follow from names and shapes. The
other facts (heads and their order, image size, betas, prediction) must be in the TOML file.
"""

from pathlib import Path

from ddpm_ref.checkpoint import filled
from ddpm_ref.errors import CheckpointError, ConfigError
from ddpm_ref.guided_config import AttentionOrder, GuidedConfig
from ddpm_ref.guided_unet import GuidedUNet

from .facts import Facts, first
from .source import Source, check_sides
from .state_file import Weights, count, shape_of

ANCHOR = "time_embed.0.weight"
LAYOUT = "an improved-diffusion or guided-diffusion state dict"
OWN_KEYS = ("classes", "null_class", "heads", "head_channels", "attention_order", "rescale_timesteps")
TRAINED_STEPS = 1000  # the T at which `rescale_timesteps` changes nothing


def matches(weights: Weights) -> bool:
    return {ANCHOR, "input_blocks.0.0.weight"} <= weights.keys()


def load(path: Path, weights: Weights, facts: Facts) -> Source:
    """Build the network of the weights. Raises CheckpointError, which names a missing fact."""
    facts.check_keys(OWN_KEYS, LAYOUT)
    betas = facts.need("betas", f"{path} is {LAYOUT}, which contains no schedule")
    size = facts.need("image_size", f"{path}: the network accepts images of any size")
    prediction = facts.need("prediction", f"{path}: the weights do not show the prediction")
    try:
        config = infer(path, weights, facts, len(betas))
        model = filled(lambda: GuidedUNet(config), weights, str(path))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    check_sides(path, size, len(config.widths) - 1)
    learned = config.out_channels == 2 * config.in_channels
    if config.classes is None:
        facts.refuse(("classes", "null_class"), "an unconditional model")
    elif facts.classes not in (None, config.classes):
        raise CheckpointError(f"{facts.path}: classes = {facts.classes}, but label_emb has {config.classes}")
    return Source(
        layout=LAYOUT,
        module=model,
        image_shape=(config.in_channels, *size),
        betas=betas,
        prediction=prediction,
        # In both code bases a doubled output always means learned_range.
        variance="learned_range" if learned else facts.need("variance", f"{path}: the variance is not learned"),
        clip=facts.clip_or((-1.0, 1.0)),  # `clip_denoised` is true by default
        spacing=first(facts.spacing, "linspace"),  # the closest match of `timestep_respacing`
        classes=config.classes,
        null_class=facts.null_class,
    )


def infer(path: Path, weights: Weights, facts: Facts, steps: int) -> GuidedConfig:
    """Infer the architecture from names and shapes. Loading the weights strictly detects a wrong result."""
    time_width, model_channels = shape_of(weights, ANCHOR, 2, path)
    first_width, channels = shape_of(weights, "input_blocks.0.0.weight", 4, path)[:2]
    out_channels = shape_of(weights, "out.2.weight", 4, path)[0]
    if channels == 6 or out_channels not in (channels, 2 * channels):
        raise CheckpointError(
            f"{path}: {channels} input channels, {out_channels} output channels; networks with a second input image "
            "(super-resolution, self-conditioning) are not supported"
        )
    starts, layers = _levels(path, weights)
    residual = [f"input_blocks.{start}.0" for start in starts]
    widths = tuple(shape_of(weights, f"{name}.in_layers.2.weight", 4, path)[0] for name in residual)
    embedded = shape_of(weights, f"{residual[0]}.emb_layers.1.weight", 2, path)[0]
    down = starts[1] - 1 if len(starts) > 1 else None
    classes = shape_of(weights, "label_emb.weight", 2, path)[0] if "label_emb.weight" in weights else None
    attention = tuple(f"input_blocks.{start}.1.qkv.weight" in weights for start in starts)
    attended = {width for width, attends in zip(widths, attention, strict=True) if attends} | {widths[-1]}
    heads, head_channels = _heads(path, facts)
    one_head = heads == 1 or attended == {head_channels}
    return GuidedConfig(
        in_channels=channels,
        out_channels=out_channels,
        model_channels=model_channels,
        first_width=first_width,
        widths=widths,
        layers=layers,
        attention=attention,
        scale_shift=embedded == 2 * widths[0],
        resblock_updown=down is not None and f"input_blocks.{down}.0.in_layers.2.weight" in weights,
        classes=classes,
        heads=heads,
        head_channels=head_channels,
        attention_order=_order(path, facts, one_head),
        time_scale=_time_scale(path, facts, steps),
    )


def _levels(path: Path, weights: Weights) -> tuple[list[int], int]:
    """The index of the first input block of each level, and the number of residual blocks in a level.

    A residual block that halves the resolution looks like any other. On the up path, a residual block that doubles the
    resolution is the second one in its block. So the levels are counted on the up path, which mirrors the down path.
    """
    downs, ups = count(weights, "input_blocks", path), count(weights, "output_blocks", path)
    ends = [i for i in range(ups) if _doubles(weights, f"output_blocks.{i}")]
    levels = len(ends) + 1
    layers = ups // levels - 1
    each = layers + 1  # the same on the down path, with its first convolution and its downsamplings
    if (
        layers < 1
        or ups != levels * each
        or downs != ups
        or ends != [each * level + layers for level in range(levels - 1)]
    ):
        raise CheckpointError(
            f"{path}: {downs} input blocks and {ups} output blocks with upsampling after {ends} do not form a UNet "
            f"with equal levels; resampling without weights (conv_resample=False) is not supported"
        )
    return [1 + each * level for level in range(levels)], layers


def _doubles(weights: Weights, block: str) -> bool:
    """Whether the block ends with an upsampling, which is a lone convolution or a second residual block."""
    return any(f"{block}.{place}.{name}.weight" in weights for place in (1, 2) for name in ("conv", "in_layers.2"))


def _heads(path: Path, facts: Facts) -> tuple[int | None, int | None]:
    if facts.heads is not None and facts.head_channels is not None:
        raise CheckpointError(f"{facts.path}: give heads or head_channels, not both")
    if facts.head_channels is not None:
        return None, facts.head_channels
    facts.need("heads", f"{path}: the weights do not show num_heads ('heads') or num_head_channels ('head_channels')")
    return facts.heads, None


def _order(path: Path, facts: Facts, one_head: bool) -> AttentionOrder:
    if one_head:
        return first(facts.attention_order, "new")  # with one head both orders are the same
    why = f"{path}: the weights do not show whether use_new_attention_order was true ('new') or false ('legacy')"
    order: AttentionOrder = facts.need("attention_order", why)
    return order


def _time_scale(path: Path, facts: Facts, steps: int) -> float:
    if steps == TRAINED_STEPS:
        return 1.0
    rescaled = facts.need("rescale_timesteps", f"{path}: rescale_timesteps matters for {steps} betas")
    return TRAINED_STEPS / steps if rescaled else 1.0
