"""diffusers: UNet2DModel and UNet1DModel in the loops of its pipelines."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ddpm_export.peers import diffusers_network
from ddpm_rt.samplers.schedule import karras

from .kind import Kind, condition
from .shared_noise import COUNT, drawn, filled, shared_noise

SIZE, STEPS = 16, 10
BLOCKS = {
    "sample_size": SIZE,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
}


def unet(**options: Any) -> Any:
    from diffusers import UNet2DModel

    torch.manual_seed(2)
    return filled(UNet2DModel(**{**BLOCKS, **options}))


def stepped(network: Any, scheduler: Any, shape: tuple[int, ...], *, first: int, scale: float = 1.0, **given) -> Any:
    """The loop of every pipeline of diffusers: scale the input, call the network, step."""

    def loop() -> Iterator[torch.Tensor]:
        with shared_noise(first=None):
            x = scale * drawn(0xFFFFFFFF, (COUNT, *shape))
            for t in scheduler.timesteps[:first]:
                model_input = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
                if "image" in given:
                    model_input = torch.cat([model_input, given["image"]], dim=1)
                more = {key: value for key, value in given.items() if key != "image"}
                out = network(model_input, t, **more).sample
                x = scheduler.step(out, t, x).prev_sample
                yield x

    return loop


def image_concatenated() -> Kind:
    from diffusers import DDPMScheduler

    network = unet(in_channels=6, out_channels=3)
    scheduler = DDPMScheduler(num_train_timesteps=100, timestep_spacing="trailing")
    scheduler.set_timesteps(STEPS)
    image = condition(COUNT, 3, SIZE, SIZE)
    loop = stepped(network, scheduler, (3, SIZE, SIZE), first=STEPS, image=torch.from_numpy(image))
    request = {"sampler": "ddpm", "steps": STEPS, "dialect": "diffusers"}
    return Kind(
        adapted=diffusers_network.adapt(network, scheduler), loop=loop, request=request, inputs={"image": image}
    )


def embedding_as_class() -> Kind:
    from diffusers import DDIMScheduler

    network = unet(in_channels=3, out_channels=3, class_embed_type="identity")
    scheduler = DDIMScheduler(num_train_timesteps=100, timestep_spacing="trailing", prediction_type="v_prediction")
    scheduler.set_timesteps(STEPS)
    label = condition(COUNT, network.time_embedding.linear_2.out_features)
    loop = stepped(network, scheduler, (3, SIZE, SIZE), first=STEPS, class_labels=torch.from_numpy(label))
    request = {"sampler": "ddim", "steps": STEPS, "dialect": "diffusers"}
    adapted = diffusers_network.adapt(network, scheduler)
    return Kind(adapted=adapted, loop=loop, request=request, inputs={"class_labels": label})


def sequence() -> Kind:
    from diffusers import DDPMScheduler, UNet1DModel

    torch.manual_seed(2)
    network = filled(
        UNet1DModel(
            sample_size=64, in_channels=2, out_channels=2, block_out_channels=(32, 32, 64),
            down_block_types=("DownBlock1DNoSkip", "DownBlock1D", "AttnDownBlock1D"),
            up_block_types=("AttnUpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"), extra_in_channels=64,
        )
    )  # fmt: skip
    scheduler = DDPMScheduler(num_train_timesteps=STEPS, beta_schedule="squaredcos_cap_v2", clip_sample=False)
    scheduler.set_timesteps(STEPS)
    loop = stepped(network, scheduler, (2, 64), first=STEPS)
    request = {"sampler": "ddpm", "steps": STEPS, "dialect": "diffusers"}
    return Kind(adapted=diffusers_network.adapt(network, scheduler), loop=loop, request=request)


def consistency(steps: int) -> Kind:
    from diffusers import CMStochasticIterativeScheduler

    network = unet(in_channels=3, out_channels=3)
    scheduler = CMStochasticIterativeScheduler()
    scheduler.set_timesteps(steps)
    # Its loop ends by noise of sqrt(sigma_min^2 - sigma_min^2), which is none.
    loop = stepped(network, scheduler, (3, SIZE, SIZE), first=steps, scale=scheduler.config.sigma_max)
    ramp = np.arange(0, steps)[::-1] * (40 // steps)
    sigmas = (80 ** (1 / 7) + ramp[::-1] / 39 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    request = {"sampler": "consistency", "timesteps": sigmas.tolist()}
    return Kind(adapted=diffusers_network.adapt(network, scheduler), loop=loop, request=request)


def edm(solver: str) -> Kind:
    from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler

    network = unet(in_channels=3, out_channels=3)
    made = EDMEulerScheduler if solver == "euler" else EDMDPMSolverMultistepScheduler
    scheduler = made()
    scheduler.set_timesteps(STEPS)
    loop = stepped(network, scheduler, (3, SIZE, SIZE), first=STEPS, scale=80.0)
    request = {"sampler": solver, "steps": STEPS}
    return Kind(
        adapted=diffusers_network.adapt(network, scheduler), loop=loop, request=request, tolerance=1e-3,
        reason="x is up to 300 in the first steps: 3e-6 of the largest value",
    )  # fmt: skip


def score() -> Kind:
    from diffusers import ScoreSdeVeScheduler

    network = unet(
        in_channels=3, out_channels=3, time_embedding_type="fourier", center_input_sample=False,
        down_block_types=("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        up_block_types=("AttnSkipUpBlock2D", "SkipUpBlock2D"), block_out_channels=(32, 64), norm_num_groups=32,
    )  # fmt: skip
    scheduler = ScoreSdeVeScheduler(sigma_min=0.01, sigma_max=50.0)
    sigmas = np.append(karras(50.0, 0.01, STEPS), 0.0)

    def loop() -> Iterator[torch.Tensor]:
        """The probability flow of Song et al. 2021, eq. (13), by Euler's method: dx = -sigma score dsigma.

        The project's own loop alternates two calls of the network, which no table of one call a row can.
        """
        x = sigmas[0] * drawn(0xFFFFFFFF, (COUNT, 3, SIZE, SIZE))
        for now, after in zip(sigmas[:-1], sigmas[1:], strict=True):
            out = network(x, torch.full((COUNT,), now, dtype=torch.float32)).sample
            x = x - float(after - now) * float(now) * out
            yield x

    request = {"sampler": "euler", "steps": STEPS}
    return Kind(
        adapted=diffusers_network.adapt(network, scheduler), loop=loop, request=request, tolerance=1e-3,
        reason="x is up to 200 in the first steps: 5e-6 of the largest value",
    )  # fmt: skip


def flow() -> Kind:
    from diffusers import FlowMatchEulerDiscreteScheduler

    network = unet(in_channels=3, out_channels=3)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    # the sigmas of the pipelines of Stable Diffusion 3 and Flux, before the shift
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / STEPS, STEPS))
    loop = stepped(network, scheduler, (3, SIZE, SIZE), first=STEPS)
    request = {"sampler": "euler", "steps": STEPS}
    return Kind(adapted=diffusers_network.adapt(network, scheduler), loop=loop, request=request)


KINDS = {
    "diffusers UNet2DModel, image concatenated (super-resolution)": image_concatenated,
    "diffusers UNet2DModel, an embedding as class": embedding_as_class,
    "diffusers UNet1DModel [2, 64]": sequence,
    "diffusers consistency model, 1 step": lambda: consistency(1),
    "diffusers consistency model, 4 steps": lambda: consistency(4),
    "diffusers EDM, EDMEulerScheduler": lambda: edm("euler"),
    "diffusers EDM, EDMDPMSolverMultistepScheduler": lambda: edm("dpm++"),
    "diffusers NCSN++ (fourier time), probability flow": score,
    "diffusers flow matching, FlowMatchEulerDiscreteScheduler": flow,
}
