"""The directory that diffusers saves: a pipeline, or its UNet2DModel alone."""

from pathlib import Path

from ddpm_ref.checkpoint import load_unet, read_json, read_null_class, scheduler_file
from ddpm_ref.config import UNetConfig
from ddpm_ref.errors import CheckpointError
from ddpm_ref.scheduler_config import Scheduler, read_scheduler

from .facts import Facts, first
from .source import Source

LAYOUT = "a diffusers directory"
FOREIGN_KEYS = ("heads", "head_channels", "attention_order", "rescale_timesteps")


def matches(path: Path) -> bool:
    return path.is_dir() and any((path / name).exists() for name in ("config.json", "model_index.json", "unet"))


def load(path: Path, facts: Facts) -> Source:
    """Read it; what `facts` says goes before what the files say. Raises CheckpointError."""
    facts.refuse(FOREIGN_KEYS, LAYOUT)
    unet = load_unet(path)
    config = unet.config
    scheduler = _scheduler(path, facts)
    learned = scheduler.variance.startswith("learned")
    if config.out_channels != config.in_channels * (2 if learned else 1):
        raise CheckpointError(
            f"{path}: variance {scheduler.variance} does not go with {config.in_channels} channels in and "
            f"{config.out_channels} out; a learned variance doubles them, a fixed one does not"
        )
    return Source(
        layout=LAYOUT,
        module=unet,
        image_shape=(config.in_channels, *_image_size(path, config, facts)),
        **scheduler._asdict(),
        classes=_classes(config, facts),
        null_class=_null_class(path, config, facts),
    )


def _image_size(path: Path, config: UNetConfig, facts: Facts) -> tuple[int, int]:
    if facts.image_size is not None:
        return facts.image_size
    if config.sample_size is None:
        facts.need("image_size", f"{path}: sample_size is null")
    return config.image_shape[1:]


def _scheduler(path: Path, facts: Facts) -> Scheduler:
    file = scheduler_file(path)
    if file is None:
        why = f"{path} has no scheduler_config.json"
        return Scheduler(
            betas=facts.need("betas", why),
            prediction=facts.need("prediction", why),
            variance=facts.need("variance", why),
            clip=facts.clip_or(None) if facts.need("clip", why) else None,
            spacing=first(facts.spacing, "trailing"),
        )
    found = read_scheduler(read_json(file), file)
    return Scheduler(
        betas=first(facts.betas, found.betas),
        prediction=first(facts.prediction, found.prediction),
        variance=first(facts.variance, found.variance),
        clip=facts.clip_or(found.clip),
        spacing=first(facts.spacing, found.spacing),
    )


def _classes(config: UNetConfig, facts: Facts) -> int | None:
    if not config.labelled:
        facts.refuse(("classes", "null_class"), "a model without classes")
        return None
    count = config.num_class_embeds
    if config.class_embed_type == "timestep" and count is None:
        return int(facts.need("classes", "class_embed_type timestep takes any number of classes"))
    if facts.classes not in (None, count):
        raise CheckpointError(f"{facts.path}: classes = {facts.classes}, but the config says num_class_embeds={count}")
    return count


def _null_class(path: Path, config: UNetConfig, facts: Facts) -> int | None:
    found = read_null_class(path)
    if found is not None and not 0 <= found < (config.num_class_embeds or 0):
        raise CheckpointError(f"{path}: null class {found} is none of num_class_embeds={config.num_class_embeds}")
    return first(facts.null_class, found)
