"""Small networks and pipelines of diffusers with random weights."""

import torch

HO = {"attention_head_dim": None, "norm_eps": 1e-6, "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1}
CIFAR = {
    "sample_size": 16,
    "block_out_channels": [32, 64, 64, 64],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
}
CAT = {
    "sample_size": 64,  # five halvings: 2 x 2 at the bottom, so that a group has 8 values to be normalised by
    "block_out_channels": [32, 32, 32, 32, 64, 64],
    "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
    "layers_per_block": 1,
}
SCRIPT = CAT | {"attention_head_dim": 8}  # the other flags are UNet2DModel's defaults, as in the script
PIPELINES = {  # the flags of each family, at small widths
    "google/ddpm-cifar10-32": (CIFAR | HO, {"variance_type": "fixed_large"}),
    "google/ddpm-cat-256": (CAT | HO, {"variance_type": "fixed_small"}),
    "train_unconditional.py": (SCRIPT, {"beta_schedule": "squaredcos_cap_v2"}),
}


def random_model(config):
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    model = UNet2DModel(**config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(torch.randn_like(weight) * 0.2 + (1.0 if name.endswith("weight") else 0.0))
    return model


def save_pipeline(folder, config, scheduler):
    from diffusers import DDPMPipeline, DDPMScheduler

    pipeline = DDPMPipeline(unet=random_model(config), scheduler=DDPMScheduler(**scheduler))
    pipeline.save_pretrained(folder)
    return pipeline


def agree(module, theirs, *inputs):
    with torch.no_grad():
        expected = theirs(*inputs).sample
        assert expected.abs().max() > 0.1  # or the comparison would say nothing
        # float32 sums in another order, outputs of size one.
        torch.testing.assert_close(module(*inputs), expected, rtol=0, atol=1e-5)


SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
}
