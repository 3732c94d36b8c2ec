"""The two measured networks, as torch modules with their cards. The functions import torch when they run."""

from typing import Any

from ddpm_rt import ModelCard, Provenance, open_denoiser
from ddpm_rt.models import bundled_model

from .check import NotHereError

MODELS = ("bundled", "cifar10")


def torch_with_cuda() -> Any:
    """The module `torch`. Raises NotHereError if it has no CUDA."""
    import torch

    if not torch.cuda.is_available():
        raise NotHereError(f"torch {torch.__version__} here has no CUDA")
    return torch


def load_model(name: str) -> tuple[Any, ModelCard]:
    """A network and its card: `bundled` is the package's model, `cifar10` Ho et al.'s network with random weights."""
    return bundled() if name == "bundled" else cifar10()


def bundled() -> tuple[Any, ModelCard]:
    """The bundled model as a `UNet`, with the weights and the card of its ONNX file."""
    from ddpm_export.onnx_export import weights_of_onnx
    from ddpm_ref.recipe import load_preset
    from ddpm_ref.unet import UNet

    unet = UNet(load_preset("mnist").model)
    weights = weights_of_onnx(bundled_model())
    shaped = {name: weights[name].reshape(value.shape) for name, value in unet.state_dict().items()}
    unet.load_state_dict(shaped)
    return unet.eval(), open_denoiser().card


def cifar10(seed: int = 0) -> tuple[Any, ModelCard]:
    """Ho et al.'s CIFAR-10 network with random weights: as fast as a trained one, but its images are noise."""
    import torch

    from ddpm_ref.recipe import load_preset
    from ddpm_ref.unet import UNet

    torch.manual_seed(seed)
    recipe = load_preset("cifar10")
    unet, process = UNet(recipe.model).eval(), recipe.diffusion
    with torch.no_grad():
        for name, weight in unet.named_parameters():  # so that the affine part of a normalisation matters
            if "norm" in name:
                weight.copy_(torch.randn_like(weight) * 0.2 + (1.0 if name.endswith("weight") else 0.0))
    return unet, ModelCard(
        image_shape=(3, 32, 32),
        betas=tuple(process.betas.tolist()),
        prediction="eps",
        variance="fixed_large",
        clip=(-1.0, 1.0),
        spacing="trailing",
        classes=None,
        null_class=None,
        names={"x": "x", "t": "t", "out": "out"},
        precision="fp32",
        provenance=Provenance("cifar10-random", "0" * 64, {}, {}),
    )
