"""`monai`: DiffusionModelUNet in two and three dimensions, with its DDPM and DDIM schedulers."""

from typing import Any

from torch import Tensor, nn

from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.samplers.continuous import FlowProcess

from ..sources.betas_buffers import float64_betas
from .adapted import Adapted, adapted, copy_of, one_of

PACKAGE = "monai"
PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
VARIANCES = {"fixed_small": "fixed_small", "fixed_large": "fixed_large", "learned_range": "learned_range"}
CONTEXT = "context"


def adapt(
    unet: Any, scheduler: Any, sides: tuple[int, ...], *, channels: int, context: tuple[int, int] | None = None,
    source: str = PACKAGE,
) -> Adapted:  # fmt: skip
    """A network and its scheduler as a module and a card; it draws `[channels, *sides]`.

    `context` is the shape [tokens, features] of a cross-attention input, which becomes the input `context`. Classes
    become y; MONAI has no class that stands for none. Raises ValueError for what a card cannot describe.
    """
    inputs = {} if context is None else {CONTEXT: InputFacts("float32", context)}
    facts: dict[str, Any] = {"classes": unet.num_class_embeds} if unet.num_class_embeds is not None else {}
    module = Call(copy_of(unet), classes="classes" in facts, context=context is not None)
    shape = (channels, *sides)
    return adapted(module, source, PACKAGE, image_shape=shape, inputs=inputs, **facts, **_process(scheduler))


class Call(nn.Module):
    """`unet(x, t, y?, context?)`."""

    def __init__(self, unet: Any, *, classes: bool, context: bool) -> None:
        super().__init__()
        self.unet, self.classes, self.context = unet, classes, context

    def forward(self, x: Tensor, t: Tensor, *more: Tensor) -> Tensor:
        given = list(more)
        named = {"class_labels": given.pop(0)} if self.classes else {}
        named |= {"context": given.pop(0)} if self.context else {}
        out: Tensor = self.unet(x, t, **named)
        return out


def _process(scheduler: Any) -> dict[str, Any]:
    if type(scheduler).__name__ == "RFlowScheduler":
        process = FlowProcess(time_scale=float(scheduler.num_train_timesteps))
        return {"betas": (), "process": process, "prediction": "velocity", "clip": None}
    clips = tuple(float(value) for value in scheduler.clip_sample_values) if scheduler.clip_sample else None
    variance = getattr(scheduler, "variance_type", "fixed_small")
    return {
        "betas": float64_betas(scheduler.betas, scheduler.alphas_cumprod),
        "prediction": one_of(scheduler.prediction_type, PREDICTIONS, "prediction_type"),
        "variance": one_of(getattr(variance, "value", variance), VARIANCES, "variance_type"),
        "clip": clips,
    }
