"""Latent models: the decoder of `diffusers` (VQModel, AutoencoderKL) as the ONNX file that a card names."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.atomic_write import replace_file
from ddpm_rt.engines.ort_cpu import open_session

from ..graph.module_call import first_line
from ..onnx_export import MAX_BATCH, TOLERANCE, check_parity, quiet
from .adapted import copy_of


def export_decoder(autoencoder: Any, shape: tuple[int, ...], path: Path | str, *, opset: int = 18) -> dict[str, float]:
    """Write `autoencoder.decode` as ONNX: latents float32 [B, *shape] to images float32 [B, C, H, W].

    Returns the largest difference from PyTorch. Raises DdpmRtError, and writes no file, if PyTorch cannot export the
    decoder, or ONNX Runtime gives another output.
    """
    module, path = Decode(copy_of(autoencoder)).eval(), Path(path)
    latents = _examples(autoencoder, shape)
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


def _examples(autoencoder: Any, shape: tuple[int, ...]) -> Tensor:
    """Two latents, float32 `[2, *shape]`: normals, or codes where the decoder replaces every place by its nearest code.

    A place in the middle of two codes becomes either of them by the rounding of its distance.
    """
    generator = np.random.default_rng(0)
    if hasattr(autoencoder, "quantize"):
        codes = autoencoder.quantize.embedding.weight.detach().cpu()
        chosen = torch.from_numpy(generator.integers(0, len(codes), (2, *shape[1:])))
        latents: Tensor = codes[chosen].movedim(-1, 1).float().contiguous()
        return latents
    return torch.from_numpy(generator.standard_normal((2, *shape)).astype(np.float32))
