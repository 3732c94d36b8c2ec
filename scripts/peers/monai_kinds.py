"""MONAI: DiffusionModelUNet in two and three dimensions, in the loop of its DiffusionInferer."""

import torch

from ddpm_export.peers import monai

from .kind import Kind, condition
from .shared_noise import COUNT, drawn, filled, shared_noise

STEPS = 20


def network(dims: int, levels: int = 2, **options):
    """Attention at the coarsest level alone: its memory grows with the square of the voxels."""
    from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet

    torch.manual_seed(4)
    made = DiffusionModelUNet(
        spatial_dims=dims, in_channels=1, out_channels=1, channels=(8,) * (levels - 1) + (16,),
        attention_levels=(False,) * (levels - 1) + (True,),
        num_res_blocks=1, num_head_channels=8, norm_num_groups=8, **options,
    )  # fmt: skip
    return filled(made)


def stepped(unet, scheduler, shape, **given):
    def loop():
        with shared_noise(first=None):
            x = drawn(0xFFFFFFFF, (COUNT, *shape))
            for t in scheduler.timesteps:
                out = unet(x, timesteps=torch.full((COUNT,), int(t)), **given)
                x, _ = scheduler.step(out, t, x)
                yield x

    return loop


def image_with_context() -> Kind:
    from monai.networks.schedulers import DDPMScheduler

    unet = network(2, with_conditioning=True, cross_attention_dim=6)
    scheduler = DDPMScheduler(num_train_timesteps=STEPS, schedule="cosine")
    context = condition(COUNT, 3, 6)
    loop = stepped(unet, scheduler, (1, 16, 16), context=torch.from_numpy(context))
    adapted = monai.adapt(unet, scheduler, (16, 16), channels=1, context=(3, 6))
    request = {"sampler": "ddpm", "steps": STEPS}
    return Kind(adapted=adapted, loop=loop, request=request, inputs={"context": context})


def volume() -> Kind:
    from monai.networks.schedulers import DDIMScheduler

    unet = network(3, levels=3)
    scheduler = DDIMScheduler(num_train_timesteps=1000, schedule="scaled_linear_beta", clip_sample=False)
    scheduler.set_timesteps(STEPS // 2)
    adapted = monai.adapt(unet, scheduler, (32, 32, 32), channels=1)
    # it leads to t - T // steps, as diffusers does
    request = {"sampler": "ddim", "steps": STEPS // 2, "spacing": "leading", "dialect": "diffusers"}
    return Kind(adapted=adapted, loop=stepped(unet, scheduler, (1, 32, 32, 32)), request=request)


KINDS = {
    "MONAI DiffusionModelUNet 2-D with context, DDPMScheduler": image_with_context,
    "MONAI DiffusionModelUNet 3-D [1, 32, 32, 32], DDIMScheduler": volume,
}
