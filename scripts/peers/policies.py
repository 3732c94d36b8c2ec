"""Diffusion policies: LeRobot's conditional U-Net in its conditional_sample."""

from types import SimpleNamespace

import torch

from ddpm_export.peers import policy

from .kind import Kind, condition
from .shared_noise import COUNT, drawn, filled, shared_noise, stand_in_for

STEPS, HORIZON, ACTION, OBSERVATION = 10, 16, 2, 12


def conditional_unet() -> Kind:
    # what its module imports for data sets and checkpoints, none of which the network or its loop uses
    stand_in_for(
        "torchvision",
        "datasets",
        "pandas",
        "pyarrow",
        "draccus",
        "deepdiff",
        "rerun",
        "gymnasium",
        "av",
        "cv2",
        "imageio",
        "jsonlines",
        "torchcodec",
        "wandb",
        "serial",
        "pynput",
    )
    from diffusers import DDIMScheduler
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalUnet1d

    config = SimpleNamespace(
        diffusion_step_embed_dim=16, action_feature=SimpleNamespace(shape=(ACTION,)), down_dims=(16, 32),
        kernel_size=5, n_groups=8, use_film_scale_modulation=True, horizon=HORIZON,
    )  # fmt: skip
    torch.manual_seed(6)
    unet = filled(DiffusionConditionalUnet1d(config, OBSERVATION))
    scheduler = DDIMScheduler(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")
    scheduler.set_timesteps(STEPS)
    observation = condition(COUNT, OBSERVATION)

    def loop():
        with shared_noise(first=None):
            x = drawn(0xFFFFFFFF, (COUNT, HORIZON, ACTION))
            for t in scheduler.timesteps:
                times = torch.full(x.shape[:1], int(t), dtype=torch.long)
                out = unet(x, times, global_cond=torch.from_numpy(observation))
                x = scheduler.step(out, t, x).prev_sample
                yield x

    adapted = policy.adapt(unet, scheduler, horizon=HORIZON, action_dim=ACTION, cond_dim=OBSERVATION)
    request = {"sampler": "ddim", "steps": STEPS, "dialect": "diffusers"}
    return Kind(adapted=adapted, loop=loop, request=request, inputs={"global_cond": observation})


KINDS = {"LeRobot diffusion policy [16, 2], global_cond, DDIM": conditional_unet}
