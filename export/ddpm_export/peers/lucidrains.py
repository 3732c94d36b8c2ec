"""`denoising_diffusion_pytorch`: GaussianDiffusion and GaussianDiffusion1D, with Unet, Unet1D and the labelled Unet."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ddpm_rt.artifacts.card_facts import InputFacts

from ..sources.betas_buffers import float64_betas
from ..sources.lucidrains import SELF_CONDITION
from ..sources.state_file import read_state
from .adapted import Adapted, adapted, copy_of, one_of

PACKAGE = "denoising-diffusion-pytorch"
OBJECTIVES = {"pred_noise": "eps", "pred_x0": "x0", "pred_v": "v"}


def adapt(diffusion: Any, source: str = PACKAGE) -> Adapted:
    """A `GaussianDiffusion` with its weights as a module and a card.

    Self-conditioning becomes an input of the role prev_x0. Labels become y, and the label after the last class stands
    for no class. Raises ValueError for an objective that is not known.
    """
    unet, channels = diffusion.model, int(diffusion.channels)
    prediction = one_of(diffusion.objective, OBJECTIVES, "objective")
    facts: dict[str, Any] = {}
    module: nn.Module = copy_of(unet)
    if hasattr(unet, "null_classes_emb"):
        classes = unet.classes_emb.num_embeddings
        module, facts = Labelled(module), {"classes": classes + 1, "null_class": classes}
    shape = (channels, *_sides(diffusion))
    if getattr(diffusion, "self_condition", False):
        facts["inputs"] = {SELF_CONDITION: InputFacts("float32", shape, "prev_x0")}
    if unet.out_dim == 2 * channels:
        facts["variance"] = "learned_range"
    betas = float64_betas(diffusion.betas, diffusion.alphas_cumprod)
    return adapted(
        module, source, PACKAGE, image_shape=shape, betas=betas, prediction=prediction, clip=(-1.0, 1.0), **facts
    )


def load_milestone(path: Path | str, diffusion: Any, *, ema: bool = True) -> None:
    """Load the weights of a Trainer's `model-N.pt` into `diffusion`: those averaged, or those of the last step.

    The file is read as tensors only. Raises CheckpointError when it is no such file, RuntimeError when the weights are
    not those of `diffusion`.
    """
    tensors, prefix = read_state(Path(path)), "ema.ema_model." if ema else "model."
    weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if not weights:
        raise ValueError(f"{path} holds no weights {prefix}*; it is no model-N.pt of a Trainer")
    diffusion.load_state_dict(weights)


class Labelled(nn.Module):
    """`unet(x, t, y)` of a network with labels, in which the embedding that stands for no class is the last label."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        every = torch.cat([unet.classes_emb.weight, unet.null_classes_emb[None]])
        unet.classes_emb = nn.Embedding.from_pretrained(every)  # type: ignore[no-untyped-call]
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.unet(x, t, y, cond_drop_prob=0.0)
        return out


def _sides(diffusion: Any) -> tuple[int, ...]:
    if hasattr(diffusion, "seq_length"):
        return (int(diffusion.seq_length),)
    size = diffusion.image_size
    return (int(size), int(size)) if isinstance(size, int) else tuple(int(side) for side in size)
