"""A checkpoint on disk: the directory that diffusers' DDPMPipeline saves, read and written without diffusers.

model_index.json
scheduler/scheduler_config.json             the betas, what the network predicts, variance, clipping
unet/config.json                            the architecture
unet/diffusion_pytorch_model.safetensors    the weights; `.bin` is read too, as tensors only
A flat directory (all four side by side, as some on the hub have it) is read too.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .config import UNetConfig
from .diffusion import AnyVariance, Diffusion, Prediction, Spacing
from .errors import CheckpointError, ConfigError, shown
from .files import replace_file, replace_json
from .reading import load_safetensors, load_tensors, read_json, state_dict
from .scheduler_config import Scheduler, read_scheduler, write_scheduler
from .unet import UNet

SCHEDULER = "scheduler/scheduler_config.json"
WEIGHTS = "diffusion_pytorch_model"
LEGACY = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model with the schedule it was trained for."""

    unet: UNet
    betas: NDArray[np.float64]
    prediction: Prediction
    variance: AnyVariance  # the sigma it is sampled with: one of DDPM's two (section 3.2), or its own output's
    clip: tuple[float, float] | None  # the range that a predicted x_0 is clipped to
    spacing: Spacing = "trailing"  # how fewer timesteps than all are chosen

    def __post_init__(self) -> None:
        config, learned = self.unet.config, self.variance.startswith("learned")
        if config.out_channels != config.in_channels * (2 if learned else 1):
            raise CheckpointError(
                f"variance {self.variance} does not go with {config.in_channels} channels in and "
                f"{config.out_channels} out: a learned variance doubles them, a fixed one does not"
            )

    @property
    def scheduler(self) -> Scheduler:
        return Scheduler(self.betas, self.prediction, self.variance, self.clip, self.spacing)

    @property
    def diffusion(self) -> Diffusion:
        return Diffusion(self.betas, self.prediction)

    @property
    def weights_sha256(self) -> str:
        return weights_sha256(self.unet.state_dict())


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint directory; the UNet comes in eval mode, float32.

    Raises CheckpointError when a file is missing, damaged or of a kind not supported; the message names it.
    """
    path = Path(path)
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a checkpoint directory")
    file = scheduler_file(path)
    if file is None:
        raise CheckpointError(f"{path / SCHEDULER} is missing: without it the betas are unknown")
    scheduler = read_scheduler(read_json(file), file)
    return Checkpoint(load_unet(path), *scheduler)


def load_unet(path: Path) -> UNet:
    """The network of a checkpoint directory, in eval mode, float32."""
    folder = path / "unet" if (path / "unet").is_dir() else path
    return build_unet(folder / "config.json", read_json(folder / "config.json"), read_weights(folder), str(folder))


def build_unet(config_file: Path, raw: Mapping[str, Any], weights: Mapping[str, Tensor], source: str) -> UNet:
    """The network that `raw`, the content of `config_file`, describes, with `weights` in it, in eval mode, float32."""
    try:
        config = UNetConfig.from_dict(raw)
    except (ConfigError, TypeError) as error:  # TypeError: a value that is not of its key's kind
        raise CheckpointError(f"{config_file}: {error}") from error
    unet = filled(lambda: UNet(config), modern(weights), source)
    assert isinstance(unet, UNet)
    return unet


def scheduler_file(path: Path) -> Path | None:
    """Where the scheduler of a checkpoint directory is described, if it is."""
    return next((file for file in (path / SCHEDULER, path / Path(SCHEDULER).name) if file.exists()), None)


def save_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write the directory that `load_checkpoint` and diffusers' `DDPMPipeline.from_pretrained` read.

    Each file is replaced in one move, so that a directory that was whole before stays whole.
    """
    from safetensors.torch import save

    path = Path(path)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.unet.state_dict().items()}
    index = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": "0.31.0",  # the oldest whose keys these are
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    replace_file(
        path / "unet" / f"{WEIGHTS}.safetensors", lambda file: file.write_bytes(save(weights, {"format": "pt"}))
    )
    replace_json(path / "unet" / "config.json", checkpoint.unet.config.to_dict())
    replace_json(path / "scheduler" / "scheduler_config.json", write_scheduler(checkpoint.scheduler))
    replace_json(path / "model_index.json", index)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict in `folder`, with the attention names of old diffusers files brought up to date."""
    safe, pickled = folder / f"{WEIGHTS}.safetensors", folder / f"{WEIGHTS}.bin"
    if not safe.exists() and not pickled.exists():
        raise CheckpointError(f"{safe} is missing (nor is there a .bin)")
    raw = load_safetensors(safe) if safe.exists() else state_dict(load_tensors(pickled), pickled)
    return modern(raw)


def modern(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` with the attention names of old diffusers files brought up to date."""
    return {_modern(name): tensor for name, tensor in weights.items()}


def _modern(name: str) -> str:
    for old, new in LEGACY.items():
        name = name.replace(old, new)
    return name


def filled(make: Callable[[], nn.Module], weights: Mapping[str, Tensor], source: str) -> nn.Module:
    """The network that `make` builds with `weights` in it, in eval mode. Raises CheckpointError if they do not fit.

    The two are compared before any memory is taken: sizes in a file may be absurd.
    """
    try:
        with torch.device("meta"):
            check_fit(make(), weights, source)
    except (RuntimeError, OverflowError) as error:  # more elements than a tensor can have
        raise CheckpointError(f"{source}: a network of these sizes cannot be built") from error
    network = make()
    load_weights(network, weights, source)
    return network.eval()


def check_fit(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Raises CheckpointError unless `weights` have every name of the network's, no other, and the same shapes."""
    own = network.state_dict()
    if missing := sorted(own.keys() - weights.keys()):
        raise CheckpointError(f"{source}: the weights lack {missing[0]!r} ({len(missing)} missing)")
    if unknown := sorted(weights.keys() - own.keys()):
        raise CheckpointError(f"{source}: the weights hold {shown(unknown[0])}, which the config has no place for")
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{source}: {name!r} has shape {list(tensor.shape)}, the config asks for {list(own[name].shape)}"
            )
        if not tensor.is_floating_point():
            raise CheckpointError(f"{source}: {name!r} is {tensor.dtype}; quantised weights are not read")


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put `weights` into a network: every name must match, and every shape. Raises CheckpointError otherwise."""
    check_fit(network, weights, source)
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names in sorted order, each followed by a zero byte and its little-endian float32 values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + b"\0")
        digest.update(weights[name].detach().cpu().float().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()
