"""Latent models: the decoder of `diffusers` (VQModel, AutoencoderKL) as the ONNX file that a card names."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.artifacts.card_facts import Latents
from ddpm_rt.engines.ort_cpu import open_session

from ..graph.module_call import first_line
from ..onnx_export import MAX_BATCH, TOLERANCE, check_parity, quiet
from .adapted import Adapted, copy_of


def with_decoder(adapted: Adapted, autoencoder: Any, name: str) -> Adapted:
    """A latent model whose card names the decoder file `name`, which must lie beside the model's file.

    Latents are divided by the autoencoder's `scaling_factor`, and its `shift_factor` is added. Raises ValueError for
    latents that are normalised by their own mean and deviation.
    """
    config = autoencoder.config
    if config.get("latents_mean") is not None or config.get("latents_std") is not None:
        raise ValueError("latents that are normalised channel by channel are not supported")
    latents = Latents(float(config.get("scaling_factor") or 1.0), float(config.get("shift_factor") or 0.0), name)
    return adapted._replace(card=dataclasses.replace(adapted.card, latents=latents))


def export_decoder(autoencoder: Any, shape: tuple[int, ...], path: Path | str, *, opset: int = 18) -> dict[str, float]:
    """Write `autoencoder.decode` as ONNX: latents float32 [B, *shape] to images float32 [B, C, H, W].

    Returns the largest difference from PyTorch. Raises DdpmRtError, and writes no file, if PyTorch cannot export the
    decoder, or ONNX Runtime gives another output.
    """
    module, path = Decode(copy_of(autoencoder)).eval(), Path(path)
    latents = torch.from_numpy(np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32))
    axis = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    found: dict[str, float] = {}

    def write(temporary: Path) -> None:
        with quiet():
            try:
                program = torch.onnx.export(
                    module, (latents,), dynamo=True, opset_version=opset, input_names=["latents"],
                    output_names=["images"], dynamic_shapes=({0: axis},), verbose=False,
                )  # fmt: skip
            except Exception as error:  # the exporter's errors are of many kinds, and long
                raise DdpmRtError(f"PyTorch cannot export this decoder: {first_line(error)}") from error
        assert program is not None
        temporary.write_bytes(program.model_proto.SerializeToString(deterministic=True))
        session = open_session(temporary)
        for size in (2, 1):
            with torch.no_grad():
                expected = module(latents[:size]).numpy()
            images = session.run(None, {"latents": latents[:size].numpy()})[0]
            difference = float(np.abs(images - expected).max())
            found["max_abs_error"] = max(found.get("max_abs_error", 0.0), difference)
            found["max_abs_out"] = max(found.get("max_abs_out", 0.0), float(np.abs(expected).max()))
        check_parity(found, TOLERANCE)

    replace_file(path, write)
    return found


class Decode(nn.Module):
    """`autoencoder.decode(latents).sample`."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        out: Tensor = self.autoencoder.decode(latents).sample
        return out
