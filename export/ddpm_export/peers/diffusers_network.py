"""`diffusers`: UNet2DModel and UNet1DModel with a scheduler, in every form that a card can describe."""

from typing import Any

import torch
from torch import Tensor, nn

from ddpm_ref.scheduler_config import read_scheduler
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.samplers.continuous import FlowProcess, SigmaProcess

from .adapted import Adapted, adapted, copy_of

PACKAGE = "diffusers"
IMAGE, EMBEDDING = "image", "class_labels"


def adapt(unet: Any, scheduler: Any, source: str = PACKAGE, *, image_first: bool = False) -> Adapted:
    """A network and its scheduler as a module and a card.

    More channels in than out are an image that is concatenated to x, after it unless `image_first`: the input `image`.
    An embedding as class (`class_embed_type` identity) is the input `class_labels`. Noise levels come from the
    schedulers ScoreSdeVe, EDM* and CMStochasticIterative, a flow from FlowMatchEulerDiscrete, betas from all others
    that `ddpm-rt export` reads. Raises ValueError for what a card cannot describe.
    """
    process = _process(scheduler)
    learned = str(process.get("variance", "")).startswith("learned")
    out = unet.config.out_channels // (2 if learned else 1)
    sides = _sides(unet)
    facts, inputs = dict(process), {}
    if (extra := unet.config.in_channels - out) < 0:
        raise ValueError(f"the network takes {unet.config.in_channels} channels and gives {unet.config.out_channels}")
    if extra:
        inputs[IMAGE] = InputFacts("float32", (extra, *sides))
    embedded = unet.config.get("class_embed_type") == "identity"
    if embedded:
        inputs[EMBEDDING] = InputFacts("float32", (unet.time_embedding.linear_2.out_features,))
    elif unet.config.get("num_class_embeds") is not None:
        facts["classes"] = unet.config.num_class_embeds
    call = Call(copy_of(unet), extra, image_first, labelled=embedded or "classes" in facts)
    module: nn.Module = call
    if type(scheduler).__name__ == "CMStochasticIterativeScheduler":
        module = Consistency(call, scheduler.config.sigma_data, scheduler.config.sigma_min)
    elif unet.config.get("time_embedding_type") == "fourier":
        module = Score(call)
    return adapted(module, source, PACKAGE, image_shape=(out, *sides), inputs=inputs, **facts)


class Call(nn.Module):
    """`unet(x, t, y?, image?, class_labels?)`, a tensor."""

    def __init__(self, unet: Any, extra: int, image_first: bool, *, labelled: bool) -> None:
        super().__init__()
        self.unet, self.extra, self.image_first, self.labelled = unet, extra, image_first, labelled

    def forward(self, x: Tensor, t: Tensor, *more: Tensor) -> Tensor:
        given = list(more)
        number = self.unet.config.get("num_class_embeds")
        label = given.pop(0) if self.labelled and number is not None else None
        if self.extra:
            image = given.pop(0)
            x = torch.cat([image, x] if self.image_first else [x, image], dim=1)
        if self.labelled and label is None:
            label = given.pop(0)
        out: Tensor = self.unet(x, t, **({"class_labels": label} if self.labelled else {})).sample
        return out


class Score(nn.Module):
    """eps of a network that is told sigma and gives a score: Song et al. 2021, the score is -eps / sigma."""

    def __init__(self, call: nn.Module) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor, t: Tensor, *more: Tensor) -> Tensor:
        out: Tensor = -self.call(x, t, *more) * t.reshape(-1, *[1] * (x.ndim - 1))
        return out


class Consistency(nn.Module):
    """x0 of a consistency model, told sigma: Song et al. 2023, appendix C, with the boundary at sigma_min."""

    def __init__(self, call: nn.Module, sigma_data: float, sigma_min: float) -> None:
        super().__init__()
        self.call, self.sigma_data, self.sigma_min = call, sigma_data, sigma_min

    def forward(self, x: Tensor, t: Tensor, *more: Tensor) -> Tensor:
        sigma = t.reshape(-1, *[1] * (x.ndim - 1))
        total = (sigma**2 + self.sigma_data**2) ** 0.5
        skip = self.sigma_data**2 / ((sigma - self.sigma_min) ** 2 + self.sigma_data**2)
        raw = self.call(x / total, 250.0 * torch.log(t), *more)
        out: Tensor = (sigma - self.sigma_min) * self.sigma_data / total * raw + skip * x
        return out


def _sides(unet: Any) -> tuple[int, ...]:
    size = unet.config.sample_size
    if size is None:
        raise ValueError("the network's config has no sample_size; set it with register_to_config(sample_size=...)")
    if type(unet).__name__ == "UNet1DModel":
        return (int(size),)
    return (int(size), int(size)) if isinstance(size, int) else tuple(int(side) for side in size)


def _process(scheduler: Any) -> dict[str, Any]:
    """The facts of a card that the scheduler decides."""
    config, kind = scheduler.config, type(scheduler).__name__
    if kind == "ScoreSdeVeScheduler":
        return _levels(SigmaProcess(config.sigma_min, config.sigma_max), "eps")
    if kind == "CMStochasticIterativeScheduler":
        clip = (-1.0, 1.0) if config.clip_denoised else None
        return _levels(SigmaProcess(config.sigma_min, config.sigma_max), "x0") | {"clip": clip}
    if kind in ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"):
        if config.prediction_type != "epsilon" or config.sigma_schedule != "karras":
            raise ValueError("an EDM scheduler must have prediction_type epsilon and sigma_schedule karras")
        process = SigmaProcess(
            config.sigma_min, config.sigma_max, time="log_sigma", time_scale=0.25, sigma_data=config.sigma_data
        )
        return _levels(process, "edm")
    if kind == "FlowMatchEulerDiscreteScheduler":
        if config.use_dynamic_shifting or config.use_karras_sigmas or config.invert_sigmas:
            raise ValueError("a flow with dynamic shifting, Karras sigmas or inverted sigmas is not a card's flow")
        process_of_flow = FlowProcess(time_scale=float(config.num_train_timesteps), shift=float(config.shift))
        return {"betas": (), "process": process_of_flow, "prediction": "velocity", "clip": None}
    found = read_scheduler({**config, "_class_name": kind}, kind)
    return {**found._asdict(), "betas": tuple(found.betas.tolist())}


def _levels(process: SigmaProcess, prediction: str) -> dict[str, Any]:
    return {"betas": (), "process": process, "prediction": prediction, "clip": None, "spacing": "karras"}
