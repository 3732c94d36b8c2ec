"""UNets with all kinds of layers, random weights, and their cards: small enough to build plans of."""

import dataclasses

import torch

from ddpm_ref import betas as schedules
from ddpm_ref.config import UNetConfig
from ddpm_ref.unet import UNet
from ddpm_rt import ModelCard, Provenance

DIGITS = UNetConfig(  # for 28 x 28 images; not a preset, so that tests do not depend on recipes
    sample_size=28,
    in_channels=1,
    out_channels=1,
    block_out_channels=(16, 32, 96),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    attention_head_dim=None,
    norm_num_groups=8,
    norm_eps=1e-5,
    downsample_padding=1,
    flip_sin_to_cos=True,
    freq_shift=0,
)
CONFIG = dataclasses.replace(
    DIGITS,
    sample_size=8,
    block_out_channels=(16, 32),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    norm_num_groups=8,
)


def tiny_unet(seed=0, config=CONFIG):
    """Weights that are all different, including those of normalisations."""
    torch.manual_seed(seed)
    model = UNet(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(torch.randn_like(weight) * 0.2 + (1.0 if name.endswith("weight") else 0.0))
    return model


def tiny_card(config=CONFIG, source="tiny"):
    return ModelCard(
        image_shape=(config.in_channels, config.sample_size, config.sample_size),
        betas=tuple(schedules.linear(1000).tolist()),
        prediction="eps",
        variance="fixed_large",
        clip=(-1.0, 1.0),
        spacing="trailing",
        classes=None,
        null_class=None,
        names={"x": "x", "t": "t", "out": "out"},
        precision="fp32",
        provenance=Provenance(source, "0" * 64, {}, {}),
    )
