"""Small stand-ins for the files that a documentation page assumes: a checkpoint, images, an exported model."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np


def make_input(name: str, folder: Path) -> None:
    """Create the file or directory `name` in `folder`. Raises KeyError for an unknown name."""
    path = folder / name.rstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    MAKERS[name](path)


def _bundled_model(path: Path) -> None:
    from ddpm_rt.models import bundled_model

    shutil.copy(bundled_model(), path)


def _digit(path: Path) -> None:
    from PIL import Image

    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 12:16] = 255  # a one
    Image.fromarray(pixels).save(path)


def _half_mask(path: Path) -> None:
    from PIL import Image

    pixels = np.zeros((28, 28), np.uint8)
    pixels[14:] = 255
    Image.fromarray(pixels).save(path)


def _checkpoint(path: Path, size: int = 28, channels: int = 1) -> None:
    import torch

    from ddpm_ref import betas
    from ddpm_ref.checkpoint import Checkpoint, save_checkpoint
    from ddpm_ref.config import UNetConfig
    from ddpm_ref.unet import UNet

    torch.manual_seed(0)
    config = UNetConfig(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(16,),
        layers_per_block=1,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        attention_head_dim=None,
        norm_num_groups=4,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    )
    save_checkpoint(path, Checkpoint(UNet(config).eval(), betas.linear(1000), "eps", "fixed_large", (-1.0, 1.0)))


def _hub_download(path: Path) -> None:
    """The flat layout of google/ddpm-cifar10-32: the files of the UNet and of the scheduler side by side."""
    _checkpoint(path, size=32, channels=3)
    for folder in ("unet", "scheduler"):
        for file in (path / folder).iterdir():
            file.rename(path / file.name)
        (path / folder).rmdir()


def _images(path: Path) -> None:
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (100, 28, 28, 1), dtype=np.uint8))


MAKERS: dict[str, Callable[[Path], None]] = {
    "ddpm-cifar10-32/": _hub_download,
    "digit.png": _digit,
    "half.png": _half_mask,
    "images.npz": _images,
    "runs/mnist": _checkpoint,
    "unet.onnx": _bundled_model,
}
