"""diffusers: a latent pipeline with its decoder, by the command line."""

import sys
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from .kind import Kind
from .shared_noise import COUNT, drawn, filled

SIDE, STEPS = 64, 10  # of the latents of CompVis/ldm-celebahq-256
CODES = 8192
VQ = {  # the autoencoder of CompVis/ldm-celebahq-256
    "in_channels": 3, "out_channels": 3, "latent_channels": 3, "num_vq_embeddings": CODES, "sample_size": 256,
    "block_out_channels": (128, 256, 512), "layers_per_block": 2, "norm_num_groups": 32,
    "down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3,
}  # fmt: skip
UNET = {  # the network of the same, at a quarter of its widths
    "sample_size": SIDE, "in_channels": 3, "out_channels": 3, "block_out_channels": (64, 128, 192, 256),
    "down_block_types": ("DownBlock2D", *["AttnDownBlock2D"] * 3), "attention_head_dim": 32, "layers_per_block": 2,
    "up_block_types": (*["AttnUpBlock2D"] * 3, "UpBlock2D"), "norm_num_groups": 32,
}  # fmt: skip


def latent_pipeline() -> Kind:
    from diffusers import DDIMScheduler, LDMPipeline, UNet2DModel, VQModel

    torch.manual_seed(7)
    vqvae = VQModel(**VQ).eval()
    torch.nn.init.normal_(vqvae.quantize.embedding.weight)  # new codes are all next to 0
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195, clip_sample=False)
    pipeline = LDMPipeline(vqvae=vqvae, unet=filled(UNet2DModel(**UNET)), scheduler=scheduler)

    def loop(*, picture: bool = False) -> Any:
        """The pipeline's own loop. Yields its latents, or its pictures, uint8 `[N, H, W, 3]`."""
        steps: list[torch.Tensor] = []

        def step(*given: Any, **more: Any) -> Any:
            done = DDIMScheduler.step(pipeline.scheduler, *given, **more)
            steps.append(done.prev_sample.clone())
            return done

        noise = drawn(0xFFFFFFFF, (COUNT, 3, SIDE, SIDE))
        with (
            mock.patch.object(sys.modules[LDMPipeline.__module__], "randn_tensor", return_value=noise),
            mock.patch.object(pipeline.scheduler, "step", step),
        ):
            images = pipeline(batch_size=COUNT, num_inference_steps=STEPS, output_type="np").images
        return np.rint(255 * images).astype(np.uint8) if picture else iter(steps)

    def save(folder: Path) -> list[str]:
        pipeline.save_pretrained(folder / "ldm")
        return [str(folder / "ldm")]

    request = {"sampler": "ddim", "steps": STEPS, "dialect": "diffusers", "spacing": "leading"}
    return Kind(loop=loop, request=request, checkpoint=save, pictures=partial(loop, picture=True))


KINDS = {
    "diffusers LDMPipeline by ddpm-rt export and sample, VQModel decoder, 256 x 256": latent_pipeline,
}
