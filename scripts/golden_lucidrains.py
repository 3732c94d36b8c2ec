"""Write tests/golden/lucidrains.json: outputs of the networks of denoising_diffusion_pytorch, by its own code.

    python scripts/golden_lucidrains.py

For each kind: the names and shapes of a diffusion's weights, its betas, and the network's output. The weights and the
inputs are `values` of `ddpm_rt.noise`, so no file holds them. It needs the package; `pip install --no-deps` is enough,
with einops, ema-pytorch and scipy.
"""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.shared_noise import stand_in_for

from ddpm_rt.noise import normal

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "lucidrains.json"
STEPS, TIMES = 20, [0, 7, 19]
KEPT = 48  # numbers of each output


def values(number: int, shape: list[int]) -> torch.Tensor:
    """The array `number` of a kind: normals."""
    return torch.from_numpy(normal(15, [number], 0, int(np.prod(shape)))).reshape(shape)


def weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Weights of about unit gain: normals over the root of what a row sums. Norms stay near 1."""
    drawn = {}
    for number, (name, shape) in enumerate(shapes.items(), 100):
        gain = np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1
        drawn[name] = 1 + 0.1 * values(number, shape) if name.endswith(".g") else gain * values(number, shape)
    return drawn


def kinds() -> Iterator[tuple[str, Any, list[int], dict[str, Any]]]:
    """A name, a diffusion, the shape of a sample, and the facts that a user gives."""
    stand_in_for("torchvision", "pytorch_fid")
    import denoising_diffusion_pytorch as peer
    from denoising_diffusion_pytorch import classifier_free_guidance as labelled

    image = {"image_size": 8, "prediction": "v"}
    widths = {"dim": 8, "dim_mults": (1, 2), "channels": 2}
    unet = peer.Unet(
        dim=8, init_dim=12, dim_mults=(1, 2, 2), channels=1, full_attn=(False, True, True), attn_heads=2,
        attn_dim_head=(4, 8, 6),
    )  # fmt: skip
    yield "images", peer.GaussianDiffusion(unet, image_size=8, timesteps=STEPS), [1, 8, 8], image
    unet = peer.Unet(**widths, self_condition=True)
    yield "self-conditioning", peer.GaussianDiffusion(unet, image_size=8, timesteps=STEPS), [2, 8, 8], image
    unet = peer.Unet(**widths, learned_variance=True)
    cosine = {"timesteps": STEPS, "beta_schedule": "cosine"}
    yield "learned variance", peer.LearnedGaussianDiffusion(unet, image_size=8, **cosine), [2, 8, 8], image
    unet = peer.Unet1D(**widths, self_condition=True, attn_heads=8, attn_dim_head=4)
    facts = {"length": 16, "prediction": "v", "heads": 8}
    yield "sequences", peer.GaussianDiffusion1D(unet, seq_length=16, timesteps=STEPS), [2, 16], facts
    unet = labelled.Unet(**widths, num_classes=3, attn_heads=2)
    diffusion = labelled.GaussianDiffusion(unet, image_size=8, timesteps=STEPS, beta_schedule="linear")
    yield "classes", diffusion, [2, 8, 8], image | {"heads": 2}


def given(name: str, shape: list[int]) -> list[torch.Tensor]:
    """What the network takes besides x and t; a label of 3 stands for no class."""
    if name == "classes":
        return [torch.tensor([0, 2, 3])]
    return [values(2, [3, *shape])] if name in ("self-conditioning", "sequences") else []


def output(name: str, unet: torch.nn.Module, x: torch.Tensor, more: list[torch.Tensor]) -> torch.Tensor:
    t = torch.tensor(TIMES)
    if name != "classes":
        return unet(x, t, *more)
    labels, keeps = more[0].clamp(max=2), more[0] < 3
    return unet(x, t, labels, cond_drop_prob=0.0, cond_keep_mask=keeps)


@torch.no_grad()
def main() -> None:
    found: dict[str, Any] = {"version": version("denoising-diffusion-pytorch"), "times": TIMES, "kinds": {}}
    for name, diffusion, shape, facts in kinds():
        unet = diffusion.model.eval()
        shapes = {key: list(value.shape) for key, value in unet.state_dict().items()}
        unet.load_state_dict(weights(shapes))
        out = output(name, unet, values(1, [3, *shape]), given(name, shape)).flatten()
        kept = out[:: len(out) // KEPT][:KEPT]
        buffers = {key: getattr(diffusion, key).tolist() for key in ("betas", "alphas_cumprod")}
        found["kinds"][name] = {"facts": facts, "shape": shape, "weights": shapes, **buffers, "output": kept.tolist()}
    lines = [f"{json.dumps(name)}: {json.dumps(kind)}" for name, kind in found.pop("kinds").items()]
    head = json.dumps(found)[:-1]
    GOLDEN.write_text(f'{head}, "kinds": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main()
