"""Directories that diffusers saves: a pipeline, or only its UNet2DModel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm_ref.checkpoint import build_unet, read_json, read_null_class, scheduler_file
from ddpm_ref.config import UNetConfig
from ddpm_ref.errors import CheckpointError
from ddpm_ref.scheduler_config import Scheduler, read_scheduler
from ddpm_ref.text import quoted

from .candidates import DECODERS
from .facts import Facts, first
from .selection import Selection
from .source import Source, check_sides
from .state_file import Weights

ANCHOR = "time_embedding.linear_1.weight"
KIND, NETWORKS = "UNet2DModel", ("unet", "unet_ema")
TEXT = "it needs a text encoder or another condition; only a UNet2DModel is supported"
QUOTES = "'"
LAYOUT = "a diffusers directory"
ALONE = "contains only weights of diffusers; name the directory with its config.json"
OWN_KEYS = ("classes", "null_class")


def is_checkpoint(path: Path) -> bool:
    """Whether a folder has this layout."""
    names = ("config.json", "model_index.json", *NETWORKS)
    return path.is_dir() and any((path / name).exists() for name in names)


def matches(weights: Weights) -> bool:
    """Whether weights belong to a UNet of diffusers."""
    return "conv_in.weight" in weights and any(name.startswith("down_blocks.") for name in weights)


def network_folder(path: Path, selection: Selection) -> Path:
    """The folder with the network of a checkpoint: `unet`, `unet_ema`, or `path` itself.

    Raises CheckpointError if there are several.
    """
    found = {name: path / name for name in NETWORKS if (path / name / "config.json").exists()}
    if found:
        return selection.pick(found)
    return path / "unet" if (path / "unet").is_dir() else path


def load(path: Path, folder: Path, weights: Weights, facts: Facts) -> Source:
    """Build the network of `folder` with `weights`, for the checkpoint `path`. `facts` override the files.

    Raises CheckpointError.
    """
    facts.check_keys(OWN_KEYS, LAYOUT)
    raw = dict(read_json(folder / "config.json"))
    kind = raw.get("_class_name", KIND)
    if kind != KIND:
        hint = TEXT if "Condition" in str(kind) else f"only a {KIND} is supported"
        raise CheckpointError(f"{folder / 'config.json'}: this is a {quoted(kind).strip(QUOTES)}; {hint}")
    if facts.image_size is not None:
        raw["sample_size"] = None
    unet = build_unet(folder / "config.json", raw, weights, str(folder))
    config = unet.config
    size = _image_size(path, config, facts)
    check_sides(path, size, len(config.block_out_channels) - 1)
    scheduler = _scheduler(path, facts)
    learned = scheduler.variance.startswith("learned")
    if config.out_channels != config.in_channels * (2 if learned else 1):
        raise CheckpointError(
            f"{path}: variance {scheduler.variance} does not match {config.in_channels} input channels and "
            f"{config.out_channels} output channels; only a learned variance doubles the output channels"
        )
    return Source(
        layout=LAYOUT,
        module=unet,
        image_shape=(config.in_channels, *size),
        **scheduler._asdict(),
        classes=_classes(config, facts),
        null_class=_null_class(folder, config, facts),
    )


def load_beside_config(path: Path, weights: Weights, facts: Facts) -> Source:
    """Build the network of a single weights file with `config.json` in its folder. Raises CheckpointError."""
    if not (path.parent / "config.json").is_file():
        raise CheckpointError(f"{path} {ALONE}")
    return load(path.parent, path.parent, weights, facts)


def decoder_folder(path: Path) -> Path | None:
    """The folder of a pipeline's autoencoder, if its network draws latents.

    Raises CheckpointError if the pipeline has an encoder of conditions, or several autoencoders.
    """
    index = read_json(path / "model_index.json") if (path / "model_index.json").exists() else {}
    named = [name for name, value in index.items() if isinstance(value, list) and any(value) and name[:1] != "_"]
    parts = {*named, *(name for name in DECODERS if (path / name).is_dir())} - {*NETWORKS, "scheduler"}
    decoders = sorted(parts & DECODERS)
    for part in [*sorted(parts - DECODERS), *decoders[1:]]:
        what = "is a second decoder" if part in DECODERS else "its network was trained with"
        raise CheckpointError(
            f"{path} is {_article(index)} with {quoted(part)}, which {what}; only pipelines with a scheduler, a "
            "UNet2DModel and at most one autoencoder are supported"
        )
    return path / decoders[0] if decoders else None


def _article(index: Mapping[str, Any]) -> str:
    kind = quoted(index.get("_class_name", "pipeline")).strip(QUOTES)
    return f"{'an' if kind[:1] in 'AEFHILMNORSX' else 'a'} {kind}"


def _image_size(path: Path, config: UNetConfig, facts: Facts) -> tuple[int, int]:
    if facts.image_size is not None:
        return facts.image_size
    if config.sample_size is None:
        facts.need("image_size", f"{path}: sample_size is null")
    return config.image_shape[1:]


def _scheduler(path: Path, facts: Facts) -> Scheduler:
    """The scheduler's facts. The TOML file overrides the scheduler's file."""
    fields = ("betas", "prediction", "variance", "clip", "spacing")
    given = {name: getattr(facts, name) for name in fields if getattr(facts, name) is not None}
    given |= {"clip": facts.clip_or(None)} if "clip" in given else {}
    file = scheduler_file(path)
    if file is None:
        for name in fields[:-1]:
            facts.need(name, f"{path} has no scheduler_config.json")
        return Scheduler(**{"spacing": "trailing"} | given)
    return read_scheduler(read_json(file) if len(given) < len(fields) else {}, file, given)


def _classes(config: UNetConfig, facts: Facts) -> int | None:
    if not config.labelled:
        facts.refuse(("classes", "null_class"), "an unconditional model")
        return None
    count = config.num_class_embeds
    if config.class_embed_type == "timestep" and count is None:
        return int(facts.need("classes", "class_embed_type=timestep allows any number of classes"))
    if facts.classes not in (None, count):
        raise CheckpointError(f"{facts.path}: classes = {facts.classes}, but the config says num_class_embeds={count}")
    return count


def _null_class(path: Path, config: UNetConfig, facts: Facts) -> int | None:
    found = read_null_class(path)
    if found is not None and not 0 <= found < (config.num_class_embeds or 0):
        raise CheckpointError(f"{path}: null class {found} is outside num_class_embeds={config.num_class_embeds}")
    return first(facts.null_class, found)
