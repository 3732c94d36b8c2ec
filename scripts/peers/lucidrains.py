"""denoising_diffusion_pytorch: its Unets in its own p_sample and ddim_sample."""

from pathlib import Path

import torch

from ddpm_export.peers import lucidrains

from .kind import Kind
from .shared_noise import COUNT, drawn, filled, shared_noise, stand_in_for

STEPS = 20

stand_in_for("torchvision")


def unet(**options):
    from denoising_diffusion_pytorch import Unet

    torch.manual_seed(1)
    return filled(Unet(dim=16, dim_mults=(1, 2), channels=3, **options))


def p_samples(diffusion, shape):
    """The project's own step, in the loop of its p_sample_loop, which does not show every step of a sequence."""

    def loop():
        with shared_noise(first=None):
            x, x_start = drawn(0xFFFFFFFF, (COUNT, *shape)), None
            for t in reversed(range(diffusion.num_timesteps)):
                x, x_start = diffusion.p_sample(x, t, x_start if diffusion.self_condition else None)
                yield x

    return loop


def of_v():
    from denoising_diffusion_pytorch import GaussianDiffusion

    return GaussianDiffusion(unet(self_condition=True), image_size=16, timesteps=STEPS, auto_normalize=False)


def self_conditioned_v() -> Kind:
    diffusion = of_v()
    adapted = lucidrains.adapt(diffusion)
    return Kind(adapted=adapted, loop=p_samples(diffusion, (3, 16, 16)), request={"sampler": "ddpm", "steps": STEPS})


def milestone() -> Kind:
    """The same by the file that a Trainer saves, which holds other weights beside the average."""
    diffusion = of_v()

    def save(folder: Path) -> list[str]:
        state = diffusion.state_dict()
        average = {f"ema_model.{name}": value for name, value in state.items()}
        last = {name: value + 1 if name.startswith("model.") else value for name, value in state.items()}
        path = folder / "model-10.pt"
        torch.save({"step": 1, "model": last, "opt": {}, "ema": average, "scaler": None, "version": "2"}, path)
        path.with_suffix(".toml").write_text('image_size = 16\nprediction = "v"\n')
        return [str(path), "--weights", "ema"]

    request = {"sampler": "ddpm", "steps": STEPS}
    return Kind(loop=p_samples(diffusion, (3, 16, 16)), request=request, checkpoint=save)


def ddim_eps() -> Kind:
    network = unet()
    from denoising_diffusion_pytorch import GaussianDiffusion

    diffusion = GaussianDiffusion(
        network, image_size=16, timesteps=100, sampling_timesteps=STEPS, objective="pred_noise", beta_schedule="linear",
        ddim_sampling_eta=0.5, auto_normalize=False,
    )  # fmt: skip

    def loop():
        with shared_noise():
            images = diffusion.ddim_sample((COUNT, 3, 16, 16), return_all_timesteps=True)
        yield from images.unbind(1)[1:]

    request = {"sampler": "ddim", "steps": STEPS, "eta": 0.5, "spacing": "trailing"}
    return Kind(adapted=lucidrains.adapt(diffusion), loop=loop, request=request)


def learned_variance() -> Kind:
    network = unet(learned_variance=True)
    from denoising_diffusion_pytorch import LearnedGaussianDiffusion

    diffusion = LearnedGaussianDiffusion(
        network, image_size=16, timesteps=STEPS, objective="pred_noise", beta_schedule="cosine", auto_normalize=False
    )
    adapted = lucidrains.adapt(diffusion)
    return Kind(adapted=adapted, loop=p_samples(diffusion, (3, 16, 16)), request={"sampler": "ddpm", "steps": STEPS})


def sequence() -> Kind:
    from denoising_diffusion_pytorch import GaussianDiffusion1D, Unet1D

    torch.manual_seed(1)
    network = filled(Unet1D(dim=16, dim_mults=(1, 2), channels=2, self_condition=True))
    diffusion = GaussianDiffusion1D(
        network, seq_length=256, timesteps=STEPS, objective="pred_x0", beta_schedule="cosine", auto_normalize=False
    )
    adapted = lucidrains.adapt(diffusion)
    return Kind(adapted=adapted, loop=p_samples(diffusion, (2, 256)), request={"sampler": "ddpm", "steps": STEPS})


def labelled_with_guidance() -> Kind:
    from denoising_diffusion_pytorch.classifier_free_guidance import GaussianDiffusion, Unet

    torch.manual_seed(1)
    network = filled(Unet(dim=16, dim_mults=(1, 2), channels=3, num_classes=4))
    diffusion = GaussianDiffusion(
        network, image_size=16, timesteps=STEPS, objective="pred_noise", beta_schedule="cosine",
    )  # fmt: skip
    labels = torch.tensor([1, 3])

    def loop():
        """Its own p_sample. The defaults rescaled_phi 0.7 and remove_parallel_component are no plain guidance."""
        with shared_noise(first=None):
            x = drawn(0xFFFFFFFF, (COUNT, 3, 16, 16))
            for t in reversed(range(STEPS)):
                x, _ = diffusion.p_sample(x, t, labels, cond_scale=3.0, rescaled_phi=0.0)
                yield x

    plain = network.forward_with_cond_scale
    network.forward_with_cond_scale = lambda *a, **k: plain(*a, **(k | {"remove_parallel_component": False}))
    request = {"sampler": "ddpm", "steps": STEPS, "label": [1, 3], "guidance": 3.0}
    return Kind(adapted=lucidrains.adapt(diffusion), loop=loop, request=request)


KINDS = {
    "lucidrains model-N.pt by ddpm-rt export, v, self-conditioning": milestone,
    "lucidrains Unet, v, sigmoid betas, self-conditioning, p_sample": self_conditioned_v,
    "lucidrains Unet, eps, linear betas, ddim_sample eta 0.5": ddim_eps,
    "lucidrains Unet, learned variance, cosine betas": learned_variance,
    "lucidrains Unet1D [2, 256], x0, self-conditioning": sequence,
    "lucidrains Unet with classes, guidance 3": labelled_with_guidance,
}
