"""Diffusion policies: the conditional U-Net of diffusion_policy and of LeRobot, with a scheduler of diffusers."""

from typing import Any

from torch import Tensor, nn

from ddpm_ref.scheduler_config import read_scheduler
from ddpm_rt.artifacts.card_facts import InputFacts

from .adapted import Adapted, adapted, copy_of

CONDITION = "global_cond"


def adapt(
    unet: Any, scheduler: Any, *, horizon: int, action_dim: int, cond_dim: int, source: str = "diffusion policy"
) -> Adapted:
    """`unet(x [B, horizon, action_dim], t, global_cond=[B, cond_dim])` as a module and a card.

    The observation is the input `global_cond`; actions are what is drawn. Sample it with the dialect diffusers, which
    is what the policies do. Raises ValueError for a scheduler that a card cannot describe.
    """
    found = read_scheduler({**scheduler.config, "_class_name": type(scheduler).__name__}, "the scheduler")
    facts = {**found._asdict(), "betas": tuple(found.betas.tolist())}
    inputs = {CONDITION: InputFacts("float32", (cond_dim,))}
    shape = (horizon, action_dim)
    return adapted(Call(copy_of(unet)), source, "lerobot", image_shape=shape, inputs=inputs, **facts)


class Call(nn.Module):
    """`unet(x, t, global_cond)`."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, global_cond: Tensor) -> Tensor:
        out: Tensor = self.unet(x, t, global_cond=global_cond)
        return out
