"""A network that trains in seconds, on pictures of disks: its recipe, as an object and as TOML."""

import numpy as np

from ddpm_ref.config import UNetConfig
from ddpm_ref.recipe import Process, Recipe, Training
from ddpm_ref.trainer import train

TINY = UNetConfig(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    block_out_channels=(8, 16),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=None,
    norm_num_groups=4,
    norm_eps=1e-5,
    downsample_padding=1,
    flip_sin_to_cos=True,
    freq_shift=0,
    dropout=0.2,  # resuming must also restore the randomness of dropout
)
RECIPE = Recipe(
    model=TINY,
    diffusion=Process(schedule="linear", steps=50, prediction="eps", variance="fixed_small"),
    training=Training(
        batch_size=4,
        steps=60,
        learning_rate=2e-3,
        warmup_steps=5,
        ema_decay=0.99,
        ema_warmup=True,
        flip=True,
        seed=3,
        checkpoint_every=20,
        sample_every=60,
        sample_count=4,
    ),
)


def disks(count=50):
    """Bright disks on black, uint8 [N, 8, 8, 1]: a data set that a tiny network can learn."""
    centres = np.random.default_rng(0).uniform(2, 5, (count, 2, 1, 1))
    rows, columns = np.mgrid[:8, :8]
    inside = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < 4
    return (inside * 255).astype(np.uint8)[..., None]


def losses(folder):
    return [float(line.split(",")[1]) for line in (folder / "log.csv").read_text().splitlines()[1:]]


def run(folder, recipe=RECIPE, **options):
    return train(recipe, disks(), folder, quiet=True, cpu=True, **options)


TINY_TOML = """
[model]
sample_size = 8
in_channels = 1
out_channels = 1
block_out_channels = [8, 16]
layers_per_block = 1
down_block_types = ["DownBlock2D", "AttnDownBlock2D"]
up_block_types = ["AttnUpBlock2D", "UpBlock2D"]
attention_head_dim = 0
norm_num_groups = 4
norm_eps = 1e-5
downsample_padding = 1
flip_sin_to_cos = true
freq_shift = 0
[diffusion]
schedule = "linear"
steps = 50
prediction = "eps"
variance = "fixed_small"
[training]
batch_size = 4
steps = 50
learning_rate = 2e-3
warmup_steps = 5
sample_every = 50
sample_count = 4
"""
