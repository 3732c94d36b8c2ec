"""A checkpoint on disk: the directory that diffusers' DDPMPipeline saves, read and written without diffusers.

model_index.json
scheduler/scheduler_config.json             the betas, prediction, variance and clip range
unet/config.json                            the architecture, and the null class, for which diffusers has no key
unet/diffusion_pytorch_model.safetensors    the weights; a `.bin` is also read, if it contains only tensors

A flat directory with these files side by side, as some repositories on the hub have it, is also read.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from .bounded_read import parse_json, read_bytes
from .config import UNetConfig
from .diffusion import AnyVariance, Diffusion, Prediction, Spacing
from .errors import CheckpointError, ConfigError, FileError
from .files import replace_file, replace_json
from .scheduler_config import Scheduler, read_scheduler, write_scheduler
from .text import quoted
from .unet import Network, UNet, skeleton
from .weights_file import load_safetensors, load_tensors, state_dict

SCHEDULER = "scheduler/scheduler_config.json"
NULL_CLASS = "_null_class"  # diffusers ignores unknown keys with an underscore, and warns about others
WEIGHTS = "diffusion_pytorch_model"
LEGACY = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model with its noise schedule. Raises CheckpointError when the values do not fit together."""

    unet: UNet
    betas: NDArray[np.float64]
    prediction: Prediction
    variance: AnyVariance  # for sampling: one of DDPM's two (section 3.2), or learned by the network
    clip: tuple[float, float] | None  # the range that a predicted x_0 is clipped to
    spacing: Spacing = "trailing"  # how a subset of the timesteps is chosen
    null_class: int | None = None  # the label that means no class

    def __post_init__(self) -> None:
        config, learned = self.unet.config, self.variance.startswith("learned")
        if self.null_class is not None and not 0 <= self.null_class < (config.num_class_embeds or 0):
            raise CheckpointError(f"null class {self.null_class} is outside num_class_embeds={config.num_class_embeds}")
        if config.out_channels != config.in_channels * (2 if learned else 1):
            raise CheckpointError(
                f"variance {self.variance} does not match {config.in_channels} input channels and "
                f"{config.out_channels} output channels: only a learned variance doubles the output channels"
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
    """Read a checkpoint directory. The UNet is float32, in eval mode.

    Raises CheckpointError, which names the file, when a file is missing, damaged or not supported.
    """
    path = Path(path)
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a checkpoint directory")
    file = scheduler_file(path)
    if file is None:
        raise CheckpointError(f"{path / SCHEDULER} is missing: it defines the betas")
    scheduler = read_scheduler(read_json(file), file)
    return Checkpoint(load_unet(path), *scheduler, null_class=read_null_class(path))


def read_null_class(path: Path) -> int | None:
    """The null class of a checkpoint directory, or None. Raises CheckpointError if it is not a whole number."""
    file = _unet_folder(path) / "config.json"
    value = read_json(file).get(NULL_CLASS)
    if value is not None and type(value) is not int:
        raise CheckpointError(f"{file}: {NULL_CLASS} must be a whole number, not {value!r}")
    return value


def load_unet(path: Path) -> UNet:
    """The network of a checkpoint directory, float32, in eval mode. Raises CheckpointError as `load_checkpoint`."""
    folder = _unet_folder(path)
    config_file = folder / "config.json"
    return build_unet(config_file, read_json(config_file), read_weights(folder), str(folder))


def build_unet(config_file: Path, raw: Mapping[str, Any], weights: Mapping[str, Tensor], source: str) -> UNet:
    """The network that `raw`, the content of `config_file`, describes, with `weights` in it, float32, in eval mode.

    Raises CheckpointError if the config cannot be built, or the weights do not fit.
    """
    try:
        config = UNetConfig.from_dict(raw)
        return filled(lambda: UNet(config), modern(weights), source)
    except (ConfigError, TypeError) as error:  # TypeError: a value of the wrong type
        raise CheckpointError(f"{config_file}: {error}") from error


def _unet_folder(path: Path) -> Path:
    return path / "unet" if (path / "unet").is_dir() else path


def scheduler_file(path: Path) -> Path | None:
    """The scheduler's config file in a checkpoint directory, nested or flat; None if there is none."""
    return next((file for file in (path / SCHEDULER, path / Path(SCHEDULER).name) if file.exists()), None)


def save_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write the directory that `load_checkpoint` and diffusers' `DDPMPipeline.from_pretrained` read.

    Each file is replaced atomically, so that no reader sees half of a file. Raises OutputError when a file cannot be
    written.
    """
    from safetensors.torch import save

    path = Path(path)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.unet.state_dict().items()}
    index = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": "0.31.0",  # the oldest version with these keys
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    replace_file(
        path / "unet" / f"{WEIGHTS}.safetensors", lambda file: file.write_bytes(save(weights, {"format": "pt"}))
    )
    null_class = {} if checkpoint.null_class is None else {NULL_CLASS: checkpoint.null_class}
    replace_json(path / "unet" / "config.json", checkpoint.unet.config.to_dict() | null_class)
    replace_json(path / "scheduler" / "scheduler_config.json", write_scheduler(checkpoint.scheduler))
    replace_json(path / "model_index.json", index)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict in `folder`, under the names of the file."""
    safe, pickled = folder / f"{WEIGHTS}.safetensors", folder / f"{WEIGHTS}.bin"
    if not safe.exists() and not pickled.exists():
        raise CheckpointError(f"{safe} is missing, and so is the .bin")
    return load_safetensors(safe) if safe.exists() else state_dict(load_tensors(pickled), pickled)


def modern(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` with the attention layers of old diffusers files renamed to today's names."""
    return {_modern(name): tensor for name, tensor in weights.items()}


def _modern(name: str) -> str:
    for old, new in LEGACY.items():
        name = name.replace(old, new)
    return name


def filled(make: Callable[[], Network], weights: Mapping[str, Tensor], source: str) -> Network:
    """The network that `make` builds with `weights` in it, float32, in eval mode.

    The two are compared before the network takes memory. Raises CheckpointError if they do not fit, and ConfigError for
    more weights than `MAX_WEIGHTS`.
    """
    check_weights(skeleton(make).state_dict(), weights, source)
    network = make()
    load_weights(network, weights, source)
    return network.eval()


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put `weights` into a network: every name must match, and every shape. Raises CheckpointError otherwise."""
    check_weights(network.state_dict(), weights, source)
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})


def check_weights(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: str) -> None:
    """Raises CheckpointError unless `weights` have the names and shapes of a network's `own`, and are floats."""
    if missing := sorted(own.keys() - weights.keys()):
        raise CheckpointError(f"{source}: the weights lack {missing[0]!r} ({len(missing)} missing)")
    if unknown := sorted(weights.keys() - own.keys()):
        raise CheckpointError(f"{source}: the weights contain {quoted(unknown[0])}, which the config's network lacks")
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{source}: {name!r} has shape {list(tensor.shape)}, but the config needs {list(own[name].shape)}"
            )
        if not tensor.is_floating_point():
            raise CheckpointError(f"{source}: {name!r} is {tensor.dtype}; quantised weights are not supported")


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names in sorted order, each followed by a zero byte and its little-endian float32 values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + b"\0")
        digest.update(weights[name].detach().cpu().float().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises CheckpointError if the file is missing, damaged or not an object."""
    try:
        raw = parse_json(read_bytes(path))
    except FileError as error:
        raise CheckpointError(str(error) if path.exists() else f"{path} is missing") from error
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return raw
