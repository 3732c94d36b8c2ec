"""A checkpoint on disk: the directory that diffusers' DDPMPipeline saves, read and written without diffusers.

model_index.json
scheduler/scheduler_config.json             the betas, what the network predicts, variance, clipping
unet/config.json                            the architecture
unet/diffusion_pytorch_model.safetensors    the weights; `.bin` is read too, as tensors only
A flat directory (all four side by side, as some on the hub have it) is read too.
"""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .bounded_read import parse_json, read_bytes
from .config import UNetConfig
from .diffusion import AnyVariance, Diffusion, Prediction, Spacing
from .errors import CheckpointError, ConfigError, FileError
from .files import replace_file, replace_json
from .scheduler_config import Scheduler, read_scheduler, write_scheduler
from .text import quoted
from .unet import UNet, skeleton
from .weights_file import check_pickled, check_safetensors

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
    config_file = folder / "config.json"
    try:
        config = UNetConfig.from_dict(read_json(config_file))
        expected = skeleton(config).state_dict()
    except (ConfigError, TypeError) as error:  # TypeError: a value that is not of its key's kind
        raise CheckpointError(f"{config_file}: {error}") from error
    weights = read_weights(folder)
    check_weights(expected, weights, str(folder))  # before the network takes memory
    unet = UNet(config)
    load_weights(unet, weights, str(folder))
    return unet.eval()


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
    return {_modern(name): tensor for name, tensor in raw.items()}


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises CheckpointError."""
    from safetensors.torch import load_file

    try:
        check_safetensors(path)
        return load_file(path)
    except FileError as error:
        raise CheckpointError(str(error)) from error
    except Exception as error:  # the library's own, and what memory and the file system raise
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def load_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What `torch.save` wrote, tensors and plain values only: a pickle can run code. Raises CheckpointError."""
    try:
        check_pickled(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file is said once, below
            content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        return content
    except FileError as error:
        raise CheckpointError(str(error)) from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is damaged, or holds more than tensors and plain values") from error
    except Exception as error:  # of a damaged pickle, errors of any kind
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{path} cannot be read: {reason}") from error


def state_dict(content: object, source: Path) -> dict[str, Tensor]:
    """`content`, if it is a mapping from names to tensors. Raises CheckpointError otherwise."""
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{source} holds no state dict, but {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{source} is no state dict: {quoted(name)} is {type(value).__name__}, not a tensor")
    return content


def _modern(name: str) -> str:
    for old, new in LEGACY.items():
        name = name.replace(old, new)
    return name


def load_weights(unet: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put `weights` into a network: every name must match, and every shape. Raises CheckpointError otherwise."""
    check_weights(unet.state_dict(), weights, source)
    unet.load_state_dict({name: tensor.float() for name, tensor in weights.items()})


def check_weights(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: str) -> None:
    """Raises CheckpointError unless `weights` have the names and shapes of a network's `own`."""
    if missing := sorted(own.keys() - weights.keys()):
        raise CheckpointError(f"{source}: the weights lack {missing[0]!r} ({len(missing)} missing)")
    if unknown := sorted(weights.keys() - own.keys()):
        raise CheckpointError(f"{source}: the weights hold {quoted(unknown[0])}, which the config has no place for")
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{source}: {name!r} has shape {list(tensor.shape)}, the config asks for {list(own[name].shape)}"
            )


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names in sorted order, each followed by a zero byte and its little-endian float32 values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + b"\0")
        digest.update(weights[name].detach().cpu().float().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointError when there is none."""
    try:
        raw = parse_json(read_bytes(path))
    except FileError as error:
        raise CheckpointError(str(error) if path.exists() else f"{path} is missing") from error
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return raw
